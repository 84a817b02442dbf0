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

#[test]
fn privileged_idle_environments_end() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f", "--idle", "1"]);
    let count = |served: &Served| {
        client(
            served,
            "print(c.invoke(FunctionName='f', Payload='{\"action\": \"counter\"}')['Payload'].read().decode())",
        )["count"]
            .clone()
    };
    assert_eq!(count(&served), 1);
    let services = leftovers::services(lambent.root());
    lambent_e2e::wait::until("the idle environment ends", || {
        Leftovers::of(lambent.root(), &services)
            .processes
            .is_empty()
    });
    assert_eq!(count(&served), 1);
}

#[test]
fn privileged_a_killed_service_leaves_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    client(
        &served,
        "c.invoke(FunctionName='f', Payload='{\"action\": \"counter\"}')\nprint('{}')",
    );
    let services = leftovers::services(lambent.root());
    served.end(Signal::KILL);
    lambent_e2e::wait::until("nothing is left of it", || {
        Leftovers::of(lambent.root(), &services).is_empty()
    });
    let served = serve(&lambent, &["--name", "f"]);
    client(
        &served,
        "c.invoke(FunctionName='f', Payload='{\"action\": \"counter\"}')\nprint('{}')",
    );
}
