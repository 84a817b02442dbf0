//! A function that abuses the Runtime API: requests with two meanings, floods of
//! connections, identifiers that are not its own. Each request has one meaning or
//! is refused, and the function can still answer.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lambent_e2e::script::{self, findings};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, Run, privileged, wait};
use serde_json::{Value, json};

/// A request, in pieces that are repeated so many times.
type Pieces = Vec<(Vec<u8>, usize)>;

/// Requests that readers may understand in several ways, with what may come: the
/// statuses of all answers, `[]` being a connection that is closed without one. What
/// hides a second request behind the first must not be answered as two.
///
/// `get` is a path that is answered with 200, `post` one that is answered with `refused`
/// once the body has been read, and `absent` is the status of a path that is not there.
fn requests(
    get: &str,
    post: &str,
    refused: u64,
    absent: u64,
) -> Vec<(&'static str, Pieces, Vec<Vec<u64>>)> {
    let good = format!("GET {get} HTTP/1.1\r\nHost: x\r\n");
    let whole = format!("{good}\r\n");
    let body = format!("POST {post} HTTP/1.1\r\nHost: x\r\n");
    let last = get.rsplit_once('/').unwrap_or_default().1;
    let upto = get.strip_suffix(last).unwrap_or_default().strip_suffix('/');
    let encoded = format!("{}%2f{last}", upto.unwrap_or_default());
    let refusals = || vec![vec![400], vec![]];
    let one = |text: String| vec![(text.into_bytes(), 1)];
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("good", one(whole.clone()), vec![vec![200]]),
        ("pipelined", one(whole.repeat(2)), vec![vec![200, 200]]),
        (
            // The chunks count, and it is the last request of its connection.
            "both lengths",
            one(format!(
                "{body}Content-Length: 4\r\n{chunked}\r\n0\r\n\r\n{whole}"
            )),
            vec![vec![refused], vec![400], vec![]],
        ),
        (
            "two lengths",
            one(format!(
                "{good}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"
            )),
            refusals(),
        ),
        (
            "chunked twice",
            one(format!(
                "{good}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
            )),
            refusals(),
        ),
        (
            "folded",
            one(format!("{good}A: b\r\n c: d\r\n\r\n")),
            refusals(),
        ),
        (
            "space before colon",
            one(format!("{good}Content-Length : 0\r\n\r\n")),
            refusals(),
        ),
        (
            "bare newline in a name",
            one(format!("{good}A\nB: c\r\n\r\n")),
            refusals(),
        ),
        (
            // A line ends with it, or the request is none: on all lines alike.
            "bare newlines",
            one(whole.replace("\r\n", "\n").repeat(2)),
            vec![vec![200, 200], vec![400], vec![]],
        ),
        (
            "bare newline after a chunk's size",
            one(format!("{body}{chunked}\r\n0\n\n{whole}")),
            vec![vec![refused], vec![400], vec![]],
        ),
        ("NUL", one(format!("{good}A: b\0c\r\n\r\n")), refusals()),
        (
            "negative length",
            one(format!("{good}Content-Length: -1\r\n\r\n")),
            refusals(),
        ),
        (
            "huge length",
            one(format!(
                "{good}Content-Length: 99999999999999999999999\r\n\r\n"
            )),
            refusals(),
        ),
        (
            "bad chunk",
            one(format!("{body}{chunked}\r\nzz\r\n")),
            vec![vec![refused], vec![400], vec![]],
        ),
        (
            "h2",
            one("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
            vec![vec![400], vec![505], vec![]],
        ),
        (
            "not HTTP",
            vec![(b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), 1)],
            refusals(),
        ),
        ("no version", one(format!("GET {get}\r\n\r\n")), refusals()),
        (
            "HTTP/1.0",
            one(format!("GET {get} HTTP/1.0\r\n\r\n").repeat(2)),
            vec![vec![200]],
        ),
        (
            "HTTP/1.0 that is kept alive",
            one(format!("GET {get} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").repeat(2)),
            vec![vec![200, 200]],
        ),
        (
            "HTTP/1.0 in chunks",
            one(format!(
                "POST {post} HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n{whole}"
            )),
            refusals(),
        ),
        (
            "a body that waits to be wanted",
            one(format!(
                "{body}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}{whole}"
            )),
            vec![vec![100, refused, 200], vec![refused, 200]],
        ),
        (
            "another expectation",
            one(format!("{good}Expect: miracles\r\n\r\n")),
            vec![vec![200], vec![417]],
        ),
        (
            "an absolute URI",
            one(whole.replacen(get, &format!("http://elsewhere{get}"), 1)),
            vec![vec![200]],
        ),
        (
            "an absolute URI of no path",
            one(whole.replacen(get, "http://elsewhere", 1)),
            vec![vec![absent]],
        ),
        (
            "two slashes",
            one(whole.replacen(get, &format!("/{get}"), 1)),
            vec![vec![absent]],
        ),
        (
            "dots",
            one(whole.replacen(get, &format!("/x/..{get}"), 1)),
            vec![vec![absent]],
        ),
        (
            "encoded slash",
            one(whole.replacen(get, &encoded, 1)),
            vec![vec![absent], vec![400]],
        ),
        (
            "encoded NUL",
            one(whole.replacen(get, &format!("{get}%00"), 1)),
            vec![vec![absent]],
        ),
        (
            "CONNECT",
            one("CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
            vec![vec![absent], vec![400], vec![]],
        ),
        (
            "upgrade",
            one(format!("{good}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")),
            vec![vec![200]],
        ),
        (
            "wrong method",
            one(whole.replacen("GET", "DELETE", 1)),
            vec![vec![absent], vec![405]],
        ),
        (
            "8 MiB of headers",
            vec![
                (format!("{good}A: ").into(), 1),
                (b"x".to_vec(), 8 << 20),
                (b"\r\n\r\n".to_vec(), 1),
            ],
            vec![vec![431], vec![400], vec![]],
        ),
        (
            "5000 headers",
            vec![
                (good.into(), 1),
                (b"A: b\r\n".to_vec(), 5000),
                (b"\r\n".to_vec(), 1),
            ],
            vec![vec![431], vec![400], vec![]],
        ),
    ];
    rows.into()
}

/// Says which answers are none of those that may come.
fn assert_meanings(found: &[(&str, Vec<u64>)], allowed: &[Vec<Vec<u64>>]) {
    let wrong: Vec<_> = found
        .iter()
        .zip(allowed)
        .filter(|((_, statuses), allowed)| !allowed.contains(statuses))
        .collect();
    assert!(wrong.is_empty(), "what came, and what may: {wrong:#?}");
}

#[test]
fn privileged_a_request_has_one_meaning() {
    if !privileged() {
        return;
    }
    let path = "/2018-06-01/runtime/invocation/0/error";
    let mut rows = requests("/2018-06-01/ping", path, 400, 404);
    // Runtimes send as much.
    rows.push((
        "a MiB of headers",
        vec![
            (
                b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nA: ".to_vec(),
                1,
            ),
            (b"x".to_vec(), 1 << 20),
            (b"\r\n\r\n".to_vec(), 1),
        ],
        vec![vec![200]],
    ));
    let sent: Vec<Value> = rows
        .iter()
        .map(|(_, pieces, _)| {
            let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
            let pieces = pieces.iter().map(|(bytes, times)| {
                let text: String = text(bytes);
                json!([text, times])
            });
            pieces.collect()
        })
        .collect();
    let code = format!(
        r"
import re
answer = []
for pieces in json.loads({}):
    s = socket.create_connection(('127.0.0.1', 9001))
    s.settimeout(3)
    got = b''
    try:
        s.sendall(b''.join(text.encode('latin-1') * times for text, times in pieces))
        s.shutdown(socket.SHUT_WR)
        while data := s.recv(65536): got += data
    except OSError:
        pass
    answer.append([int(n) for n in re.findall(rb'HTTP/1\.[01] (\d+)', got)])
    s.close()
",
        json!(json!(sent).to_string())
    );
    let answer = findings(&code, &["--memory", "512", "--timeout", "60"]);
    let found = answer.as_array().unwrap().iter();
    let found: Vec<Vec<u64>> = found.map(statuses).collect();
    assert_eq!(found.len(), rows.len(), "{answer}");
    let names = rows.iter().map(|(name, ..)| *name);
    let allowed: Vec<_> = rows.iter().map(|(.., allowed)| allowed.clone()).collect();
    assert_meanings(&names.zip(found).collect::<Vec<_>>(), &allowed);
}

fn statuses(answer: &Value) -> Vec<u64> {
    let numbers = answer.as_array().unwrap().iter();
    numbers.map(|number| number.as_u64().unwrap()).collect()
}

/// The same for the port of a service.
#[test]
fn privileged_a_request_to_a_service_has_one_meaning() {
    if !privileged() {
        return;
    }
    let served = Served::start(&Lambent::new(), &[]);
    let path = "/2015-03-31/functions/nobody/invocations";
    let rows = requests("/health", path, 404, 404);
    let address = served.address();
    // At once: some connections stay open until nothing more is expected of them.
    let clients: Vec<_> = rows
        .iter()
        .map(|(_, pieces, _)| {
            let request: Vec<u8> = pieces
                .iter()
                .flat_map(|(bytes, times)| bytes.repeat(*times))
                .collect();
            std::thread::spawn(move || statuses_of(address, &request))
        })
        .collect();
    let found = clients.into_iter().map(|client| client.join().unwrap());
    let names = rows.iter().map(|(name, ..)| *name);
    let allowed: Vec<_> = rows.iter().map(|(.., allowed)| allowed.clone()).collect();
    assert_meanings(&names.zip(found).collect::<Vec<_>>(), &allowed);
    // It goes on.
    let good = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses_of(address, good), [200]);
}

/// The statuses of what is answered until the connection is closed, or nothing comes.
fn statuses_of(address: SocketAddr, request: &[u8]) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).unwrap();
    let patience = wait::patiently(Duration::from_secs(3));
    stream.set_read_timeout(Some(patience)).unwrap();
    // It may be refused before it is through.
    let _ = stream.write_all(request);
    let mut answers = vec![];
    let _ = stream.read_to_end(&mut answers);
    let answers = String::from_utf8_lossy(&answers);
    let heads = answers.split("HTTP/1.").skip(1);
    heads
        .filter_map(|head| head.get(2..5)?.parse().ok())
        .collect()
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

/// Answers that come when the time is up, a little before or after: each invocation has
/// one end, and no other gets its answer.
#[test]
fn privileged_an_answer_at_the_deadline_is_in_time_or_not() {
    if !privileged() {
        return;
    }
    // The number of the invocation outlives its process, and says by how many of half a
    // millisecond its answer is late.
    let code = r#"
import pathlib
seen = pathlib.Path("/tmp/number")
def handle(n):
    number = int(seen.read_text()) + 1 if seen.exists() else 0
    seen.write_text(str(number))
    due = deadline_ms / 1000 + (number - 6) / 2000
    time.sleep(max(due - time.time() - 0.002, 0))
    while time.time() < due: pass
    return [number, i]
"#;
    let lambent = Lambent::new();
    let arguments = ["--memory", "1769", "--repeat", "10", "--timeout", "1"];
    let run = script::serve(&lambent, code, &arguments);
    let results = run.results();
    assert_eq!(results.len(), 10, "{run:?}");
    for (number, result) in results.iter().enumerate() {
        let timed_out = result["payload"]["errorType"] == "Sandbox.Timedout";
        let own = json!([number, result["requestId"]]);
        assert!(timed_out || result["payload"] == own, "{result}");
        let log = result["logs"].as_str().unwrap();
        let reports: Vec<_> = log
            .lines()
            .filter(|line| line.starts_with("REPORT"))
            .collect();
        assert_eq!(reports.len(), 1, "{log}");
        // The time may also be up between the answer and the next request for an event.
        let reported = reports[0].ends_with("Status: timeout");
        assert!(reported || !timed_out, "{log}");
    }
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
