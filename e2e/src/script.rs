//! A few lines of Python in the place of a runtime, for what no runtime does.

use std::process::Child;

use serde_json::{Value, json};

use crate::fixtures::Fixture;
use crate::{Lambent, Run};

/// What comes before the lines: it takes an event, `c` being its connection and
/// `i` the request id.
pub const TAKE_EVENT: &str = r#"
import http.client, os, socket, threading
c = http.client.HTTPConnection("127.0.0.1", 9001)
c.request("GET", "/2018-06-01/runtime/invocation/next")
r = c.getresponse()
i = r.headers["lambda-runtime-aws-request-id"]
r.read()
"#;

/// What may come after them: it answers `"done"` and asks for the next event.
pub const DONE: &str = r#"
c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", '"done"')
c.getresponse().read()
c.request("GET", "/2018-06-01/runtime/invocation/next")
c.getresponse()
"#;

/// What comes before the lines of a function that is invoked again and again: `serve`
/// calls a function with the number of each invocation, `i` being its request id and
/// `deadline_ms` its deadline, and answers with what it returns.
const SERVE: &str = r#"
import http.client, json, os, socket, threading, time
def serve(handle):
    global i, deadline_ms
    c = http.client.HTTPConnection("127.0.0.1", 9001)
    n = 0
    while True:
        c.request("GET", "/2018-06-01/runtime/invocation/next")
        r = c.getresponse()
        i = r.headers["lambda-runtime-aws-request-id"]
        deadline_ms = int(r.headers["lambda-runtime-deadline-ms"])
        r.read()
        n += 1
        answer = handle(n)
        answer = json.dumps("done" if answer is None else answer)
        c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", answer)
        c.getresponse().read()
"#;

/// The arguments that put `code` in the place of a runtime, which defines `handle`; it
/// is called with the number of each invocation, from 1. What it returns is the answer,
/// `"done"` if that is nothing.
pub fn serving(code: &str) -> [String; 4] {
    let entrypoint = json!(serving_entrypoint(code)).to_string();
    [
        "--entrypoint".into(),
        entrypoint,
        "--cmd".into(),
        "[]".into(),
    ]
}

/// Runs `lambent invoke` to its end with a function like that.
///
/// # Panics
/// If the program cannot be started.
pub fn serve(lambent: &Lambent, code: &str, arguments: &[&str]) -> Run {
    let ours = serving(code);
    let image = lambent.reference(Fixture::PythonOciArchive);
    let arguments = [&ours.each_ref().map(String::as_str), arguments].concat();
    lambent.invoke(&image, &json!({}), &arguments)
}

/// The members of a `CreateFunction` that do the same.
pub fn serving_config(code: &str) -> Value {
    json!({"ImageConfig": {"EntryPoint": serving_entrypoint(code), "Command": []}})
}

fn serving_entrypoint(code: &str) -> [String; 3] {
    let code = format!("{SERVE}{code}\nserve(handle)\n");
    ["/usr/bin/python3".to_owned(), "-c".to_owned(), code]
}

/// Starts `lambent invoke` with `code` in the place of a runtime, after it has
/// taken the event.
///
/// # Panics
/// If the program cannot be started.
pub fn start(lambent: &Lambent, code: &str, arguments: &[&str]) -> Child {
    start_bare(lambent, &format!("{TAKE_EVENT}{code}"), arguments)
}

/// Starts `lambent invoke` with `code` in the place of a runtime, from INIT on.
///
/// # Panics
/// If the program cannot be started.
pub fn start_bare(lambent: &Lambent, code: &str, arguments: &[&str]) -> Child {
    let entrypoint = json!(["/usr/bin/python3", "-c", code]).to_string();
    let ours = ["--entrypoint", &entrypoint, "--cmd", "[]"];
    let image = lambent.reference(Fixture::PythonOciArchive);
    lambent.start_invoke(&image, &json!({}), &[&ours, arguments].concat())
}

/// Runs `code` after it has taken the event. What it leaves in the dictionary
/// `answer` is the result; `ctypes`, `errno`, `json` and `sys` are imported.
///
/// # Panics
/// If the function does not answer.
pub fn findings(code: &str, arguments: &[&str]) -> Value {
    findings_of(&Lambent::new(), code, arguments)
}

/// The same with an installation that a test has made.
///
/// # Panics
/// If the function does not answer.
pub fn findings_of(lambent: &Lambent, code: &str, arguments: &[&str]) -> Value {
    let answer = DONE.replacen("'\"done\"'", "json.dumps(answer)", 1);
    let code = format!("import ctypes, errno, json, sys\nanswer = {{}}\n{code}\n{answer}");
    let run: Run = start(lambent, &code, arguments)
        .wait_with_output()
        .expect("lambent ends")
        .into();
    run.payload()
}
