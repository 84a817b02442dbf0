//! Functions with extensions: Python for both, what each of them notes, and images
//! that have them.

use std::path::Path;

use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use serde_json::{Value, json};

use crate::leftovers::{self, Leftovers};
use crate::{Lambent, Run, fixtures};

/// A program of `/opt/extensions`: its name, its permissions, its content.
pub type Program<'a> = (&'a str, u32, Vec<u8>);

/// A runtime that answers with the number of the invocation, after [`RUNTIME`].
pub const COUNTING: &str = "serve(lambda event, number: number)";

/// `note`, which writes a JSON line with the time, as `NAME`: past Python's own files,
/// which refuse a handler of signals that comes while a line is written.
macro_rules! note {
    () => {
        r#"
def note(what, **more):
    line = json.dumps({"who": NAME, "what": what, "at": time.monotonic(), **more}) + "\n"
    line = line.encode()
    while line: line = line[os.write(1, line):]
"#
    };
}

/// What the lines of an extension begin with: how to talk to the Extensions API, and
/// `note`.
pub const EXTENSION: &str = concat!(
    r#"#!/usr/bin/python3
import http.client, json, os, signal, sys, threading, time
NAME = os.path.basename(sys.argv[0])
c = http.client.HTTPConnection("127.0.0.1", 9001)
"#,
    note!(),
    r#"def call(method, path, body=None, headers={}):
    c.request(method, "/2020-01-01/extension/" + path, body, headers)
    r = c.getresponse()
    return r.status, r.headers, r.read().decode()
def register(events, name=NAME):
    status, headers, body = call("POST", "register", json.dumps({"events": events}), {"Lambda-Extension-Name": name})
    assert status == 200, (status, body)
    return headers["Lambda-Extension-Identifier"]
def event(identifier):
    status, headers, body = call("GET", "event/next", None, {"Lambda-Extension-Identifier": identifier})
    assert status == 200, (status, body)
    assert len(headers["Lambda-Extension-Event-Identifier"]) == 36
    return json.loads(body)
def follow(events):
    "What an ordinary extension does: notes every event, and ends with SHUTDOWN."
    identifier = register(events)
    note("registered")
    while True:
        e = event(identifier)
        note(e["eventType"], event=e, left=e["deadlineMs"] / 1000 - time.time())
        if e["eventType"] == "SHUTDOWN": sys.exit(0)
"#
);

/// A runtime in Python: `handle(event, number)` makes the answer to the `number`th
/// invocation that this environment has had, from 1. It notes its start, each
/// invocation and SIGTERM, with which it ends.
pub const RUNTIME: &str = concat!(
    r#"
import http.client, json, os, signal, sys, threading, time
r = http.client.HTTPConnection("127.0.0.1", 9001)
NAME = "runtime"
"#,
    note!(),
    r#"def terminated(*_):
    note("SIGTERM")
    os._exit(0)
def count():
    with open("/tmp/count", "a+") as f:
        f.write(".")
        return f.tell()
def take():
    r.request("GET", "/2018-06-01/runtime/invocation/next")
    a = r.getresponse()
    return a.headers["lambda-runtime-aws-request-id"], json.loads(a.read())
def answer(identifier, value):
    r.request("POST", f"/2018-06-01/runtime/invocation/{identifier}/response", json.dumps(value))
    assert r.getresponse().read()
def serve(handle):
    signal.signal(signal.SIGTERM, terminated)
    note("started", descriptors=os.listdir("/proc/self/fd"))
    while True:
        identifier, event = take()
        number = count()
        note("invoked", requestId=identifier)
        answer(identifier, handle(event, number))
"#
);

/// Writes an image with Python and these programs in `/opt/extensions`, each with
/// its permissions, and returns its reference. It runs `runtime`.
///
/// # Panics
/// If it cannot be written.
pub fn image(directory: &Path, runtime: &str, programs: &[Program<'_>]) -> String {
    let [base, python] = fixtures::python_trees();
    let file = directory.join("extensions.tar");
    let plain = || LayerBuilder::new().compression(Compression::None);
    let mut layer = plain().directory("opt/extensions", 0o755);
    for (name, mode, content) in programs {
        layer = layer.file(format!("opt/extensions/{name}"), *mode, content.clone());
    }
    ImageBuilder::new(Platform::host())
        .entrypoint(["/usr/bin/python3", "-c", runtime])
        .env("PATH", "/usr/bin:/bin")
        .layer(plain().tree("", base))
        .layer(plain().tree("", python))
        .layer(layer)
        .write_oci_archive(&file, "latest")
        .expect("an image");
    format!("oci-archive:{}", file.display())
}

/// A program of `/opt/extensions` that does this after [`EXTENSION`].
pub fn program<'a>(name: &'a str, code: &str) -> Program<'a> {
    (name, 0o755, format!("{EXTENSION}{code}\n").into_bytes())
}

/// What was noted in a log, in the order of the notes' times: runtime and extensions
/// write through pipes of their own.
pub fn notes(log: &str) -> Vec<Value> {
    let mut notes: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|note| note["at"].is_number())
        .collect();
    notes.sort_by(|one, other| {
        let at = |note: &Value| note["at"].as_f64().unwrap_or_default();
        at(one).total_cmp(&at(other))
    });
    notes
}

/// Who did what, as `who what`, in order.
pub fn sequence(notes: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    notes
        .iter()
        .map(|note| format!("{} {}", text(&note["who"]), text(&note["what"])))
        .collect()
}

/// Runs `lambent invoke` with this code of the runtime after [`RUNTIME`], and these
/// programs in `/opt/extensions`.
///
/// # Panics
/// If anything of it stays on the host.
pub fn run(runtime: &str, programs: &[Program<'_>], arguments: &[&str]) -> Run {
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = image(directory.path(), &format!("{RUNTIME}{runtime}"), programs);
    let arguments = [&["--memory", "512"], arguments].concat();
    let run = lambent.invoke(&image, &json!({}), &arguments);
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}\n{run:?}");
    run
}

/// The type and the reason of the error that a run's result of this number is.
///
/// # Panics
/// If it is none of Lambda's own.
pub fn error(run: &Run, number: usize) -> (String, String) {
    let result = &run.results()[number];
    assert_eq!(result["functionError"], "Unhandled", "{run:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = text(&result["payload"]["errorMessage"]);
    let id = text(&result["requestId"]);
    let reason = message
        .strip_prefix(&format!("RequestId: {id} Error: "))
        .unwrap_or_else(|| panic!("{message}"));
    (text(&result["payload"]["errorType"]), reason.to_owned())
}

/// Lines of a log that begin so.
pub fn lines<'a>(log: &'a str, beginning: &str) -> Vec<&'a str> {
    log.lines()
        .filter(|line| line.starts_with(beginning))
        .collect()
}
