//! `lambent test`: suites on real functions.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

use lambent_e2e::fixtures::{Fixture, python_trees};
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::wait::{self, seconds};
use lambent_e2e::{Lambent, Run, fixtures, privileged, readme};
use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An installation, and a directory with suites.
struct Place {
    lambent: Lambent,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            lambent: Lambent::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A suite for an image, with time and memory for any interpreter.
    fn suite(&self, name: &str, image: Fixture, cases: &str) -> PathBuf {
        let head = format!(
            "image: \"{}\"\nmemory_size: 512\ntimeout: {}\n",
            image.reference(),
            seconds(30)
        );
        self.write(name, &format!("{head}{cases}"))
    }

    fn test(&self, suite: &Path, arguments: &[&str]) -> Run {
        let ours = ["test", suite.to_str().unwrap()];
        self.lambent.run(ours.iter().chain(arguments))
    }

    /// The results as JSON.
    fn results(&self, suite: &Path, arguments: &[&str]) -> (i32, Value) {
        let run = self.test(suite, &[&["--output", "json"], arguments].concat());
        let results = serde_json::from_str(&run.stdout);
        (
            run.status,
            results.unwrap_or_else(|error| panic!("{error}: {run:?}")),
        )
    }
}

/// The cases of the first suite, by `of`.
fn cases<T>(results: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    let cases = results["suites"][0]["cases"].as_array().unwrap();
    cases.iter().map(of).collect()
}

fn name_and_status(case: &Value) -> String {
    format!(
        "{} {}",
        case["name"].as_str().unwrap(),
        case["status"].as_str().unwrap()
    )
}

/// What holds for every runtime.
const HOLDS: &str = r#"
cases:
- name: response
  event: {action: echo, text: "ü\U0001F980"}
  expect:
    response: {event: {text: "ü\U0001F980", action: echo}}
- name: part, transform, log
  event: {action: log, lines: [one, two]}
  expect:
  - {contains: {}, transform: '{n: .lines}', log_contains: [one, two]}
  - {response: 2, transform: .lines}
- name: error
  event: {action: raise, message: no}
  expect: {error_type: DemoError, error_contains: {errorMessage: "no"}}
- name: exit
  event: {action: exit, code: 3}
  expect: {error_contains: {errorType: Runtime.ExitError}}
- name: limits
  event: {action: counter}
  expect: {max_memory: 512, max_duration: 900s, max_init: 900s, cold_start: true, response: {count: 1}}
- name: environment
  event: {action: env}
  environment: {STAGE: local, NN: 1}
  expect: {transform: .STAGE + .NN, response: local1}
"#;

/// What does not, and the part of the output that says so.
const FAILS: &[(&str, &str, &str)] = &[
    (
        "whole",
        "event: {action: counter}\n  expect: {response: {count: 2}}",
        "-  \"count\": 2\n    +  \"count\": 1",
    ),
    (
        "part",
        "event: {action: counter}\n  expect: {contains: {count: 7}}",
        "is not what came, from .count on",
    ),
    (
        "transform",
        "event: {action: counter}\n  expect: {transform: .count.x, response: 1}",
        "the transform .count.x fails",
    ),
    (
        "failed",
        "event: {action: raise, message: why}",
        "the function failed: DemoError: why",
    ),
    (
        "answered",
        "event: {action: counter}\n  expect: {error_type: DemoError}",
        "the function answered instead: {\"count\":1}",
    ),
    (
        "error",
        "event: {action: raise, message: why}\n  expect: {error_type: Other}",
        "+\"DemoError\"",
    ),
    (
        "log",
        "event: {action: log, lines: [one]}\n  expect: {log_contains: two}",
        "the log does not have \"two\"",
    ),
    (
        "duration",
        "event: {action: counter}\n  expect: {max_duration: 0ms}",
        "more than 0.00 ms",
    ),
    (
        "init",
        "event: {action: counter}\n  expect: {max_init: 0ms}",
        "INIT took ",
    ),
    (
        "memory",
        "event: {action: counter}\n  expect: {max_memory: 0}",
        "more than 0 MB",
    ),
    (
        "warm",
        "event: {action: counter}\n  expect: {cold_start: false}",
        "the start was cold",
    ),
];

#[test]
fn privileged_every_expectation_holds_or_says_why_not() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    for (name, image) in [
        ("python.yaml", Fixture::PythonOciArchive),
        ("node.yaml", Fixture::NodeDockerArchive),
        ("rust.yaml", Fixture::RustOciArchive),
    ] {
        let suite = place.suite(name, image, HOLDS);
        let run = place.test(&suite, &[]);
        assert_eq!(run.status, 0, "{run:?}");
        assert!(run.stdout.contains("6 passed, 0 failed in "), "{run:?}");
        assert!(run.stdout.contains(&format!("{name}: limits (")), "{run:?}");
    }
    let fails: Vec<_> = FAILS
        .iter()
        .map(|(name, case, _)| format!("- name: {name}\n  {case}\n"))
        .collect();
    let text = format!("cases:\n{}", fails.concat());
    let suite = place.suite("fails.yaml", Fixture::RustOciArchive, &text);
    let run = place.test(&suite, &[]);
    assert_eq!(run.status, 1, "{run:?}");
    let summary = format!("0 passed, {} failed in ", FAILS.len());
    assert!(run.stdout.contains(&summary), "{run:?}");
    for (name, _, part) in FAILS {
        let of_case = run.stdout.split("FAILED ").find(|text| {
            let line = text.lines().next().unwrap_or_default();
            line.contains(&format!("fails.yaml: {name} ("))
        });
        let of_case = of_case.unwrap_or_else(|| panic!("{name}: {run:?}"));
        assert!(of_case.contains(part), "{name}: {}", run.stdout);
        // Where it is written, and what the function logged.
        assert!(of_case.contains("fails.yaml:"), "{name}: {}", run.stdout);
        assert!(
            of_case.contains("START RequestId: "),
            "{name}: {}",
            run.stdout
        );
    }
}

#[test]
fn privileged_throttling_and_time_outs_are_seen() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = "memory_size: 128\ncases:\n\
        - {name: burns, event: {action: burn, cpuMs: 100}, expect: {throttled: true}}\n\
        - {name: held up, event: {action: burn, cpuMs: 100}, expect: {throttled: false}}\n\
        - {name: late, timeout: 1, event: {action: sleep, ms: 60000},\n   \
           expect: {error_type: Sandbox.Timedout, error_contains: {errorType: Sandbox.Timedout}}}\n";
    let image = Fixture::RustOciArchive.reference();
    let suite = place.write(
        "s.yaml",
        &format!("image: \"{image}\"\ntimeout: 60\n{text}"),
    );
    let (status, results) = place.results(&suite, &["--jobs", "1"]);
    assert_eq!(status, 1, "{results:#}");
    assert_eq!(
        cases(&results, name_and_status),
        ["burns passed", "held up failed", "late passed"],
        "{results:#}"
    );
    let failure = &results["suites"][0]["cases"][1]["failure"]["mismatches"][0];
    assert_eq!(failure["line"], 6, "{results:#}");
    assert_eq!(failure["expectation"], "cases[1].expect.throttled");
}

#[test]
fn privileged_environments_are_new_or_shared() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = r"
start: warm
cases:
- {name: first, event: {action: counter}, expect: {response: {count: 1}, cold_start: false}}
- {name: cold, start: cold, repeat: 3, event: {action: counter}, expect: {response: {count: 1}, cold_start: true}}
- {name: second, event: {action: counter}, expect: {response: {count: 2}}}
- {name: elsewhere, environment: {AB: c}, event: {action: counter}, expect: {response: {count: 1}}}
- {name: dies, event: {action: exit, code: 1}, expect: {error_type: Runtime.ExitError}}
- {name: again, event: {action: counter}, expect: {response: {count: 1}, cold_start: false}}
- {name: differs, repeat: 2, event: {action: counter}, expect: {response: {count: 2}}}
- {name: lanes, concurrency: 2, repeat: 6, event: {action: counter}, expect: {transform: .count <= 5, response: true}}
- {name: cold lanes, start: cold, concurrency: 3, event: {action: counter}, expect: {response: {count: 1}}}
";
    let suite = place.suite("s.yaml", Fixture::RustOciArchive, text);
    let (status, results) = place.results(&suite, &[]);
    assert_eq!(status, 1, "{results:#}");
    let seen = cases(&results, |case| {
        format!(
            "{} {} {}",
            name_and_status(case),
            case["invocations"],
            case["failedInvocations"]
        )
    });
    assert_eq!(
        seen,
        [
            "first passed 1 0",
            "cold passed 3 0",
            "second passed 1 0",
            "elsewhere passed 1 0",
            "dies passed 1 0",
            "again passed 1 0",
            "differs failed 2 1",
            "lanes passed 6 0",
            "cold lanes passed 3 0",
        ],
        "{results:#}"
    );
    let (status, results) = place.results(&suite, &["--filter", "cold", "--filter", "second"]);
    // By itself, the second one is the first of its environment.
    assert_eq!(status, 1, "{results:#}");
    assert_eq!(
        cases(&results, name_and_status),
        ["cold passed", "second failed", "cold lanes passed"]
    );
}

#[test]
fn privileged_layers_and_task_roots_are_mounted() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let handler = |word: &str| format!("def handler(event, context):\n    return '{word}'\n");
    place.write("layer/from_layer.py", &handler("layer"));
    place.write("code/app.py", &handler("code"));
    let image = fixtures::python_runtime_reference();
    let text = format!(
        "image: \"{image}\"\nmemory_size: 512\ntimeout: {}\ncases:\n\
         - {{name: layer, layers: [layer], environment: {{PYTHONPATH: '/var/runtime:/opt'}}, \
            command: from_layer.handler, expect: {{response: layer}}}}\n\
         - {{name: code, task_root: code, command: app.handler, expect: {{response: code}}}}\n",
        seconds(30)
    );
    let suite = place.write("s.yaml", &text);
    let run = place.test(&suite, &[]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stderr.contains("Lambda refuses layers"), "{run:?}");
    let strict = place.test(&suite, &["--strict"]);
    assert_eq!(strict.status, 2, "{strict:?}");
}

#[test]
fn privileged_results_have_other_forms() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = "cases:\n\
        - {name: good, event: {action: counter}}\n\
        - {name: \"bad <&> name\", event: {action: log, lines: [\"a\\e[31m]]>\"]}, expect: {response: 1}}\n";
    let suite = place.suite("s.yaml", Fixture::RustOciArchive, text);
    let file = place.path("junit.xml");
    let (status, results) = place.results(&suite, &["--junit", file.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert_eq!(
        (&results["passed"], &results["failed"]),
        (&json!(1), &json!(1))
    );
    let bad = &results["suites"][0]["cases"][1];
    let mismatch = &bad["failure"]["mismatches"][0];
    assert!(mismatch["diff"].as_str().unwrap().contains("-1"), "{bad:#}");
    assert!(
        bad["failure"]["log"]
            .as_str()
            .unwrap()
            .contains("a\u{1b}[31m]]>")
    );
    let junit = fs::read_to_string(file).unwrap();
    assert!(junit.starts_with("<?xml"), "{junit}");
    for count in [r#"tests="2""#, r#"failures="1""#] {
        assert!(junit.contains(count), "{junit}");
    }
    assert!(junit.contains("bad &lt;&amp;&gt; name"), "{junit}");
    assert!(!junit.contains('\u{1b}'), "{junit}");
    // As one that reads XML reads it.
    let parsed = std::process::Command::new("python3")
        .args(["-c", "import sys, xml.dom.minidom as x\nprint(len(x.parse(sys.stdin).getElementsByTagName('testcase')))"])
        .stdin(fs::File::open(place.path("junit.xml")).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&parsed.stdout), "2\n", "{parsed:?}");
    let run = place.test(&suite, &["--output", "junit"]);
    assert!(run.stdout.starts_with("<?xml"), "{run:?}");
}

#[test]
fn privileged_suites_are_updated_and_stay_so() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = r"# What the function does.
cases:
  - name: inline # why
    event: {action: counter}
    expect: {response: null} # to be found out
  - name: block
    event: {action: echo, text: x y}
    expect:
      # Whole.
      response:
        event: {}
      max_memory: 512

  - name: part
    event: {action: echo, text: z}
    expect: {transform: .event, contains: {text: a}}
  - name: error
    event: {action: raise, message: m}
    expect: {error_type: Other}
  - name: right
    event: {action: counter}
    expect: {response: {count: 1}}
";
    let suite = place.suite("s.yaml", Fixture::RustOciArchive, text);
    let before = fs::read_to_string(&suite).unwrap();
    let run = place.test(&suite, &["--update"]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(
        run.stdout.contains("1 passed, 4 updated, 0 failed"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains("s.yaml: 4 expectations updated"),
        "{run:?}"
    );
    let after = fs::read_to_string(&suite).unwrap();
    let expected = before
        .replace("response: null", r#"response: {"count": 1}"#)
        .replace(
            "        event: {}",
            "        event:\n          action: echo\n          text: x y",
        )
        .replace("{text: a}", r#"{"text": "z"}"#)
        .replace("Other", r#""DemoError""#);
    assert_eq!(after, expected);
    for arguments in [&["--update"][..], &[]] {
        let run = place.test(&suite, arguments);
        assert_eq!(run.status, 0, "{run:?}");
        assert!(run.stdout.contains("5 passed, 0 failed"), "{run:?}");
        assert_eq!(fs::read_to_string(&suite).unwrap(), after);
    }
    // Answers that differ, and failures, are nothing to expect.
    let text = "cases:\n\
        - {name: differs, start: warm, repeat: 2, event: {action: counter}, expect: {response: 0}}\n\
        - {name: fails, event: {action: raise, message: m}, expect: {response: 0}}\n";
    let suite = place.suite("t.yaml", Fixture::RustOciArchive, text);
    let before = fs::read_to_string(&suite).unwrap();
    let run = place.test(&suite, &["--update"]);
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stdout.contains("0 passed, 2 failed"), "{run:?}");
    assert_eq!(fs::read_to_string(&suite).unwrap(), before);
}

/// What differs from run to run, as the request's ID and the stack trace do, is no part of
/// what an error is expected to be.
#[test]
fn privileged_updated_errors_hold_the_next_time() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = r"cases:
  - name: raised
    event: {action: raise, message: m}
    expect: {error: null}
  - name: died
    event: {action: exit, code: 3}
    expect: {error: {errorType: Other}}
  - name: part
    event: {action: exit, code: 3}
    expect: {error_contains: {errorType: Other, errorMessage: x}}
";
    let suite = place.suite("s.yaml", Fixture::PythonOciArchive, text);
    let before = fs::read_to_string(&suite).unwrap();
    let run = place.test(&suite, &["--update"]);
    assert_eq!(run.status, 0, "{run:?}");
    let expected = before
        .replace(
            "error: null",
            r#"error: {"errorMessage": "m", "errorType": "DemoError"}"#,
        )
        .replace(
            "{errorType: Other}",
            r#"{"errorType": "Runtime.ExitError"}"#,
        )
        .replace(
            "{errorType: Other, errorMessage: x}",
            r#"{"errorType": "Runtime.ExitError"}"#,
        );
    assert_eq!(fs::read_to_string(&suite).unwrap(), expected);
    for arguments in [&["--update"][..], &[]] {
        let run = place.test(&suite, arguments);
        assert_eq!(run.status, 0, "{run:?}");
        assert!(run.stdout.contains("3 passed, 0 failed"), "{run:?}");
        assert_eq!(fs::read_to_string(&suite).unwrap(), expected);
    }
    // What can never hold again is not written.
    let text = "cases:\n\
        - {name: id, event: {action: raise, message: m}, expect: {transform: .requestId, error: x}}\n";
    let suite = place.suite("t.yaml", Fixture::PythonOciArchive, text);
    let before = fs::read_to_string(&suite).unwrap();
    let run = place.test(&suite, &["--update"]);
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stdout.contains("the request's ID is in it"), "{run:?}");
    assert_eq!(fs::read_to_string(&suite).unwrap(), before);
}

/// Handlers such as AWS's own suites have them.
const TASKS: &str = r#"
import os

def echo(event, context):
    return event

def client_context(event, context):
    given = context.client_context
    return None if given is None else {"custom": given.custom, "env": given.env}

def identity(event, context):
    return {"id": context.identity.cognito_identity_id,
            "pool": context.identity.cognito_identity_pool_id}

def trace(event, context):
    return {"trace": os.environ["_X_AMZN_TRACE_ID"]}

def variable(event, context):
    return {"env": os.environ.get(event)}

def fails(event, context):
    raise ValueError(event["why"])
"#;

/// A suite in the form of AWS's runner, with everything that its Docker driver knows.
const AWS: &str = r#"{
  "default": {"environmentVariables.ref": "variables"},
  "resources": {
    "variables": {"contentType": "application/json", "data": {"STAGE": "test_env"}},
    "payload": {"contentType": "application/json", "src": "data/payload.json"},
    "answer": {"contentType": "application/json", "transform": ".*42", "data": "a"}
  },
  "tests": [
    {"name": "echo", "handler": "core.echo", "request": {"msg": "\u03bb\ud83e\udd80"},
     "assertions": [{"response": {"msg": "λ🦀"}}, {"contentType": "application/json"}]},
    {"name": "transform", "handler": "core.echo", "request": {"statusCode": 200, "headers": {"a": "b"}},
     "assertions": [{"response": {"statusCode": 200}, "transform": "{statusCode: .statusCode}"}]},
    {"name": "resource", "handler": "core.echo", "request.ref": "payload",
     "assertions": [{"response.ref": "payload"}]},
    {"name": "variable", "handler": "core.variable", "request": "STAGE",
     "assertions": [{"response": {"env": "test_env"}}]},
    {"name": "context", "handler": "core.client_context", "request": {},
     "clientContext": {"custom": {"value": "hello"}, "env": {"stage": "beta"}},
     "assertions": [{"response": {"custom": {"value": "hello"}, "env": {"stage": "beta"}}}]},
    {"name": "no context", "handler": "core.client_context", "request": {}, "clientContext": {},
     "assertions": [{"response": null}]},
    {"name": "identity", "handler": "core.identity", "cognitoIdentity": {"cognitoIdentityId": "i"},
     "assertions": [{"response": {"id": "i", "pool": "cognito-pool-id:35ab4794a79a4f23947d3e851d3d6578"}}]},
    {"name": "trace", "handler": "core.trace", "xray": {},
     "assertions": [{"response": "Root=1-581cf771-a006649127e371903a2de979;Parent=a794a187a18ff77f;Sampled=1",
                     "transform": ".trace"}]},
    {"name": "error", "handler": "core.fails", "request": {"why": "x"},
     "assertions": [{"errorType": "ValueError"}, {"error": "x", "transform": ".errorMessage"}]},
    {"name": "core | handler not found", "handler": "core.nothing", "request": {"msg": "message"},
     "assertions": [{"errorType": "Runtime.HandlerNotFound"}]},
    {"name": "core | import module exception", "handler": "nothing.handler", "request": {"msg": "message"},
     "assertions": [{"errorType": "Runtime.ImportModuleError"}]}
  ]
}
"#;

#[test]
fn privileged_suites_of_awss_runner_run_as_they_are() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    place.write("tasks/core.py", TASKS);
    place.write("tasks/data/payload.json", r#"{"msg": "hello world"}"#);
    let image = fixtures::python_runtime_reference();
    let suite = place.write("suites/core.json", AWS);
    let tasks = place.path("tasks");
    let arguments = ["--image", &image, "--task-root", tasks.to_str().unwrap()];
    let run = place.test(&suite, &arguments);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stdout.contains("11 passed, 0 failed"), "{run:?}");
    // What does not fit, fails; and can be updated, in JSON too.
    let wrong = AWS
        .replace("\"λ🦀\"", "\"other\"")
        .replace("\"ValueError\"", "\"KeyError\"");
    fs::write(&suite, &wrong).unwrap();
    let run = place.test(&suite, &arguments);
    assert_eq!(run.status, 1, "{run:?}");
    assert!(run.stdout.contains("9 passed, 2 failed"), "{run:?}");
    let run = place.test(&suite, &[&arguments[..], &["--update"]].concat());
    assert_eq!(run.status, 0, "{run:?}");
    assert_eq!(fs::read_to_string(&suite).unwrap(), AWS);
}

#[test]
fn privileged_what_cannot_be_run_has_its_status() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let image = Fixture::RustOciArchive.reference();
    for (text, arguments, status, part) in [
        ("cases: [\n", &[][..], 2, "s.yaml: line "),
        (
            "cases:\n- {name: a, evnt: 1}\n",
            &[],
            2,
            "s.yaml: cases[0] (line 2): there is no key \"evnt\"",
        ),
        (
            "cases:\n- {name: a}\n",
            &[],
            2,
            "case \"a\": it is not said which image",
        ),
        ("image: 'podman:x'\ncases:\n- {name: a}\n", &[], 2, "podman"),
        (
            "image: missing.tar\ncases:\n- {name: a}\n",
            &[],
            3,
            "s.yaml: image: there is no file",
        ),
        (
            "cases:\n- {name: a}\n",
            &["--image", "missing.tar"],
            3,
            "--image: there is no file",
        ),
        (
            "cases:\n- {name: a}\n",
            &["--image", &image, "--filter", "b"],
            2,
            "no case has \"b\"",
        ),
        (
            "cases:\n- {name: a, layers: [none]}\n",
            &["--image", &image],
            3,
            "none",
        ),
        (
            "cases:\n- {name: a}\n",
            &["--image", &image, "--jobs", "0"],
            2,
            "--jobs",
        ),
        (
            "cases:\n- {name: a}\n",
            &["--image", &image, "--junit", "/nowhere/out.xml"],
            2,
            "cannot write /nowhere/out.xml: there is no directory /nowhere",
        ),
    ] {
        let suite = place.write("s.yaml", text);
        let run = place.test(&suite, arguments);
        assert_eq!(run.status, status, "{text}: {run:?}");
        assert!(run.stderr.contains(part), "{text}: {run:?}");
        assert_eq!(run.stdout, "", "{text}: {run:?}");
    }
    let missing = place.test(&place.path("none.yaml"), &[]);
    assert_eq!(missing.status, 2, "{missing:?}");
    // What an entry point does not reach is a failure of the case.
    let text = "cases:\n\
        - {name: a, entry_point: /nowhere, expect: {error_type: Runtime.InvalidEntrypoint}}\n\
        - {name: b, start: warm, entry_point: /nowhere, expect: {error_type: Runtime.InvalidEntrypoint}}\n";
    let suite = place.write("s.yaml", text);
    let run = place.test(&suite, &["--image", &image]);
    assert_eq!(run.status, 0, "{run:?}");
}

/// jq is a language in which one can do without an end, or take all memory.
#[test]
fn privileged_filters_are_limited_and_end_with_the_command() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let of = |filter: &str| {
        let image = Fixture::RustOciArchive.reference();
        let text = format!(
            "image: \"{image}\"\ncases:\n\
             - {{name: a, event: {{action: counter}}, expect: {{transform: '{filter}', response: 1}}}}\n"
        );
        place.write("s.yaml", &text)
    };
    for (filter, part) in [
        ("def f: f; f", "not come to an end within 5 s of CPU time"),
        ("def f: 1 + f; f", "called itself without end"),
        ("\"x\" * 2000000000", "more than 1024 MB of memory"),
        ("halt", "it ends jq (halt, halt_error)"),
    ] {
        let run = place.test(&of(filter), &[]);
        assert_eq!(run.status, 1, "{filter}: {run:?}");
        assert!(run.stdout.contains(part), "{filter}: {run:?}");
    }
    let suite = of("def f: f; f");
    let mut child = place
        .lambent
        .command(["test", suite.to_str().unwrap()])
        .spawn()
        .unwrap();
    let filters = || {
        let of_command = leftovers::children(child.id()).into_iter();
        let is_filter = |pid: &u32| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline"));
            arguments.is_ok_and(|text| text.ends_with(b"\0__transform\0"))
        };
        of_command.filter(is_filter).collect::<Vec<_>>()
    };
    wait::until("the filter runs", || !filters().is_empty());
    let seen = filters();
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Not even as a zombie.
    let alive = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(!seen.iter().any(alive), "{seen:?}");
}

#[test]
fn privileged_ctrl_c_ends_all_cases() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let text = "timeout: 900\ncases:\n\
        - {name: a, event: {action: sleep, ms: 800000}}\n\
        - {name: b, start: warm, event: {action: sleep, ms: 800000}}\n";
    let image = Fixture::RustOciArchive.reference();
    let suite = place.write("s.yaml", &format!("image: \"{image}\"\n{text}"));
    let arguments = ["test", suite.to_str().unwrap(), "--jobs", "2"];
    let mut child = place.lambent.command(arguments).spawn().unwrap();
    // The launcher, two inits, and their functions.
    let inits = |child: u32| {
        let launchers = leftovers::children(child).into_iter();
        launchers.flat_map(leftovers::children).collect::<Vec<_>>()
    };
    wait::until("both functions run", || {
        let inits = inits(child.id());
        inits.len() >= 2
            && inits
                .iter()
                .all(|init| !leftovers::children(*init).is_empty())
    });
    let services = leftovers::services(place.lambent.root());
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let after = Leftovers::of(place.lambent.root(), &services);
    assert!(after.is_empty(), "{after:?}");
}

#[test]
fn privileged_the_readmes_suite_runs() {
    if !privileged() {
        return;
    }
    let place = Place::new();
    let suite = readme::block("Testing it", "yaml");
    // A machine that is busy is not what is tested.
    let suite = suite.replace("500ms", "900s");
    let suite = place.write("greet.yaml", &suite);
    place.write("nobody.json", "{}");
    let [base, python] = python_trees();
    let code = "import os\n\
        def handler(event, context):\n\
        \x20   if 'name' not in event:\n\
        \x20       raise KeyError('name')\n\
        \x20   return {'greeting': os.environ.get('GREETING', 'hello') + ' ' + event['name']}\n";
    let plain = || LayerBuilder::new().compression(Compression::None);
    ImageBuilder::new(Platform::host())
        .entrypoint(["/usr/bin/python3", "-m", "awslambdaric"])
        .cmd(["app.handler"])
        .layer(plain().tree("", base))
        .layer(plain().tree("", python))
        .layer(LayerBuilder::new().file("var/task/app.py", 0o644, code))
        .write_oci_archive(&place.path("my-function.tar"), "latest")
        .unwrap();
    let run = place.test(&suite, &[]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stdout.contains("3 passed, 0 failed"), "{run:?}");
}

#[test]
fn events_are_printed() {
    let lambent = Lambent::new();
    let run = lambent.run([
        "event",
        "s3-put",
        "--bucket",
        "b",
        "--key",
        "a b",
        "--region",
        "eu-west-1",
    ]);
    assert_eq!(run.status, 0, "{run:?}");
    let event: Value = serde_json::from_str(&run.stdout).unwrap();
    let record = &event["Records"][0];
    assert_eq!(record["awsRegion"], "eu-west-1");
    assert_eq!(record["s3"]["object"]["key"], "a+b");
    let list = lambent.run(["event", "--list"]);
    assert_eq!(list.status, 0, "{list:?}");
    for line in list.stdout.lines() {
        let name = line.split_whitespace().next().unwrap();
        let run = lambent.run(["event", name]);
        assert_eq!(run.status, 0, "{run:?}");
        serde_json::from_str::<Value>(&run.stdout).unwrap();
    }
    assert!(list.stdout.lines().count() >= 19, "{list:?}");
    for (arguments, part) in [
        (
            &["event", "sqs", "--bucket", "b"][..],
            "sqs has no --bucket",
        ),
        (&["event", "none"], "there is no event \"none\""),
        (&["event"], "required"),
    ] {
        let run = lambent.run(arguments);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
}
