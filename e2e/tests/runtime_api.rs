//! A function that abuses the Runtime API: requests with two meanings, floods of
//! connections, identifiers that are not its own. Each request has one meaning or
//! is refused, and the function can still answer.

use lambent_e2e::script::{self, findings};
use lambent_e2e::{Lambent, Run, privileged};
use serde_json::json;

/// Sends bytes on a connection of its own and notes the statuses of all answers.
const SEND: &str = r"
import re
def send(name, *parts):
    s = socket.create_connection(('127.0.0.1', 9001))
    s.settimeout(3)
    got = b''
    try:
        for part in parts:
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        while data := s.recv(65536): got += data
    except OSError as e:
        got += b' ' + type(e).__name__.encode()
    answer[name] = [int(n) for n in re.findall(rb'HTTP/1\.[01] (\d+)', got)]
    s.close()
";

#[test]
fn privileged_a_request_has_one_meaning() {
    if !privileged() {
        return;
    }
    // What hides a second request behind the first: it must not be answered as
    // one. `PING` alone would be a good request.
    let code = format!(
        r#"{SEND}
P = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n"
E = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
F = f"POST /2018-06-01/runtime/invocation/{{i}}/error HTTP/1.1\r\nHost: x\r\n".encode()
send("good", P + b"\r\n")
send("pipelined", E + E)
send("both lengths", F.replace(i.encode(), b"0") + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + E)
send("two lengths", P + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello")
send("chunked twice", P + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
send("folded", P + b"A: b\r\n c: d\r\n\r\n")
send("space before colon", P + b"Content-Length : 0\r\n\r\n")
send("bare newline in a name", P + b"A\nB: c\r\n\r\n")
send("NUL", P + b"A: b\0c\r\n\r\n")
send("negative length", P + b"Content-Length: -1\r\n\r\n")
send("huge length", P + b"Content-Length: 99999999999999999999999\r\n\r\n")
send("bad chunk", F.replace(i.encode(), b"0") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
send("h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
send("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01")
send("no version", b"GET /2018-06-01/ping\r\n\r\n")
send("two slashes", b"GET //2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
send("dots", b"GET /x/../2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
send("encoded slash", b"GET /2018-06-01%2fping HTTP/1.1\r\nHost: x\r\n\r\n")
send("encoded NUL", b"GET /2018-06-01/ping%00 HTTP/1.1\r\nHost: x\r\n\r\n")
send("CONNECT", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n")
send("upgrade", P + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
send("wrong method", b"DELETE /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
send("a MiB of headers", P + b"A: " + b"x" * (1 << 20) + b"\r\n\r\n")
send("8 MiB of headers", P + b"A: " + b"x" * (8 << 20) + b"\r\n\r\n")
send("5000 headers", P + b"A: b\r\n" * 5000 + b"\r\n")
"#
    );
    let answer = findings(&code, &["--memory", "512", "--timeout", "60"]);
    // Each name with what may come: `[]` is a connection closed without an answer.
    let expected: &[(&str, &[&[u64]])] = &[
        ("good", &[&[200]]),
        ("pipelined", &[&[200, 200]]),
        ("both lengths", &[&[400], &[]]),
        ("two lengths", &[&[400], &[]]),
        ("chunked twice", &[&[400], &[]]),
        ("folded", &[&[400], &[]]),
        ("space before colon", &[&[400], &[]]),
        ("bare newline in a name", &[&[400], &[]]),
        ("NUL", &[&[400], &[]]),
        ("negative length", &[&[400], &[]]),
        ("huge length", &[&[400], &[]]),
        ("bad chunk", &[&[400], &[]]),
        ("h2", &[&[400], &[505], &[]]),
        ("not HTTP", &[&[400], &[]]),
        ("no version", &[&[400], &[]]),
        ("two slashes", &[&[404]]),
        ("dots", &[&[404]]),
        ("encoded slash", &[&[404]]),
        ("encoded NUL", &[&[404]]),
        ("CONNECT", &[&[404], &[400], &[]]),
        ("upgrade", &[&[200]]),
        ("wrong method", &[&[404], &[405]]),
        ("a MiB of headers", &[&[200]]),
        ("8 MiB of headers", &[&[431], &[400], &[]]),
        ("5000 headers", &[&[431], &[400], &[]]),
    ];
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(name, allowed)| {
            !allowed
                .iter()
                .any(|statuses| answer[name] == json!(statuses))
        })
        .map(|(name, _)| format!("{name}: {}", answer[name]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn privileged_connections_without_end_do_not_stop_the_answer() {
    if !privileged() {
        return;
    }
    // Silent ones, ones that drop a byte now and then, and ones that leave at once:
    // as many as the descriptors allow. They go, and the function can answer.
    let code = r"
import time
held = []
try:
    while True:
        s = socket.socket()
        s.setblocking(False)
        try: s.connect(('127.0.0.1', 9001))
        except BlockingIOError: pass
        held.append(s)
except OSError as e:
    answer['held'] = len(held)
    answer['errno'] = e.errno
for n, s in enumerate(held):
    try: s.send(b'G' if n % 2 else b'GET /2018-06-01/ping HTTP/1.1\r\nHo')
    except OSError: pass
time.sleep(1)
for s in held: s.close()
for _ in range(300):
    s = socket.socket()
    s.connect(('127.0.0.1', 9001))
    s.close()
";
    let answer = findings(code, &["--memory", "512", "--timeout", "60"]);
    assert_eq!(answer["errno"], libc::EMFILE, "{answer}");
    assert!(answer["held"].as_u64().unwrap() > 900, "{answer}");
}

#[test]
fn privileged_identifiers_cannot_be_guessed() {
    if !privileged() {
        return;
    }
    let code = r#"
import uuid
statuses = {}
for n in range(2000):
    other = str(uuid.uuid4()) if n % 2 else i[:-1] + "0123456789abcdef"[n % 16]
    if other == i: continue
    c.request("POST", f"/2018-06-01/runtime/invocation/{other}/response", "1")
    r = c.getresponse()
    statuses[r.status] = statuses.get(r.status, 0) + 1
    r.read()
answer = statuses
"#;
    let answer = findings(code, &["--memory", "1769", "--timeout", "60"]);
    let statuses = answer.as_object().unwrap();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), ["400"], "{answer}");
}

#[test]
fn privileged_a_late_answer_reaches_nobody() {
    if !privileged() {
        return;
    }
    // The runtime of the second invocation answers with the id of the first, which
    // timed out.
    let code = format!(
        r#"
import json, time, pathlib
seen = pathlib.Path("/tmp/id")
if not seen.exists():
    seen.write_text(i)
    time.sleep(60)
old = seen.read_text()
answer = {{"new": i != old}}
c.request("POST", f"/2018-06-01/runtime/invocation/{{old}}/response", '"late"')
r = c.getresponse()
answer["status"] = r.status
answer["body"] = json.loads(r.read())
{}"#,
        script::DONE.replacen("'\"done\"'", "json.dumps(answer)", 1)
    );
    let lambent = Lambent::new();
    let run: Run = script::start(&lambent, &code, &["--repeat", "2", "--timeout", "2"])
        .wait_with_output()
        .unwrap()
        .into();
    let results = run.results();
    assert_eq!(
        results[0]["payload"]["errorType"], "Sandbox.Timedout",
        "{run:?}"
    );
    let answer = &results[1]["payload"];
    assert_eq!(answer["new"], true, "{run:?}");
    assert_eq!(answer["status"], 400, "{run:?}");
    assert_eq!(answer["body"]["errorType"], "InvalidRequestID", "{run:?}");
}

/// A runtime that does everything wrong that the Runtime API answers with an error, in
/// one environment, and whose last answer is what it was told.
const REFUSED: &str = r#"
import http.client, json, socket, time
out = {}
c = http.client.HTTPConnection("127.0.0.1", 9001)
def call(what, method, path, body="", headers={}):
    c.putrequest(method, "/2018-06-01/runtime/" + path)
    for name, value in headers.items(): c.putheader(name, value)
    c.putheader("Content-Length", len(body))
    c.endheaders()
    # Whatever is refused, the connection lasts until its body is through.
    time.sleep(0.02)
    if body: c.send(body.encode())
    r = c.getresponse()
    out[what] = [r.status, r.getheader("content-type"), json.loads(r.read())]
def take():
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    r.read()
    return f"invocation/{r.headers['lambda-runtime-aws-request-id']}/"
def begin(path):
    s = socket.create_connection(("127.0.0.1", 9001))
    s.sendall(f"POST /2018-06-01/runtime/{path}response HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1".encode())
    return s
def end(what, s):
    r = http.client.HTTPResponse(s)
    r.begin()
    out[what] = [r.status, r.getheader("content-type"), json.loads(r.read())]
nobody = "invocation/00000000-0000-4000-8000-000000000000/"
call("response before an event", "POST", nobody + "response", "1")
call("error before an event", "POST", nobody + "error", "{}")
path = take()
call("response of another", "POST", nobody + "response", "1")
call("error of another", "POST", nobody + "error", "{}")
call("other attempt", "POST", path + "response", "1", {"Lambda-Runtime-Invocation-Id": "x"})
call("init error after an event", "POST", "init/error", "{}")
call("no path", "GET", "invocation/last")
call("no method", "PUT", path + "response", "1")
call("mode", "POST", path + "response", "1", {"Lambda-Runtime-Function-Response-Mode": "buffered"})
call("second response", "POST", path + "response", "1")
path = take()
call("large", "POST", path + "response", "x" * 6_291_557)
path = take()
s = begin(path)
s.shutdown(socket.SHUT_WR)
end("truncated", s)
path = take()
s = begin(path)
call("next while posting", "GET", "invocation/next")
# Before its head is read there is no posting.
while out["next while posting"][0] == 200: call("next while posting", "GET", "invocation/next")
s.sendall(b"2")
end("whole", s)
path = take()
call("error", "POST", path + "error", json.dumps(out))
take()
"#;

/// Every error answer of the Runtime API that a runtime can bring about, and what its
/// caller gets; the others are in the tables of `model/runtime_state.rs` and
/// `api/error.rs`.
#[test]
fn privileged_refusals_are_lambdas() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let arguments = ["--repeat", "5", "--memory", "512", "--timeout", "60"];
    let run: Run = script::start_bare(&lambent, REFUSED, &arguments)
        .wait_with_output()
        .unwrap()
        .into();
    let results = run.results();
    let types: Vec<_> = results
        .iter()
        .map(|result| result["payload"]["errorType"].as_str())
        .collect();
    assert_eq!(
        types[..4],
        [
            Some("Runtime.InvalidResponseModeHeader"),
            Some("Function.ResponseSizeTooLarge"),
            Some("Runtime.TruncatedResponse"),
            None,
        ],
        "{run:?}"
    );
    assert_eq!(results[3]["payload"], 12, "{run:?}");
    let out = &results[4]["payload"];
    let transition = |from: &str, to: &str| {
        format!(
            "State transition from {from} to {to} failed for runtime. Error: State transition is \
             not allowed"
        )
    };
    let id = || "Invalid request ID".to_owned();
    let (state, sent) = ("InvalidStateTransition", "RuntimeResponseSentState");
    let rows = [
        (
            "response before an event",
            403,
            state,
            transition("Started", "InvocationResponse"),
        ),
        (
            "error before an event",
            403,
            state,
            transition("Started", "InvocationErrorResponse"),
        ),
        ("response of another", 400, "InvalidRequestID", id()),
        ("error of another", 400, "InvalidRequestID", id()),
        (
            "other attempt",
            400,
            "InvalidInvocationId",
            "Invalid invocation ID".to_owned(),
        ),
        (
            "init error after an event",
            403,
            state,
            transition("Running", "InitError"),
        ),
        ("no path", 404, "NotFound", "Not found".to_owned()),
        ("no method", 404, "NotFound", "Not found".to_owned()),
        (
            "mode",
            400,
            "InvalidFunctionResponseMode",
            "Invalid function response mode".to_owned(),
        ),
        (
            "second response",
            403,
            state,
            transition(sent, "InvocationResponse"),
        ),
        (
            "large",
            413,
            "RequestEntityTooLarge",
            "Exceeded maximum allowed payload size (6291556 bytes).".to_owned(),
        ),
        (
            "truncated",
            400,
            "TruncatedHTTPRequest",
            "HTTP request detected as truncated".to_owned(),
        ),
        (
            "next while posting",
            403,
            state,
            transition("InvocationResponse", "Ready"),
        ),
    ];
    for (what, status, kind, text) in rows {
        let body = json!({"errorType": kind, "errorMessage": text});
        assert_eq!(
            out[what],
            json!([status, "application/json", body]),
            "{what}"
        );
    }
    let accepted = json!([202, "application/json", {"status": "OK"}]);
    assert_eq!(out["whole"], accepted);
}
