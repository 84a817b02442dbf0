//! `lambent serve` and AWS's own client: what it answers, and to how many at once.

use std::time::Instant;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, boto3, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

fn serve(lambent: &Lambent, arguments: &[&str]) -> Served {
    let image = Fixture::RustOciArchive.reference();
    Served::start(lambent, &[&[image.as_str()], arguments].concat())
}

/// What the client's lines print, as JSON.
fn client(served: &Served, code: &str) -> Value {
    let run = boto3::run(&served.url(), code);
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"))
}

#[test]
fn privileged_a_client_invokes() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f", "--memory", "512"]);
    let answer = client(
        &served,
        r#"
import base64
out = []
arn = "arn:aws:lambda:us-east-1:123456789012:function:f"
for name in ("f", "f:$LATEST", arn, arn + ":$LATEST", "123456789012:function:f", "function"):
    r = c.invoke(FunctionName=name, Payload=json.dumps({"action": "counter"}), LogType="Tail")
    out.append([r["StatusCode"], r["ExecutedVersion"], json.loads(r["Payload"].read())["count"]])
tail = base64.b64decode(r["LogResult"]).decode()
identifier = r["ResponseMetadata"]["RequestId"]
empty = json.loads(c.invoke(FunctionName="f", Payload=json.dumps({"action": "echo"}))["Payload"].read())
error = c.invoke(FunctionName="f", Payload=json.dumps({"action": "raise", "message": "no"}))
dry = c.invoke(FunctionName="f", InvocationType="DryRun")
print(json.dumps({"out": out, "tail": tail, "id": identifier, "empty": empty,
  "error": [error["StatusCode"], error["FunctionError"], json.loads(error["Payload"].read())["errorMessage"]],
  "dry": [dry["StatusCode"], dry["Payload"].read().decode()]}))
"#,
    );
    let expected: Vec<Value> = (1..=6)
        .map(|count| json!([200, "$LATEST", count]))
        .collect();
    assert_eq!(answer["out"], json!(expected), "{answer}");
    let tail = answer["tail"].as_str().unwrap();
    let id = answer["id"].as_str().unwrap();
    assert!(
        tail.starts_with(&format!("START RequestId: {id} Version: $LATEST\n")),
        "{tail}"
    );
    assert!(tail.contains("\tMemory Size: 512 MB\t"), "{tail}");
    assert_eq!(answer["error"], json!([200, "Unhandled", "no"]), "{answer}");
    assert_eq!(answer["dry"], json!([204, ""]), "{answer}");
    let (status, log) = served.end(Signal::INT);
    // Whoever serves is ended that way: it is no failure.
    assert_eq!(status.code(), Some(0), "{log}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_errors_are_lambdas_exceptions() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    let answer = client(
        &served,
        r#"
out = {}
def attempt(what, **arguments):
    try:
        c.invoke(**arguments)
        out[what] = "answered"
    except botocore.exceptions.ClientError as e:
        r = e.response
        out[what] = [r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"], r["Error"]["Message"]]
attempt("missing", FunctionName="g")
attempt("missing version", FunctionName="f", Qualifier="7")
attempt("name", FunctionName="a b")
attempt("qualifiers", FunctionName="f:1", Qualifier="2")
attempt("json", FunctionName="f", Payload="{")
attempt("large", FunctionName="f", Payload=json.dumps("x" * 6291456))
attempt("large event", FunctionName="f", InvocationType="Event", Payload=json.dumps("x" * 1048576))
attempt("context", FunctionName="f", ClientContext="%")
print(json.dumps(out))
"#,
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function";
    for (what, code, status, message) in [
        (
            "missing",
            "ResourceNotFoundException",
            404,
            format!("Function not found: {arn}:g:$LATEST"),
        ),
        (
            "missing version",
            "ResourceNotFoundException",
            404,
            format!("Function not found: {arn}:f:7"),
        ),
        (
            "name",
            "ValidationException",
            400,
            "1 validation error detected: Value 'a b' at 'functionName'".to_owned(),
        ),
        (
            "qualifiers",
            "InvalidParameterValueException",
            400,
            "The derived qualifier".to_owned(),
        ),
        (
            "json",
            "InvalidRequestContentException",
            400,
            "Could not parse request body into json".to_owned(),
        ),
        (
            "large",
            "RequestEntityTooLargeException",
            413,
            "Request must be smaller than 6291456 bytes".to_owned(),
        ),
        (
            "large event",
            "RequestEntityTooLargeException",
            413,
            "Request must be smaller than 1048576 bytes".to_owned(),
        ),
        (
            "context",
            "InvalidParameterValueException",
            400,
            "Client context must be".to_owned(),
        ),
    ] {
        let got = &answer[what];
        assert_eq!(got[0], code, "{what}: {got}");
        assert_eq!(got[1], status, "{what}: {got}");
        assert!(
            got[2].as_str().unwrap().starts_with(&message),
            "{what}: {got}"
        );
    }
}

#[test]
fn privileged_concurrent_requests_have_environments_of_their_own() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(
        &lambent,
        &["--name", "f", "--memory", "256", "--timeout", "30"],
    );
    let started = Instant::now();
    let answer = client(
        &served,
        r#"
from concurrent.futures import ThreadPoolExecutor
def one(n):
    event = {"action": "sequence", "events": [{"action": "sleep", "ms": 300}, {"action": "counter"}, {"action": "echo", "n": n}]}
    r = json.loads(c.invoke(FunctionName="f", Payload=json.dumps(event))["Payload"].read())
    return [n, r[2]["event"]["n"], r[1]["count"]]
with ThreadPoolExecutor(8) as pool:
    first = list(pool.map(one, range(8)))
    second = list(pool.map(one, range(8)))
print(json.dumps({"first": first, "second": second}))
"#,
    );
    for (round, count) in [("first", 1), ("second", 2)] {
        let results = answer[round].as_array().unwrap();
        for result in results {
            assert_eq!(result[0], result[1], "an answer went astray: {answer}");
        }
        // Each of the eight got one, and all were used again.
        let counts: Vec<&Value> = results.iter().map(|result| &result[2]).collect();
        assert_eq!(
            counts,
            vec![&json!(count); 8],
            "{round}: {answer} after {:?}",
            started.elapsed()
        );
    }
}

/// Invokes the function, whatever it answers.
const INVOKE: &str = "c.invoke(FunctionName='f', Payload='{\"action\": \"counter\"}')\nprint('{}')";

#[test]
fn privileged_a_killed_service_leaves_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    client(&served, INVOKE);
    let services = leftovers::services(lambent.root());
    served.end(Signal::KILL);
    lambent_e2e::wait::until("nothing is left of it", || {
        Leftovers::of(lambent.root(), &services).is_empty()
    });
    let served = serve(&lambent, &["--name", "f"]);
    client(&served, INVOKE);
}

#[test]
fn privileged_a_service_without_its_launcher_ends_and_says_so() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    client(&served, INVOKE);
    let services = leftovers::services(lambent.root());
    for launcher in leftovers::children(served.pid()) {
        leftovers::kill(launcher);
    }
    // A signal that means nothing to it: it ends by itself.
    let (status, log) = served.end(Signal::CONT);
    assert_eq!(status.code(), Some(4), "{log}");
    assert!(log.contains("starts environments has been killed"), "{log}");
    lambent_e2e::wait::until("nothing is left of it", || {
        Leftovers::of(lambent.root(), &services).is_empty()
    });
}

#[test]
fn privileged_a_function_that_cannot_be_made_is_said() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let file = lambent.root().join("no-image.tar");
    std::fs::write(&file, "no image").unwrap();
    client(
        &served,
        &format!(
            "c.create_function(FunctionName='f', Role='arn:aws:iam::123456789012:role/r', \
             PackageType='Image', Code={{'ImageUri': {file:?}}})\nprint('{{}}')"
        ),
    );
    lambent_e2e::wait::until("the service says so", || {
        served.log().contains("warning: f cannot be invoked")
    });
    assert!(served.log().contains("no-image.tar"), "{}", served.log());
}

#[test]
fn privileged_responses_are_streamed() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(
        &lambent,
        &["--name", "f", "--memory", "512", "--timeout", "5"],
    );
    let answer = client(
        &served,
        r#"
import time
def stream(event, **more):
    start = time.monotonic()
    r = c.invoke_with_response_stream(FunctionName="f", Payload=json.dumps(event), **more)
    out = {"status": r["StatusCode"], "version": r["ExecutedVersion"], "type": r["ResponseStreamContentType"], "chunks": [], "complete": None}
    for e in r["EventStream"]:
        if "PayloadChunk" in e:
            out["chunks"].append([round(time.monotonic() - start, 2), e["PayloadChunk"]["Payload"].decode()])
        else:
            out["complete"] = e["InvokeComplete"]
    # AWS's runtime client for Rust begins with what an HTTP response would.
    texts = [chunk[1] for chunk in out["chunks"]]
    if "\0" * 8 in texts: out["chunks"] = out["chunks"][texts.index("\0" * 8) + 1:]
    return out
slow = {"action": "stream", "texts": ["a", "b", "c"], "delayMs": 700}
print(json.dumps({
  "warm": stream({"action": "counter"}),
  "streamed": stream(slow, LogType="Tail"),
  "cut": stream({"action": "stream", "texts": ["a"], "abort": True}),
  "timeout": stream({"action": "stream", "texts": ["a", "b"], "delayMs": 3000}),
  "raise": stream({"action": "raise", "message": "no"}),
  "buffered": c.invoke(FunctionName="f", Payload=json.dumps({"action": "stream", "texts": ["x", "y"]}))["Payload"].read().decode(),
}))
"#,
    );
    let streamed = &answer["streamed"];
    assert_eq!(
        streamed["type"], "application/vnd.amazon.eventstream",
        "{answer}"
    );
    let chunks = streamed["chunks"].as_array().unwrap();
    let text: String = chunks
        .iter()
        .map(|chunk| chunk[1].as_str().unwrap())
        .collect();
    assert_eq!(text, "abc", "{streamed}");
    // The first left before the handler made the last.
    let at = |index: usize| chunks[index][0].as_f64().unwrap();
    assert!(at(chunks.len() - 1) - at(0) > 1.0, "{streamed}");
    assert!(streamed["complete"]["ErrorCode"].is_null(), "{streamed}");
    assert!(streamed["complete"]["LogResult"].is_string(), "{streamed}");
    let warm = &answer["warm"];
    assert_eq!(warm["chunks"][0][1], r#"{"count":1}"#, "{warm}");
    assert_eq!(answer["cut"]["chunks"][0][1], "a", "{answer}");
    assert!(
        answer["cut"]["complete"]["ErrorCode"].is_string(),
        "{answer}"
    );
    assert_eq!(answer["timeout"]["chunks"][0][1], "a", "{answer}");
    assert_eq!(
        answer["timeout"]["complete"]["ErrorCode"], "Sandbox.Timedout",
        "{answer}"
    );
    assert!(
        answer["timeout"]["complete"]["ErrorDetails"]
            .as_str()
            .unwrap()
            .contains("Task timed out after 5.00 seconds"),
        "{answer}"
    );
    assert_eq!(answer["raise"]["chunks"], json!([]), "{answer}");
    assert!(
        answer["raise"]["complete"]["ErrorDetails"]
            .as_str()
            .unwrap()
            .contains("\"no\""),
        "{answer}"
    );
    let buffered = answer["buffered"].as_str().unwrap();
    assert!(buffered.ends_with("\0xy"), "{answer}");
}

#[test]
fn privileged_functions_have_urls() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f", "--memory", "512"]);
    let answer = client(
        &served,
        r#"
import http.client, time
from urllib.parse import urlsplit
at = urlsplit(c.meta.endpoint_url)
def call(method, path, body=None, headers={}):
    h = http.client.HTTPConnection(at.hostname, at.port)
    start = time.monotonic()
    h.request(method, path, body, headers)
    r = h.getresponse()
    first = r.read(1)
    early = time.monotonic() - start
    data = first + r.read()
    return {"status": r.status, "type": r.headers["content-type"], "body": data.decode(), "early": early, "late": time.monotonic() - start}
# The event of a URL has no action: the function refuses it, which is a failure.
print(json.dumps({
  "by path": call("GET", "/lambda-url/f/a%20b?x=1"),
  "by host": call("GET", "/", headers={"Host": "f.lambda-url.us-east-1.localhost"}),
  "nobody": call("GET", "/lambda-url/g/"),
}))
"#,
    );
    for way in ["by path", "by host"] {
        assert_eq!(answer[way]["status"], 502, "{answer}");
        assert_eq!(answer[way]["body"], "Internal Server Error", "{answer}");
    }
    assert_eq!(answer["nobody"]["status"], 403, "{answer}");
    assert_eq!(answer["nobody"]["body"], r#"{"Message":null}"#, "{answer}");
}

#[test]
fn privileged_a_url_is_http_on_both_sides() {
    if !privileged() {
        return;
    }
    // A runtime by hand: it gives back the event, as itself, as a response, or in
    // parts.
    let code = r#"
import http.client, json, os, time
c = http.client.HTTPConnection("127.0.0.1", 9001)
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    i = r.headers["lambda-runtime-aws-request-id"]
    event = json.loads(r.read())
    path = f"/2018-06-01/runtime/invocation/{i}/response"
    kind = event["rawPath"]
    if kind == "/stream":
        head = json.dumps({"statusCode": 201, "headers": {"x-mine": "1", "content-type": "text/plain"}, "cookies": ["a=b"]})
        def parts():
            yield head.encode() + b"\0" * 8 + b"first "
            time.sleep(1)
            yield b"last"
        c.request("POST", path, parts(), {"Lambda-Runtime-Function-Response-Mode": "streaming",
            "Content-Type": "application/vnd.awslambda.http-integration-response", "Transfer-Encoding": "chunked"}, encode_chunked=True)
    elif kind == "/response":
        c.request("POST", path, json.dumps({"statusCode": 404, "headers": {"content-type": "text/html"}, "cookies": ["a=b", "c=d"], "body": "<b>"}))
    else:
        c.request("POST", path, json.dumps(event))
    c.getresponse().read()
"#;
    let lambent = Lambent::new();
    let entrypoint = json!(["/usr/bin/python3", "-c", code]).to_string();
    let image = Fixture::PythonOciArchive.reference();
    let arguments = [
        &image,
        "--name",
        "f",
        "--memory",
        "1024",
        "--entrypoint",
        &entrypoint,
        "--cmd",
        "[]",
    ];
    let served = Served::start(&lambent, &arguments);
    let answer = client(
        &served,
        r#"
import http.client, time
from urllib.parse import urlsplit
at = urlsplit(c.meta.endpoint_url)
def call(method, path, body=None, headers={}):
    h = http.client.HTTPConnection(at.hostname, at.port)
    h.request(method, "/lambda-url/f" + path, body, headers)
    r = h.getresponse()
    first = r.read(1)
    early = time.monotonic()
    data = first + r.read()
    return {"status": r.status, "headers": r.getheaders(), "body": data.decode(), "waited": time.monotonic() - early}
print(json.dumps({
  "event": call("POST", "/p%20q/?a=1&a=2", b"\x00\x01", {"Content-Type": "application/octet-stream", "Cookie": "k=v"}),
  "response": call("GET", "/response"),
  "stream": call("GET", "/stream"),
}))
"#,
    );
    let event: Value = serde_json::from_str(answer["event"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(event["rawPath"], "/p%20q/", "{event}");
    assert_eq!(
        event["queryStringParameters"],
        json!({"a": "1,2"}),
        "{event}"
    );
    assert_eq!(event["body"], "AAE=", "{event}");
    assert_eq!(event["isBase64Encoded"], true, "{event}");
    assert_eq!(event["cookies"], json!(["k=v"]), "{event}");
    assert_eq!(
        event["requestContext"]["http"]["sourceIp"], "127.0.0.1",
        "{event}"
    );
    let header = |way: &str, name: &str| -> Vec<String> {
        answer[way]["headers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name))
            .map(|pair| pair[1].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(answer["response"]["status"], 404, "{answer}");
    assert_eq!(answer["response"]["body"], "<b>", "{answer}");
    assert_eq!(header("response", "set-cookie"), ["a=b", "c=d"], "{answer}");
    assert_eq!(
        header("response", "content-type"),
        ["text/html"],
        "{answer}"
    );
    assert_eq!(answer["stream"]["status"], 201, "{answer}");
    assert_eq!(answer["stream"]["body"], "first last", "{answer}");
    assert_eq!(header("stream", "x-mine"), ["1"], "{answer}");
    assert!(
        answer["stream"]["waited"].as_f64().unwrap() > 0.5,
        "{answer}"
    );
}
