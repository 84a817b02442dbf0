//! `lambent invoke --debug-port`: a debugger in the environment.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use lambent_e2e::debugpy::{self, Debugger};
use lambent_e2e::{Lambent, Run, privileged};
use serde_json::{Value, json};

/// The function's source, as it is in the image.
const SOURCE: &str = include_str!("../functions/python/app.py");

/// A statement of the handler.
const STATEMENT: &str = "action = ACTIONS.get(name)";

/// A command that does not outlive a test that fails.
struct Running(Option<Child>);

impl Running {
    fn finish(mut self) -> Run {
        let child = self.0.take().unwrap();
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody uses at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// An editor attaches, stops in the handler for longer than the function may take,
/// looks at the event, and goes on.
#[test]
fn privileged_a_debugger_attaches_and_has_time() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let entrypoint = json!([
        "/usr/bin/python3",
        "-X",
        "frozen_modules=off",
        "-m",
        "debugpy",
        "--listen",
        listen,
        "--wait-for-client",
        "-m",
        "awslambdaric"
    ]);
    let directory = tempfile::tempdir().unwrap();
    let event = json!({"action": "echo", "word": "xyzzy"});
    let child = Running(Some(lambent.start_invoke(
        &debugpy::image(directory.path(), SOURCE),
        &event,
        &[
            "--debug-port",
            &port.to_string(),
            "--timeout",
            "1",
            "--memory",
            "1769",
            "--entrypoint",
            &entrypoint.to_string(),
        ],
    )));
    let mut debugger = Debugger::connect(port);
    debugger.ask(
        "initialize",
        &json!({"adapterID": "test", "pathFormat": "path"}),
    );
    debugger.say("attach", &json!({"justMyCode": false}));
    debugger.event("initialized");
    let line = SOURCE
        .lines()
        .position(|line| line.contains(STATEMENT))
        .unwrap()
        + 1;
    debugger.ask(
        "setBreakpoints",
        &json!({"source": {"path": "/var/task/app.py"}, "breakpoints": [{"line": line}]}),
    );
    debugger.say("configurationDone", &json!({}));
    let thread = debugger.event("stopped")["threadId"].clone();
    let stack = debugger.ask("stackTrace", &json!({"threadId": thread}));
    let frame = stack["stackFrames"][0]["id"].clone();
    // Longer than the function's time-out.
    sleep(Duration::from_millis(1_500));
    let expression = json!({"expression": "event['word']", "frameId": frame});
    let seen = debugger.ask("evaluate", &expression);
    assert_eq!(seen["result"], "'xyzzy'");
    debugger.say("continue", &json!({"threadId": thread}));
    let run = child.finish();
    assert_eq!(run.status, 0, "{run:?}");
    let printed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(printed["payload"]["event"]["word"], "xyzzy", "{printed}");
    assert!(
        printed["report"]["durationMs"].as_f64().unwrap() > 1_500.0,
        "{printed}"
    );
    assert!(
        run.stderr
            .contains(&format!("{listen} leads to port {port}")),
        "{run:?}"
    );
}

#[test]
fn ports_that_cannot_be_are_refused() {
    let lambent = Lambent::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    for (port, status, part) in [
        ("9001", 2, "the Runtime API's"),
        ("0", 2, "--debug-port"),
        (&taken, 4, "in use"),
    ] {
        let run = lambent.run(["invoke", "image.tar", "--debug-port", port]);
        assert_eq!(run.status, status, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
}
