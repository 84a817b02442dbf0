//! Extensions that do not behave, and what their functions' callers get.

use std::fs;

use lambent_e2e::extension::{
    self, COUNTING, Program, RUNTIME, error, lines, notes, program, run, sequence,
};
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, fixtures, privileged, wait};
use serde_json::json;

#[test]
fn privileged_extensions_that_fail_fail_their_function_as_on_lambda() {
    if !privileged() {
        return;
    }
    let report = r#"
identifier = register(["INVOKE"])
status, _, body = call("POST", "PATH/error", '{"errorMessage": "no"}', {"Lambda-Extension-Identifier": identifier, "Lambda-Extension-Function-Error-Type": "Extension.Mine"})
assert (status, body) == (202, '{"status":"OK"}\n'), (status, body)
sys.exit(9)
"#;
    let on_invoke =
        |code: &str| format!("identifier = register(['INVOKE'])\nevent(identifier)\n{code}");
    let as_text = |name, mode, text: &str| (name, mode, text.as_bytes().to_vec());
    let cases: Vec<(&str, Vec<Program<'_>>, &str, &str, &str)> = vec![
        // What happens in INIT happens twice, and the second time is the answer.
        (
            "ends in INIT",
            vec![program("bad", "sys.exit(3)")],
            "Extension.Crash",
            "exit status 3",
            "EXTENSION\tName: bad\tState: Started\tEvents: []",
        ),
        (
            "ends in INIT without an error, after it has registered",
            vec![program("bad", "register(['INVOKE'])\nsys.exit(0)")],
            "Extension.Crash",
            "exit code 0",
            "EXTENSION\tName: bad\tState: Registered\tEvents: [INVOKE]",
        ),
        (
            "reports init/error",
            vec![program("bad", &report.replace("PATH", "init"))],
            "Extension.InitError",
            "exit status 9",
            "EXTENSION\tName: bad\tState: InitError\tEvents: [INVOKE]\tError Type: Extension.Mine",
        ),
        (
            "reports exit/error",
            vec![program("bad", &report.replace("PATH", "exit"))],
            "Extension.ExitError",
            "exit status 9",
            "EXTENSION\tName: bad\tState: ExitError\tEvents: [INVOKE]\tError Type: Extension.Mine",
        ),
        (
            "is not executable",
            vec![as_text("notes.txt", 0o644, "hello")],
            "Extension.LaunchError",
            "fork/exec /opt/extensions/notes.txt: permission denied",
            "EXTENSION\tName: notes.txt\tState: LaunchError\tEvents: []\tError Type: PermissionDenied",
        ),
        (
            "is not a program",
            vec![as_text("notes.txt", 0o755, "hello")],
            "Extension.LaunchError",
            "fork/exec /opt/extensions/notes.txt: exec format error",
            "EXTENSION\tName: notes.txt\tState: LaunchError\tEvents: []\tError Type: UnknownError",
        ),
        // The rest fails in the invocation, after an INIT that went well.
        (
            "ends in an invocation",
            vec![program("bad", &on_invoke("os.kill(os.getpid(), 11)"))],
            "Extension.Crash",
            "signal: segmentation fault",
            "EXTENSION\tName: bad\tState: Ready\tEvents: [INVOKE]",
        ),
    ];
    for (what, programs, kind, reason, line) in cases {
        // A runtime that never answers: an extension's fault is what ends it.
        let run = run(
            "serve(lambda event, number: time.sleep(600))",
            &programs,
            &["--timeout", "30"],
        );
        assert_eq!(run.status, 1, "{what}: {run:?}");
        assert_eq!(
            error(&run, 0),
            (kind.to_owned(), reason.to_owned()),
            "{what}"
        );
        let logs = run.result()["logs"].as_str().unwrap().to_owned();
        let status = format!("Status: error\tError Type: {kind}");
        assert!(
            lines(&logs, "REPORT")[0].ends_with(&status),
            "{what}: {logs}"
        );
        let in_init = !line.contains("Ready");
        let times = if in_init { 2 } else { 1 };
        assert_eq!(lines(&logs, "EXTENSION"), vec![line; times], "{what}");
        let inits = lines(&logs, "INIT_REPORT");
        if in_init {
            assert!(
                inits[0].ends_with(&format!("Phase: init\t{status}")),
                "{what}: {logs}"
            );
            assert!(
                inits[1].ends_with(&format!("Phase: invoke\t{status}")),
                "{what}: {logs}"
            );
            assert_eq!(inits.len(), 2, "{what}: {logs}");
        } else {
            assert!(inits.is_empty(), "{what}: {logs}");
        }
    }
}

#[test]
fn privileged_eleven_extensions_are_one_too_many() {
    if !privileged() {
        return;
    }
    let names: Vec<String> = (0..11).map(|number| format!("agent{number:02}")).collect();
    let all: Vec<Program<'_>> = names
        .iter()
        .map(|name| {
            (
                name.as_str(),
                0o755,
                fs::read(fixtures::extension()).unwrap(),
            )
        })
        .collect();
    let run_with = |count: usize| run(COUNTING, &all[..count], &["--timeout", "30"]);
    let ten = run_with(10);
    assert_eq!(ten.payload(), 1);
    assert_eq!(lines(&ten.stderr, "EXTENSION").len(), 10, "{ten:?}");
    let eleven = run_with(11);
    assert_eq!(
        error(&eleven, 0),
        (
            "Extension.LaunchError".to_owned(),
            "ErrTooManyExtensions".to_owned()
        )
    );
    let last =
        "EXTENSION\tName: agent10\tState: LaunchError\tEvents: []\tError Type: TooManyExtensions";
    assert!(
        lines(&eleven.stderr, "EXTENSION").contains(&last),
        "{eleven:?}"
    );
}

#[test]
fn privileged_who_never_registers_or_never_asks_uses_up_init_and_the_timeout() {
    if !privileged() {
        return;
    }
    for (code, state) in [
        ("time.sleep(600)", "Started\tEvents: []"),
        (
            "register(['SHUTDOWN'])\ntime.sleep(600)",
            "Registered\tEvents: [SHUTDOWN]",
        ),
    ] {
        let run = run(COUNTING, &[program("slow", code)], &["--timeout", "1"]);
        let (kind, reason) = error(&run, 0);
        assert_eq!(kind, "Sandbox.Timedout", "{run:?}");
        assert_eq!(reason, "Task timed out after 1.00 seconds");
        let logs = run.result()["logs"].as_str().unwrap().to_owned();
        let inits = lines(&logs, "INIT_REPORT");
        assert!(
            inits[0].starts_with("INIT_REPORT Init Duration: 10"),
            "{logs}"
        );
        assert!(inits[0].ends_with("Phase: init\tStatus: timeout"), "{logs}");
        assert!(
            inits[1].ends_with("Phase: invoke\tStatus: timeout"),
            "{logs}"
        );
        let line = format!("EXTENSION\tName: slow\tState: {state}");
        assert_eq!(lines(&logs, "EXTENSION"), [&line, &line], "{logs}");
    }
}

#[test]
fn privileged_who_ignores_the_end_is_killed() {
    if !privileged() {
        return;
    }
    let deaf = program(
        "deaf",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nidentifier = register(['SHUTDOWN'])\n\
         note(event(identifier)['eventType'])\ntime.sleep(600)",
    );
    // Not told of the end, so it goes at once, whatever it does.
    let uninterested = program("uninterested", "follow(['INVOKE'])");
    let run = run(
        "def ignored(*_): note('ignored')\n\
         def serve_deaf():\n  signal.signal(signal.SIGTERM, ignored)\n  while True:\n    \
         identifier, _ = take()\n    answer(identifier, 'done')\n\
         serve_deaf()",
        &[deaf, uninterested],
        &["--timeout", "20"],
    );
    assert_eq!(run.payload(), "done");
    let all = sequence(&notes(&run.stderr));
    let ends = ["runtime ignored", "deaf SHUTDOWN"].map(str::to_owned);
    assert!(all.ends_with(&ends), "{all:?}");
}

/// Every refusal, as a client gets it. What can be refused in every state is in the
/// tables of the unit tests; this is that they come out as HTTP.
#[test]
fn privileged_refusals_are_lambdas() {
    if !privileged() {
        return;
    }
    let agent = program(
        "agent",
        r#"
out = {}
def attempt(what, *arguments):
    status, headers, body = call(*arguments)
    out[what] = [status, headers["Content-Type"], json.loads(body)]
def named(name): return {"Lambda-Extension-Name": name}
attempt("no name", "POST", "register", '{"events": []}')
attempt("no body", "POST", "register", "", named("agent"))
attempt("large", "POST", "register", " " * (2 << 20), named("agent"))
attempt("keys", "POST", "register", '{"events": [], "configurationKeys": ["a"]}', named("agent"))
attempt("event", "POST", "register", '{"events": ["INVOKE", "STOP"]}', named("agent"))
attempt("internal", "POST", "register", '{"events": ["SHUTDOWN"]}', named("inner"))
attempt("no identifier", "GET", "event/next")
attempt("nobody's init error", "POST", "init/error", "{}", {"Lambda-Extension-Function-Error-Type": "Extension.X"})
attempt("bad identifier", "GET", "event/next", None, {"Lambda-Extension-Identifier": "x"})
nobody = {"Lambda-Extension-Identifier": "00000000-0000-4000-8000-000000000000"}
kind = {"Lambda-Extension-Function-Error-Type": "Extension.X"}
attempt("nobody", "GET", "event/next", None, nobody)
attempt("nobody's error", "POST", "exit/error", "{}", {**nobody, **kind})
attempt("nowhere", "GET", "event/last", None, nobody)
identifier = register(["INVOKE"])
own = {"Lambda-Extension-Identifier": identifier}
attempt("twice", "POST", "register", '{"events": []}', named("agent"))
attempt("no type", "POST", "init/error", "{}", own)
first = event(identifier)
attempt("late error", "POST", "init/error", "{}", {**own, **kind})
attempt("late", "POST", "register", '{"events": []}', named("other"))
note("refused", out=out, id=identifier)
event(identifier)
"#,
    );
    let run = run(COUNTING, &[agent], &["--timeout", "20"]);
    assert_eq!(run.payload(), 1);
    let notes = notes(&run.stderr);
    let refused = notes.iter().find(|note| note["what"] == "refused").unwrap();
    let id = refused["id"].as_str().unwrap();
    let transition = |from: &str, to: &str, who: &str| {
        format!(
            "State transition from {from} to {to} failed for extension {who}. \
             Error: State transition is not allowed"
        )
    };
    let unknown = "Extension.UnknownExtensionIdentifier";
    for (what, status, kind, text) in [
        (
            "no name",
            403,
            "Extension.InvalidExtensionName",
            "Empty extension name".to_owned(),
        ),
        (
            "no body",
            403,
            "InvalidRequestFormat",
            "EOF while parsing a value at line 1 column 0".to_owned(),
        ),
        (
            "large",
            403,
            "InvalidRequestFormat",
            "the body is too large".to_owned(),
        ),
        (
            "keys",
            403,
            "InvalidRequestFormat",
            "configurationKeys are deprecated; use environment variables instead".to_owned(),
        ),
        (
            "event",
            403,
            "Extension.InvalidEventType",
            "STOP: ErrorInvalidEventType".to_owned(),
        ),
        (
            "internal",
            403,
            "Extension.InvalidEventType",
            "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension".to_owned(),
        ),
        (
            "nobody's init error",
            403,
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header".to_owned(),
        ),
        (
            "no identifier",
            403,
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header".to_owned(),
        ),
        (
            "bad identifier",
            403,
            "Extension.InvalidExtensionIdentifier",
            "Invalid Lambda-Extension-Identifier".to_owned(),
        ),
        (
            "nobody",
            403,
            unknown,
            "Unknown extension 00000000-0000-4000-8000-000000000000".to_owned(),
        ),
        (
            "nobody's error",
            403,
            unknown,
            "Unknown Lambda-Extension-Identifier".to_owned(),
        ),
        ("nowhere", 404, "NotFound", "Not found".to_owned()),
        (
            "twice",
            403,
            "Extension.InvalidExtensionState",
            transition("Registered", "Registered", "agent"),
        ),
        (
            "no type",
            403,
            "Extension.MissingHeader",
            "Lambda-Extension-Function-Error-Type not found".to_owned(),
        ),
        (
            "late error",
            403,
            "Extension.InvalidExtensionState",
            transition("Running", "InitError", id),
        ),
        (
            "late",
            403,
            "Extension.RegistrationClosed",
            "Extension registration closed already".to_owned(),
        ),
    ] {
        assert_eq!(
            refused["out"][what],
            json!([status, "application/json", {"errorType": kind, "errorMessage": text}]),
            "{what}"
        );
    }
}

#[test]
fn privileged_extensions_share_the_memory_of_their_function() {
    if !privileged() {
        return;
    }
    let hungry = program(
        "hungry",
        "identifier = register(['INVOKE', 'SHUTDOWN'])\nevent(identifier)\n\
         hoard = bytearray(600 << 20)\nfor i in range(0, len(hoard), 4096): hoard[i] = 1\n\
         event(identifier)",
    );
    let run = run(
        "serve(lambda event, number: time.sleep(600))",
        &[hungry],
        &["--timeout", "30"],
    );
    assert_eq!(error(&run, 0).0, "Runtime.OutOfMemory");
    let report = lines(&run.stderr, "REPORT")[0];
    assert!(report.contains("Max Memory Used: 512 MB"), "{report}");
}

/// One that fails ends all: the runtime, and the others with their time.
#[test]
fn privileged_who_fails_takes_the_others_along() {
    if !privileged() {
        return;
    }
    let bad = program(
        "bad",
        "identifier = register(['INVOKE'])\nevent(identifier)\nos.kill(os.getpid(), 9)",
    );
    let good = program("good", "follow(['INVOKE', 'SHUTDOWN'])");
    let run = run(
        "serve(lambda event, number: time.sleep(600))",
        &[bad, good],
        &["--timeout", "30"],
    );
    let killed = ("Extension.Crash", "signal: killed");
    assert_eq!(error(&run, 0), (killed.0.to_owned(), killed.1.to_owned()));
    let notes = notes(&run.stderr);
    let all = sequence(&notes);
    // The good one may note its INVOKE when the runtime is at its end already.
    assert!(all.contains(&"runtime SIGTERM".to_owned()), "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("good SHUTDOWN"));
    let last = &notes[notes.len() - 1]["event"];
    assert_eq!(last["shutdownReason"], "failure", "{last}");
}

/// Extensions go with everything else when the command is killed.
#[test]
fn privileged_a_killed_command_leaves_no_extension() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let runtime = format!("{RUNTIME}serve(lambda event, number: time.sleep(600))");
    let deaf = program(
        "deaf",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nidentifier = register(['INVOKE', 'SHUTDOWN'])\n\
         event(identifier)\ntime.sleep(600)",
    );
    let image = extension::image(directory.path(), &runtime, &[deaf]);
    let mut child =
        lambent.start_invoke(&image, &json!({}), &["--memory", "512", "--timeout", "60"]);
    let services = || leftovers::services(lambent.root());
    let left = || Leftovers::of(lambent.root(), &services());
    wait::until("init, extension and runtime run", || {
        let pythons = left().processes.into_iter();
        pythons
            .filter(|process| process.ends_with("python3") || process.ends_with("deaf"))
            .count()
            >= 2
    });
    let names = services();
    child.kill().unwrap();
    child.wait().unwrap();
    wait::until("nothing is left", || {
        Leftovers::of(lambent.root(), &names).is_empty()
    });
}
