//! AWS's Lambda Web Adapter: an extension that nobody here wrote. It asks the Runtime API
//! for events in the place of a runtime, which is a web application that knows nothing of
//! Lambda. With `LAMBENT_TEST_FULL` only: it takes minutes to build.

use std::fs;

use lambent_e2e::extension::{image, lines, notes, sequence};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, boto3, privileged, web_adapter};
use rustix::process::Signal;
use serde_json::json;

/// A web application: it notes requests and SIGTERM, and `/slow` takes too long.
const APPLICATION: &str = r#"
import json, os, signal, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def note(what, **more):
    print(json.dumps({"who": "application", "what": what, "at": time.monotonic(), **more}), flush=True)
class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.answer()
    def do_POST(self): self.answer()
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        # Whether it is there is asked with this one.
        if self.path != "/ready": note(f"{self.command} {self.path}")
        if self.path == "/slow": time.sleep(600)
        context = json.loads(self.headers.get("x-amzn-lambda-context") or "{}")
        text = json.dumps({"body": body, "request": context.get("request_id")}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_): pass
def terminated(*_):
    note("SIGTERM")
    os._exit(0)
signal.signal(signal.SIGTERM, terminated)
note("started")
ThreadingHTTPServer(("127.0.0.1", 8080), Application).serve_forever()
"#;

/// What the application is sent through the function's URL, and what comes back.
const REQUESTS: &str = r#"
import http.client
h = http.client.HTTPConnection(ADDRESS)
out = []
def call(method, path, body=None):
    h.request(method, "/lambda-url/f" + path, body)
    r = h.getresponse()
    text = r.read().decode()
    out.append([r.status, json.loads(text) if r.status == 201 else text])
call("GET", "/one")
call("POST", "/two", "hello")
call("GET", "/three")
call("GET", "/slow")
call("GET", "/five")
"#;

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn privileged_a_web_application_is_served_by_awss_adapter() {
    if !privileged() {
        return;
    }
    if std::env::var_os("LAMBENT_TEST_FULL").is_none() {
        eprintln!("skipped: LAMBENT_TEST_FULL is not set");
        return;
    }
    let adapter = fs::read(web_adapter::built()).unwrap();
    let lambent = Lambent::new();
    let program = ("lambda-adapter", 0o755, adapter);
    let image = image(lambent.root(), APPLICATION, &[program]);
    let arguments = [
        image.as_str(),
        "--name",
        "f",
        "--memory",
        "1024",
        "--timeout",
        "3",
        "--env",
        "AWS_LWA_READINESS_CHECK_PATH=/ready",
    ];
    let served = Served::start(&lambent, &arguments);
    let code = REQUESTS.replace("ADDRESS", &format!("{:?}", served.address().to_string()));
    let out = boto3::out(&served, &code);
    let (status, log) = served.end(Signal::TERM);
    assert!(status.success(), "{log}");
    let bodies = ["", "hello", "", "Internal Server Error", ""];
    for (number, body) in bodies.into_iter().enumerate() {
        let (status, answer) = (&out[number][0], &out[number][1]);
        if number == 3 {
            // As a function URL says it of a function that failed.
            assert_eq!((status, answer), (&json!(502), &json!(body)), "{log}");
            continue;
        }
        assert_eq!(
            (status, &answer["body"]),
            (&json!(201), &json!(body)),
            "{log}"
        );
        let id = answer["request"].as_str().unwrap();
        assert!(
            log.contains(&format!("START RequestId: {id}")),
            "{id}: {log}"
        );
    }
    let started = "application started";
    let ended = "application SIGTERM";
    assert_eq!(
        sequence(&notes(&log)),
        [
            started,
            "application GET /one",
            "application POST /two",
            "application GET /three",
            "application GET /slow",
            ended,
            started,
            "application GET /five",
            ended,
        ],
        "{log}"
    );
    let state = "EXTENSION\tName: lambda-adapter\tState: Ready\tEvents: []";
    assert_eq!(lines(&log, state).len(), 2, "{log}");
    assert_eq!(lines(&log, "REPORT").len(), 5, "{log}");
}
