//! The Telemetry API and the Logs API: what subscribers get, and that nobody waits for
//! those who do not take it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;

use lambent_e2e::extension::{self, RUNTIME, notes};
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::subscriber::{SUBSCRIBER, received, types};
use lambent_e2e::{Lambent, Run, fixtures, privileged};
use serde_json::{Value, json};

type Program<'a> = (&'a str, u32, Vec<u8>);

/// Runs `lambent invoke` with this code of the runtime after [`RUNTIME`], and these
/// programs in `/opt/extensions`; nothing may stay.
fn run(runtime: &str, programs: &[Program<'_>], arguments: &[&str]) -> Run {
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let image = extension::image(directory.path(), &format!("{RUNTIME}{runtime}"), programs);
    let arguments = [&["--memory", "512", "--name", "f"], arguments].concat();
    let run = lambent.invoke(&image, &json!({}), &arguments);
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}\n{run:?}");
    run
}

/// A program of `/opt/extensions` that does this after [`SUBSCRIBER`].
fn subscriber<'a>(name: &'a str, code: &str) -> Program<'a> {
    extension::program(name, &format!("{SUBSCRIBER}{code}"))
}

/// A runtime that says something and answers with the number of the invocation; the
/// fourth takes too long.
const SAYING: &str = "
def handle(event, number):
    print('hello', number, flush=True)
    return time.sleep(600) if number == 4 else number
serve(handle)";

const FIVE: [&str; 4] = ["--repeat", "5", "--timeout", "2"];

/// What INIT is for a subscriber to the Telemetry API, when it is the only one.
const INIT: [&str; 5] = [
    "platform.initStart",
    "platform.telemetrySubscription",
    "platform.extension",
    "platform.initRuntimeDone",
    "platform.initReport",
];

const INVOCATION: [&str; 3] = ["platform.start", "platform.runtimeDone", "platform.report"];

fn only_platform(events: &[Value]) -> Vec<Value> {
    let platform = |event: &&Value| event["type"].as_str().unwrap().starts_with("platform.");
    events.iter().filter(platform).cloned().collect()
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .map(|event| &event["record"])
        .collect()
}

#[test]
fn privileged_a_subscriber_sees_the_life_of_its_environment() {
    if !privileged() {
        return;
    }
    let agent = subscriber(
        "agent",
        r#"
listen_http(8080)
identifier = register(["INVOKE", "SHUTDOWN"])
note("subscribed", answer=subscribe(identifier, wanted(http_to(8080))))
live(identifier)"#,
    );
    let run = run(SAYING, &[agent], &FIVE);
    let results = run.results();
    let payloads: Vec<_> = results.iter().map(|result| &result["payload"]).collect();
    assert_eq!(payloads[..3], [&json!(1), &json!(2), &json!(3)], "{run:?}");
    assert_eq!(payloads[3]["errorType"], "Sandbox.Timedout", "{run:?}");
    assert_eq!(*payloads[4], json!(5), "{run:?}");

    let notes = notes(&run.stderr);
    let answers = notes.iter().filter(|note| note["what"] == "subscribed");
    for note in answers {
        assert_eq!(note["answer"], json!([200, "OK"]));
    }
    let batches = notes.iter().find(|note| note["what"] == "got");
    let first = &batches.unwrap()["batches"][0]["how"];
    assert_eq!(*first, "POST /events sandbox.localdomain:8080");

    let lives = received(&notes, "agent");
    let [first, second] = lives.as_slice() else {
        panic!("{run:?}");
    };
    let expected = [
        &INIT[..],
        &INVOCATION,
        &INVOCATION,
        &INVOCATION,
        // The report of the fourth comes when its processes are gone.
        &INVOCATION[..2],
    ]
    .concat();
    assert_eq!(types(&only_platform(first)), expected, "{first:#?}");
    let expected = [&INVOCATION[2..], &INIT, &INVOCATION].concat();
    assert_eq!(types(&only_platform(second)), expected, "{second:#?}");

    // What the function says is between the start of its invocation and its end.
    let all = [first.as_slice(), second].concat();
    for (number, result) in results.iter().enumerate() {
        let id = &result["requestId"];
        let at = |kind: &str| {
            let found = all
                .iter()
                .position(|event| event["type"] == kind && event["record"]["requestId"] == *id);
            found.unwrap_or_else(|| panic!("{kind} of {id}: {all:#?}"))
        };
        let said = all
            .iter()
            .position(|event| event["record"] == format!("hello {}", number + 1))
            .unwrap();
        assert!(
            at("platform.start") < said && said < at("platform.runtimeDone"),
            "{all:#?}"
        );
        assert!(at("platform.runtimeDone") < at("platform.report"));
    }

    records(first, second, &results);
}

/// What the events of the five invocations say.
fn records(first: &[Value], second: &[Value], results: &[Value]) {
    let start = of_type(first, "platform.initStart")[0];
    assert_eq!(start["initializationType"], "on-demand");
    assert_eq!(start["phase"], "init");
    assert_eq!(start["functionName"], "f");
    assert_eq!(start["functionVersion"], "$LATEST");
    assert_eq!(start["instanceMaxMemory"], 512);
    let again = of_type(second, "platform.initStart")[0];
    assert_eq!(again["phase"], "invoke");
    assert_eq!(again["instanceId"], start["instanceId"]);
    let extension = of_type(first, "platform.extension")[0];
    let expected = json!({"name": "agent", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]});
    assert_eq!(*extension, expected);
    let subscription = of_type(first, "platform.telemetrySubscription")[0];
    let expected =
        json!({"name": "agent", "state": "Subscribed", "types": ["platform", "function"]});
    assert_eq!(*subscription, expected);
    let done = of_type(first, "platform.initRuntimeDone")[0];
    assert_eq!(done["status"], "success");

    // The numbers are those of the log and of REPORT: they come from one source.
    let report = of_type(first, "platform.report")[0];
    let own = &results[0]["report"];
    for (name, other) in [
        ("durationMs", "durationMs"),
        ("billedDurationMs", "billedDurationMs"),
        ("initDurationMs", "initDurationMs"),
        ("maxMemoryUsedMB", "maxMemoryUsedMb"),
        ("memorySizeMB", "memorySizeMb"),
    ] {
        let (told, reported) = (report["metrics"][name].as_f64(), own[other].as_f64());
        let (told, reported) = (told.unwrap(), reported.unwrap());
        // REPORT has hundredths of a millisecond.
        assert!((told - reported).abs() < 0.011, "{name}: {report} {own}");
    }
    assert_eq!(report["spans"][0]["name"], "extensionOverhead");
    let runtime_done = of_type(first, "platform.runtimeDone");
    let spans: Vec<_> = runtime_done[0]["spans"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    let names: Vec<_> = spans.iter().map(|span| &span["name"]).collect();
    assert_eq!(
        names,
        ["responseLatency", "responseDuration", "runtimeOverhead"]
    );
    assert_eq!(runtime_done[0]["metrics"]["producedBytes"], 1);
    assert_eq!(runtime_done[0]["tracing"]["type"], "X-Amzn-Trace-Id");
    assert_eq!(runtime_done[3]["status"], "timeout");
    assert_eq!(runtime_done[3]["metrics"]["durationMs"], 2_000.0);
    let late = of_type(second, "platform.report")[0];
    assert_eq!(late["status"], "timeout");
    assert_eq!(late["requestId"], results[3]["requestId"]);
}

#[test]
fn privileged_lines_over_tcp_and_the_logs_api_tell_the_same() {
    if !privileged() {
        return;
    }
    let lines = subscriber(
        "lines",
        r#"
listen_tcp(9999)
identifier = register(["SHUTDOWN"])
body = wanted({"protocol": "TCP", "port": 9999}, ["platform", "function", "extension"], "2022-07-01")
note("subscribed", answer=subscribe(identifier, body))
live(identifier)"#,
    );
    let old = subscriber(
        "old",
        r#"
listen_http(4243)
identifier = register(["INVOKE", "SHUTDOWN"])
body = wanted(http_to(4243, method="PUT", encoding="JSON"), schema="2021-03-18")
note("subscribed", answer=subscribe(identifier, body, "/2020-08-15/logs"))
live(identifier)"#,
    );
    let run = run(SAYING, &[lines, old], &["--repeat", "3"]);
    let results = run.results();
    assert_eq!(results[2]["payload"], 3, "{run:?}");
    let notes = notes(&run.stderr);
    for note in notes.iter().filter(|note| note["what"] == "subscribed") {
        assert_eq!(note["answer"], json!([200, "OK"]));
    }
    let old_batches = notes
        .iter()
        .find(|note| note["who"] == "old" && note["what"] == "got");
    let how = &old_batches.unwrap()["batches"][0]["how"];
    assert_eq!(*how, "PUT /events sandbox.localdomain:4243");

    let lines = &received(&notes, "lines")[0];
    let platform = only_platform(lines);
    let invocations: Vec<_> = types(&platform)
        .into_iter()
        .filter(|kind| INVOCATION.contains(kind))
        .collect();
    assert_eq!(invocations, INVOCATION.repeat(3), "{lines:#?}");
    let written: Vec<_> = of_type(lines, "extension");
    let subscribed = |who: &str| {
        written.iter().any(|line| {
            let line: Value = serde_json::from_str(line.as_str().unwrap()).unwrap();
            line["who"] == who && line["what"] == "subscribed"
        })
    };
    assert!(subscribed("lines") && subscribed("old"), "{lines:#?}");

    let old = &received(&notes, "old")[0];
    let of_invocations: Vec<_> = types(old)
        .into_iter()
        .filter(|kind| !["platform.extension", "platform.logsSubscription"].contains(kind))
        .filter(|kind| *kind != "function" && *kind != "platform.telemetrySubscription")
        .collect();
    let expected = [
        "platform.start",
        "platform.runtimeDone",
        "platform.end",
        "platform.report",
    ];
    assert_eq!(of_invocations, expected.repeat(3), "{old:#?}");
    let said = |events: &[Value]| -> Vec<String> {
        of_type(events, "function")
            .iter()
            .filter_map(|line| line.as_str())
            .filter(|line| line.starts_with("hello"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(said(lines), ["hello 1", "hello 2", "hello 3"]);
    assert_eq!(said(old), said(lines));

    // The log has them too.
    let log = results[0]["logs"].as_str().unwrap();
    for line in [
        "TELEMETRY\tName: lines\tState: Subscribed\tTypes: [Platform, Function, Extension]\n",
        "LOGS\tName: old\tState: Subscribed\tTypes: [Platform, Function]\n",
    ] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn privileged_what_is_no_subscription_is_refused() {
    if !privileged() {
        return;
    }
    let agent = subscriber(
        "agent",
        r#"
identifier = register(["INVOKE", "SHUTDOWN"])
good = wanted(http_to(8080))
logs = {**good, "schemaVersion": "2020-08-15"}
early = [
    subscribe(None, good),
    subscribe("x", good),
    subscribe("00000000-0000-4000-8000-000000000000", good),
    subscribe(None, logs, "/2020-08-15/logs"),
    subscribe("x", logs, "/2020-08-15/logs"),
    subscribe("00000000-0000-4000-8000-000000000000", logs, "/2020-08-15/logs"),
    subscribe(identifier, "{"),
    subscribe(identifier, "{", "/2020-08-15/logs"),
    subscribe(identifier, {**good, "schemaVersion": "2020-08-15"}),
    subscribe(identifier, wanted(http_to(9001))),
    subscribe(identifier, wanted(http_to(8080), maxItems=10)),
    subscribe(identifier, {**logs, "types": ["x"]}, "/2020-08-15/logs"),
    subscribe(identifier, good),
    subscribe(identifier, logs, "/2020-08-15/logs"),
]
event(identifier)
late = [subscribe(identifier, good), subscribe(identifier, logs, "/2020-08-15/logs")]
note("answers", early=early, late=late)
live(identifier)"#,
    );
    let run = run(SAYING, &[agent], &[]);
    assert_eq!(run.result()["payload"], 1, "{run:?}");
    let notes = notes(&run.stderr);
    let note = notes.iter().find(|note| note["what"] == "answers").unwrap();
    let refused = |status: u16, error_type: &str, message: &str| json!([status, {"errorType": error_type, "errorMessage": message}]);
    let unparsed = note["early"][6][1]["errorMessage"].as_str().unwrap();
    assert!(unparsed.starts_with("failed to parse JSON: "), "{unparsed}");
    let nobody = [
        refused(
            403,
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header",
        ),
        refused(
            403,
            "Extension.InvalidExtensionIdentifier",
            "Invalid Lambda-Extension-Identifier",
        ),
        refused(
            403,
            "Extension.UnknownExtensionIdentifier",
            "Unknown extension 00000000-0000-4000-8000-000000000000",
        ),
    ];
    let early = json!([
        nobody[0],
        nobody[1],
        nobody[2],
        // The same in both interfaces.
        nobody[0],
        nobody[1],
        nobody[2],
        refused(400, "ValidationError", unparsed),
        refused(400, "Logs.ValidationError", unparsed),
        refused(
            400,
            "ValidationError",
            "schemaVersion \"2020-08-15\" is not one of 2022-07-01, 2022-12-13, 2025-01-29"
        ),
        refused(
            400,
            "ValidationError",
            "destination: port 9001 is reserved for the Runtime API; choose another"
        ),
        refused(
            400,
            "ValidationError",
            "buffering.maxItems: 10 is not an integer from 1000 to 10000"
        ),
        refused(
            400,
            "Logs.ValidationError",
            "types: \"x\" is not one of platform, function, extension"
        ),
        [200, "OK"],
        refused(
            400,
            "Logs.ValidationError",
            "agent is subscribed by the Telemetry API already; an extension can use either the \
             Telemetry API or the Logs API"
        ),
    ]);
    assert_eq!(note["early"], early);
    let late = json!([
        refused(
            403,
            "Telemetry.SubscriptionClosed",
            "Telemetry API subscription is closed"
        ),
        refused(
            403,
            "Logs.SubscriptionClosed",
            "Logs API subscription is closed"
        ),
    ]);
    assert_eq!(note["late"], late);
}

#[test]
fn privileged_nobody_waits_for_a_subscriber() {
    if !privileged() {
        return;
    }
    let not_reading = subscriber(
        "deaf",
        r#"
s = socket.create_server(("", 7001))
identifier = register(["SHUTDOWN"])
assert subscribe(identifier, wanted({"protocol": "TCP", "port": 7001}))[0] == 200
live(identifier)"#,
    );
    let not_listening = subscriber(
        "dead",
        r#"
identifier = register(["SHUTDOWN"])
assert subscribe(identifier, wanted(http_to(7002)))[0] == 200
live(identifier)"#,
    );
    let failing = subscriber(
        "failing",
        r#"
listen_http(7003, 500)
identifier = register(["SHUTDOWN"])
assert subscribe(identifier, wanted(http_to(7003)))[0] == 200
live(identifier, ["function"])"#,
    );
    let well = subscriber(
        "well",
        r#"
listen_http(7004)
identifier = register(["SHUTDOWN"])
assert subscribe(identifier, wanted(http_to(7004), ["platform"]))[0] == 200
live(identifier)"#,
    );
    // More than the buffers of a connection and of a subscription take.
    let runtime = "
def handle(event, number):
    for line in range(2000): print('x' * 1000)
    sys.stdout.flush()
    return number
serve(handle)";
    let run = run(
        runtime,
        &[not_reading, not_listening, failing, well],
        &["--repeat", "3", "--timeout", "20", "--log-format", "json"],
    );
    let payloads: Vec<_> = run
        .results()
        .into_iter()
        .map(|result| result["payload"].clone())
        .collect();
    assert_eq!(payloads, [1, 2, 3], "{:?}", run.stderr.lines().last());

    let notes = notes(&run.stderr);
    let well = &received(&notes, "well")[0];
    let invocations: Vec<_> = types(well)
        .into_iter()
        .filter(|kind| INVOCATION.contains(kind))
        .collect();
    assert_eq!(invocations, INVOCATION.repeat(3), "{well:#?}");
    let failing = &received(&notes, "failing")[0];
    let dropped = of_type(failing, "platform.logsDropped");
    assert!(!dropped.is_empty());
    for record in dropped {
        assert!(record["droppedRecords"].as_u64().unwrap() > 0, "{record}");
        assert!(record["droppedBytes"].as_u64().unwrap() > 0, "{record}");
        let reason = "Some logs were dropped because the downstream consumer is slower than the \
                      logs production rate";
        assert_eq!(record["reason"], reason);
    }
    // A log of JSON says so, too.
    let lines = run.stderr.lines();
    let lines: Vec<Value> = lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let logged = of_type(&lines, "platform.logsDropped");
    assert!(!logged.is_empty());
    for record in logged {
        assert!(record["droppedRecords"].as_u64().unwrap() > 0, "{record}");
    }
}

/// What the extension on the crate of AWS said of this kind, of five invocations of which
/// the fourth takes too long.
fn of_crate(variable: &str, what: &str) -> (Vec<Value>, Vec<Value>) {
    let program = ("crate", 0o755, fs::read(fixtures::extension()).unwrap());
    let run = run(
        SAYING,
        &[program],
        &[&FIVE[..], &["--env", variable]].concat(),
    );
    let results = run.results();
    let payloads: Vec<_> = results.iter().map(|result| &result["payload"]).collect();
    assert_eq!(payloads[..3], [&json!(1), &json!(2), &json!(3)], "{run:?}");
    assert_eq!(payloads[3]["errorType"], "Sandbox.Timedout", "{run:?}");
    let said: Vec<Value> = run
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .collect();
    let ends: Vec<_> = said
        .iter()
        .filter(|line| line["what"] == "SHUTDOWN")
        .map(|line| &line["reason"])
        .collect();
    assert_eq!(ends, ["timeout", "spindown"], "{run:?}");
    let of_kind = said.iter().filter(|line| line["what"] == what).cloned();
    (of_kind.collect(), results)
}

#[test]
fn privileged_the_crate_of_aws_takes_every_event() {
    if !privileged() {
        return;
    }
    let (said, results) = of_crate("TELEMETRY=1", "telemetry");
    let events: Vec<Value> = said.iter().map(|line| line["event"].clone()).collect();
    // The report of the fourth comes to the next one's subscriber, before its INIT.
    let (one, init) = (&INVOCATION[..], &INIT[..]);
    let expected = [init, one, one, one, one, init, one].concat();
    assert_eq!(types(&only_platform(&events)), expected, "{events:#?}");
    let ids: Vec<_> = of_type(&events, "platform.report")
        .iter()
        .map(|report| &report["requestId"])
        .collect();
    let expected: Vec<_> = results.iter().map(|result| &result["requestId"]).collect();
    assert_eq!(ids, expected);
}

#[test]
fn privileged_the_crate_of_aws_takes_every_log() {
    if !privileged() {
        return;
    }
    let (said, results) = of_crate("LOGS=1", "log");
    let records: Vec<&str> = said
        .iter()
        .map(|line| line["record"].as_str().unwrap())
        .collect();
    // As Rust shows a variant: its name, and what is in it.
    let platform: Vec<(&str, &str)> = records
        .iter()
        .filter_map(|record| record.strip_prefix("Platform")?.split_once([' ', '(']))
        .collect();
    let init = &["LogsSubscription", "Extension"][..];
    let one = &["Start", "RuntimeDone", "End", "Report"][..];
    let late = &["Start", "Fault", "RuntimeDone", "End", "Report"][..];
    let expected = [init, one, one, one, late, init, one].concat();
    let names: Vec<&str> = platform.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected, "{records:#?}");
    for (number, result) in results.iter().enumerate() {
        let said = format!("Function(\"hello {}\")", number + 1);
        assert!(records.contains(&said.as_str()), "{records:#?}");
        let id = result["requestId"].as_str().unwrap();
        let mine = platform.iter().filter(|(_, record)| record.contains(id));
        let expected = if number == 3 { late } else { one };
        assert_eq!(mine.count(), expected.len(), "{records:#?}");
    }
    let states: Vec<&str> = ["success", "timeout"]
        .into_iter()
        .filter(|state| records.iter().any(|record| record.contains(state)))
        .collect();
    assert_eq!(states, ["success", "timeout"]);
}

#[test]
fn privileged_a_log_of_json_is_filtered_by_its_levels() {
    if !privileged() {
        return;
    }
    let agent = subscriber(
        "agent",
        r#"
listen_http(8080)
identifier = register(["SHUTDOWN"])
assert subscribe(identifier, wanted(http_to(8080), ["function"]))[0] == 200
live(identifier)"#,
    );
    let runtime = r#"
def handle(event, number):
    for level in ["DEBUG", "WARN"]:
        print(json.dumps({"level": level, "message": "said"}), flush=True)
    return {name: value for name, value in os.environ.items() if "_LOG_" in name and "NAME" not in name}
serve(handle)"#;
    let levels = [
        "--log-format",
        "json",
        "--application-log-level",
        "INFO",
        "--system-log-level",
        "DEBUG",
    ];
    let run = run(runtime, &[agent], &levels);
    let result = run.result();
    let expected = json!({"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"});
    assert_eq!(result["payload"], expected, "{run:?}");
    let log: Vec<Value> = result["logs"]
        .as_str()
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let said = |lines: &[Value]| -> Vec<Value> {
        let said = lines.iter().filter(|line| line["message"] == "said");
        said.map(|line| line["level"].clone()).collect()
    };
    assert_eq!(said(&log), ["WARN"], "{log:#?}");
    let system: Vec<_> = log
        .iter()
        .filter_map(|line| line["type"].as_str())
        .filter(|kind| !kind.contains("ubscription"))
        .collect();
    let init = INIT.iter().filter(|kind| !kind.contains("ubscription"));
    let expected: Vec<_> = init.chain(&INVOCATION).copied().collect();
    assert_eq!(system, expected, "{log:#?}");
    // A subscriber gets all of it, and JSON as JSON.
    let lives_of_agent = received(&notes(&run.stderr), "agent");
    let lines: Vec<Value> = of_type(&lives_of_agent[0], "function")
        .into_iter()
        .cloned()
        .collect();
    assert_eq!(said(&lines), ["DEBUG", "WARN"], "{lines:#?}");
}
