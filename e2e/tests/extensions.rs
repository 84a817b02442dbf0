//! Extensions: who is started, told and waited for when.

use std::fs;
use std::io::Read;
use std::time::Duration;

use lambent_e2e::extension::{self, COUNTING, RUNTIME, lines, notes, program, run, sequence};
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, Run, boto3, fixtures, privileged, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A runtime that answers with the number of the invocation, but for the fourth,
/// which takes too long.
const FOURTH_HANGS: &str =
    "serve(lambda event, number: time.sleep(600) if number == 4 else number)";

/// For [`FOURTH_HANGS`].
fn five_times(timeout: &str) -> [&str; 6] {
    ["--repeat", "5", "--timeout", timeout, "--name", "f"]
}

#[test]
fn privileged_an_external_extension_sees_the_life_of_its_environment() {
    if !privileged() {
        return;
    }
    let agent = program(
        "agent",
        "note('start', env=dict(os.environ), cwd=os.getcwd(), ids=[os.getuid(), os.getgid()], \
         args=sys.argv, descriptors=os.listdir('/proc/self/fd'), \
         status=open('/proc/self/status').read())\nfollow(['INVOKE', 'SHUTDOWN'])",
    );
    let timeout = wait::seconds(2);
    let run = run(FOURTH_HANGS, &[agent], &five_times(&timeout));
    let results = run.results();
    let payloads: Vec<_> = results.iter().map(|result| &result["payload"]).collect();
    assert_eq!(payloads[..3], [&json!(1), &json!(2), &json!(3)], "{run:?}");
    assert_eq!(payloads[3]["errorType"], "Sandbox.Timedout", "{run:?}");
    assert_eq!(*payloads[4], json!(5), "{run:?}");

    let notes = notes(&run.stderr);
    // Who is first to note an invocation is not fixed.
    let of = |who: &str| -> Vec<String> {
        let own: Vec<_> = notes
            .iter()
            .filter(|note| note["who"] == who)
            .cloned()
            .collect();
        sequence(&own)
    };
    let invoke = "agent INVOKE";
    assert_eq!(
        of("agent"),
        [
            "agent start",
            "agent registered",
            invoke,
            invoke,
            invoke,
            invoke,
            "agent SHUTDOWN",
            "agent start",
            "agent registered",
            invoke,
            "agent SHUTDOWN"
        ],
        "{run:?}"
    );
    let invoked = "runtime invoked";
    assert_eq!(
        of("runtime"),
        [
            "runtime started",
            invoked,
            invoked,
            invoked,
            invoked,
            "runtime SIGTERM",
            "runtime started",
            invoked,
            "runtime SIGTERM"
        ],
        "{run:?}"
    );
    let all = sequence(&notes);
    let positions =
        |what: &str| -> Vec<usize> { (0..all.len()).filter(|index| all[*index] == what).collect() };
    for (before, after) in [
        ("agent registered", "runtime started"),
        ("runtime SIGTERM", "agent SHUTDOWN"),
    ] {
        for (earlier, later) in positions(before).iter().zip(positions(after)) {
            assert!(*earlier < later, "{before}, {after}: {all:?}");
        }
    }

    // The events themselves.
    let events: Vec<&Value> = notes
        .iter()
        .filter(|note| note["who"] == "agent" && note["event"].is_object())
        .collect();
    let told = events.iter().filter(|note| note["what"] == "INVOKE");
    for (note, result) in told.zip(&results) {
        let event = &note["event"];
        assert_eq!(event["requestId"], result["requestId"], "{event}");
        assert_eq!(
            event["invokedFunctionArn"],
            "arn:aws:lambda:us-east-1:123456789012:function:f"
        );
        assert_eq!(event["tracing"]["type"], "X-Amzn-Trace-Id");
        let trace = event["tracing"]["value"].as_str().unwrap();
        assert!(trace.starts_with("Root=1-"), "{trace}");
        let left = note["left"].as_f64().unwrap();
        let timeout: f64 = timeout.parse().unwrap();
        assert!(left > 0.0 && left <= timeout + 0.1, "{note}");
    }
    let reasons: Vec<_> = events
        .iter()
        .filter(|note| note["what"] == "SHUTDOWN")
        .map(|note| {
            let left = note["left"].as_f64().unwrap();
            assert!(left > 0.0 && left <= 2.1, "{note}");
            note["event"]["shutdownReason"].as_str().unwrap()
        })
        .collect();
    assert_eq!(reasons, ["timeout", "spindown"]);

    // What it is.
    let start = &notes[0];
    assert_eq!(start["ids"], json!([993, 990]));
    assert_eq!(start["args"], json!(["/opt/extensions/agent"]));
    assert_eq!(start["cwd"], "/");
    let status = start["status"].as_str().unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Groups:\t ",
    ] {
        assert!(
            status.lines().any(|other| other == line),
            "{line}: {status}"
        );
    }
    // Standard input, output and error, and the directory that is read.
    for who in ["agent start", "runtime started"] {
        for index in positions(who) {
            let mut descriptors: Vec<_> = notes[index]["descriptors"]
                .as_array()
                .unwrap()
                .iter()
                .map(|number| number.as_str().unwrap())
                .collect();
            descriptors.sort_unstable();
            assert_eq!(descriptors, ["0", "1", "2", "3"], "{who}");
        }
    }
    let env = start["env"].as_object().unwrap();
    for (name, value) in [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("PATH", "/usr/bin:/bin"),
    ] {
        assert_eq!(env[name], value, "{env:?}");
    }
    for absent in ["AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "_HANDLER"] {
        assert!(!env.contains_key(absent), "{env:?}");
    }

    // What the log says.
    let log = results[0]["logs"].as_str().unwrap();
    let line = "EXTENSION\tName: agent\tState: Ready\tEvents: [INVOKE, SHUTDOWN]";
    assert_eq!(lines(log, "EXTENSION"), [line], "{log}");
    assert!(log.find(line) < log.find("START RequestId"), "{log}");
    assert!(
        lines(results[3]["logs"].as_str().unwrap(), "REPORT")[0].ends_with("Status: timeout"),
        "{run:?}"
    );
    // The second INIT is a part of the fifth invocation.
    assert!(results[4]["report"]["initDurationMs"].is_null(), "{run:?}");
}

#[test]
fn privileged_the_crate_of_aws_for_extensions_sees_the_same() {
    if !privileged() {
        return;
    }
    let program = ("crate", 0o755, fs::read(fixtures::extension()).unwrap());
    let run = run(FOURTH_HANGS, &[program], &five_times(&wait::seconds(2)));
    let results = run.results();
    assert_eq!(results[4]["payload"], 5, "{run:?}");
    let said: Vec<Value> = run
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["what"].is_string() && line["who"].is_null())
        .collect();
    let invoke = |number: usize| {
        json!({
            "what": "INVOKE",
            "requestId": results[number]["requestId"],
            "arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
            "tracing": "X-Amzn-Trace-Id",
        })
    };
    let shutdown = |reason: &str| json!({"what": "SHUTDOWN", "reason": reason});
    let start = json!({"what": "start"});
    assert_eq!(
        said,
        [
            start.clone(),
            invoke(0),
            invoke(1),
            invoke(2),
            invoke(3),
            shutdown("timeout"),
            start,
            invoke(4),
            shutdown("spindown")
        ],
        "{run:?}"
    );
}

/// An extension inside of the runtime's process, in a thread.
const INTERNAL: &str = r#"
def inner():
    c = http.client.HTTPConnection("127.0.0.1", 9001)
    def call(method, path, body=None, headers={}):
        c.request(method, "/2020-01-01/extension/" + path, body, headers)
        a = c.getresponse()
        return a.status, a.headers, json.loads(a.read())
    name = {"Lambda-Extension-Name": "inner"}
    refused = call("POST", "register", '{"events": ["INVOKE", "SHUTDOWN"]}', name)
    status, headers, body = call("POST", "register", '{"events": ["INVOKE"]}', {**name, "Lambda-Extension-Accept-Feature": "accountId"})
    note("registered", refused=[refused[0], refused[2]], status=status, body=body)
    ready.set()
    while True:
        status, _, e = call("GET", "event/next", None, {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]})
        note(e["eventType"], requestId=e["requestId"])
ready = threading.Event()
threading.Thread(target=inner, daemon=True).start()
ready.wait()
"#;

#[test]
fn privileged_an_internal_extension_earns_its_runtime_a_sigterm() {
    if !privileged() {
        return;
    }
    let run = run(
        &format!("{INTERNAL}{FOURTH_HANGS}"),
        &[],
        &five_times(&wait::seconds(2)),
    );
    let results = run.results();
    assert_eq!(results[4]["payload"], 5, "{run:?}");
    let notes = notes(&run.stderr);
    let registered = &notes[0];
    assert_eq!(
        registered["refused"],
        json!([403, {
            "errorType": "Extension.InvalidEventType",
            "errorMessage": "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
        }]),
        "{registered}"
    );
    assert_eq!(registered["status"], 200);
    assert_eq!(registered["body"]["functionName"], "f");
    assert_eq!(registered["body"]["functionVersion"], "$LATEST");
    assert_eq!(registered["body"]["accountId"], "123456789012");
    let told: Vec<_> = notes
        .iter()
        .filter(|note| note["what"] == "INVOKE")
        .map(|note| &note["requestId"])
        .collect();
    let ids: Vec<_> = results.iter().map(|result| &result["requestId"]).collect();
    assert_eq!(told, ids, "{run:?}");
    let terms = notes.iter().filter(|note| note["what"] == "SIGTERM");
    assert_eq!(terms.count(), 2, "{run:?}");
    let log = results[0]["logs"].as_str().unwrap();
    assert_eq!(
        lines(log, "EXTENSION"),
        ["EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]"]
    );
}

#[test]
fn privileged_what_extensions_take_belongs_to_the_duration() {
    if !privileged() {
        return;
    }
    let slow = program(
        "slow",
        "identifier = register(['INVOKE'])\nevent(identifier)\ntime.sleep(0.5)\n\
         note('done')\nevent(identifier)",
    );
    let run = run(COUNTING, &[slow], &["--timeout", "20"]);
    assert_eq!(run.payload(), 1);
    let result = run.result();
    let duration = result["report"]["durationMs"].as_f64().unwrap();
    assert!(duration >= 500.0, "{result}");
    // What it has written until then is a part of the invocation's log.
    let log = result["logs"].as_str().unwrap();
    assert!(
        log.find("\"done\"").unwrap() < log.find("END RequestId").unwrap(),
        "{log}"
    );
}

#[test]
fn privileged_without_extensions_there_is_no_sigterm() {
    if !privileged() {
        return;
    }
    let timeout = wait::seconds(2);
    let run = run(FOURTH_HANGS, &[], &["--repeat", "5", "--timeout", &timeout]);
    assert_eq!(run.results()[4]["payload"], 5, "{run:?}");
    let all = sequence(&notes(&run.stderr));
    assert!(!all.contains(&"runtime SIGTERM".to_owned()), "{all:?}");
}

#[test]
fn privileged_directories_are_no_extensions() {
    if !privileged() {
        return;
    }
    let library = program("lib/agent.py", "follow(['INVOKE'])");
    let starter = program(
        "starter",
        "exec(open('/opt/extensions/lib/agent.py').read())",
    );
    let run = run(COUNTING, &[library, starter], &["--timeout", "20"]);
    assert_eq!(run.payload(), 1);
    assert_eq!(
        lines(&run.stderr, "EXTENSION"),
        ["EXTENSION\tName: starter\tState: Ready\tEvents: [INVOKE]"]
    );
}

#[test]
fn privileged_extensions_are_frozen_with_the_rest() {
    if !privileged() {
        return;
    }
    // A thread of the extension counts all the time; the last invocation comes after
    // the command's output was not read for a while.
    let ticking = program(
        "ticking",
        r"
ticks = 0
def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1
threading.Thread(target=tick, daemon=True).start()
identifier = register(['INVOKE'])
while True:
    before, since = ticks, time.monotonic()
    event(identifier)
    note('woken', ticks=ticks - before, after=time.monotonic() - since)
    time.sleep(0.05)
",
    );
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let runtime = format!("{RUNTIME}serve(lambda event, number: 'x' * 200000)");
    let image = extension::image(directory.path(), &runtime, &[ticking]);
    let arguments = ["--repeat", "3", "--memory", "512", "--timeout", "20"];
    let mut child = lambent.start_invoke(&image, &json!({}), &arguments);
    // The pipe takes 64 KiB: from its first byte on, the command waits for us with the
    // first answer.
    let mut first = [0];
    let output = child.stdout.as_mut().unwrap();
    output.read_exact(&mut first).unwrap();
    let idle = wait::patiently(Duration::from_secs(2));
    std::thread::sleep(idle);
    let mut run: Run = child.wait_with_output().unwrap().into();
    run.stdout.insert(0, first[0].into());
    assert_eq!(run.results().len(), 3, "{run:?}");
    let notes = notes(&run.stderr);
    let woken: Vec<_> = notes
        .iter()
        .filter(|note| note["what"] == "woken")
        .collect();
    assert_eq!(woken.len(), 3, "{run:?}");
    let after = woken[1]["after"].as_f64().unwrap();
    let idle = idle.as_secs_f64();
    assert!(after > idle / 2.0, "the idle time was only {after} s");
    // Until everything is done and frozen, which takes longer where all does.
    let ticks = woken[1]["ticks"].as_f64().unwrap();
    assert!(ticks < 50.0 * idle, "{ticks} ticks in {after} s of idling");
}

/// An extension that takes its time: the caller does not wait for it, and the
/// environment is not free for anybody else.
#[test]
fn privileged_callers_do_not_wait_for_extensions() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let slow = program(
        "slow",
        "identifier = register(['INVOKE', 'SHUTDOWN'])\n\
         while event(identifier)['eventType'] == 'INVOKE': time.sleep(600)",
    );
    let runtime = format!(
        "{RUNTIME}import uuid\nidentity = str(uuid.uuid4())\n\
         serve(lambda event, number: [identity, number])"
    );
    let image = extension::image(directory.path(), &runtime, &[slow]);
    let served = Served::start(
        &lambent,
        &[&image, "--name", "f", "--memory", "512", "--timeout", "4"],
    );
    let script = r#"
first = c.invoke(FunctionName="f")
second = c.invoke(FunctionName="f")
stream = c.invoke_with_response_stream(FunctionName="f")
parts = [e["PayloadChunk"]["Payload"] for e in stream["EventStream"] if "PayloadChunk" in e]
print(json.dumps([first.get("FunctionError"), json.loads(first["Payload"].read()), json.loads(second["Payload"].read()), json.loads(b"".join(parts))]))
"#;
    let answers = boto3::run(&served.url(), script);
    assert_eq!(answers.status, 0, "{answers:?}\n{}", served.log());
    let answers: Value = serde_json::from_str(&answers.stdout).unwrap();
    assert!(answers[0].is_null(), "{answers}");
    let mut identities: Vec<_> = (1..4).map(|n| answers[n][0].as_str().unwrap()).collect();
    identities.sort_unstable();
    identities.dedup();
    // Had a caller waited, its environment would have been free for the next.
    assert_eq!(identities.len(), 3, "{answers}");
    // The invocations go on until the timeout, which covers extensions too.
    let reports = || {
        let log = served.log();
        let timeouts = lines(&log, "REPORT")
            .into_iter()
            .filter(|line| line.ends_with("Status: timeout"))
            .count();
        timeouts == 3
    };
    wait::until("three reports say that the time is over", reports);
    let (status, log) = served.end(Signal::INT);
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn privileged_a_runtime_that_works_on_keeps_no_caller() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    // After its answer it does not ask for the next event.
    let runtime = format!(
        "{RUNTIME}identifier, event = take()\nanswer(identifier, 'early')\ntime.sleep(600)"
    );
    let image = extension::image(directory.path(), &runtime, &[]);
    let served = Served::start(
        &lambent,
        &[&image, "--name", "f", "--memory", "512", "--timeout", "5"],
    );
    let script = r#"
r = c.invoke(FunctionName="f")
print(json.dumps([r.get("FunctionError"), json.loads(r["Payload"].read())]))
"#;
    let answer = boto3::run(&served.url(), script);
    assert_eq!(answer.stdout.trim(), r#"[null, "early"]"#, "{answer:?}");
    wait::until("its report says that the time is over", || {
        let log = served.log();
        lines(&log, "REPORT")
            .iter()
            .any(|line| line.ends_with("Status: timeout"))
    });
}

/// Who asks again at once gets the same environment, although its runtime takes a
/// moment to ask for the next event.
#[test]
fn privileged_a_request_waits_for_a_runtime_that_is_about_to_ask() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let runtime = format!(
        "{RUNTIME}while True:\n  identifier, event = take()\n  answer(identifier, count())\n  \
         time.sleep(0.2)"
    );
    let image = extension::image(directory.path(), &runtime, &[]);
    let served = Served::start(
        &lambent,
        &[&image, "--name", "f", "--memory", "512", "--timeout", "10"],
    );
    let script = r#"
print(json.dumps([json.loads(c.invoke(FunctionName="f")["Payload"].read()) for _ in range(4)]))
"#;
    let answers = boto3::run(&served.url(), script);
    // Each environment counts on its own.
    assert_eq!(answers.stdout.trim(), "[1, 2, 3, 4]", "{answers:?}");
}

/// Two environments, each with its own extension, are told of the end together.
#[test]
fn privileged_a_service_that_ends_tells_the_extensions_of_all_environments() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let agent = program(
        "agent",
        "import uuid\nNAME = 'agent ' + str(uuid.uuid4())\n\
         identifier = register(['INVOKE', 'SHUTDOWN'], 'agent')\n\
         while (e := event(identifier))['eventType'] == 'INVOKE': note('INVOKE', id=e['requestId'])\n\
         note('SHUTDOWN', reason=e['shutdownReason'])\ntime.sleep(0.3)\nnote('left')",
    );
    let runtime = format!("{RUNTIME}serve(lambda event, number: time.sleep(2))");
    let image = extension::image(directory.path(), &runtime, &[agent]);
    let served = Served::start(
        &lambent,
        &[&image, "--name", "f", "--memory", "512", "--timeout", "20"],
    );
    let script = r#"
import threading
ids = []
def invoke(): ids.append(c.invoke(FunctionName="f")["ResponseMetadata"]["RequestId"])
threads = [threading.Thread(target=invoke) for _ in range(2)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(sorted(ids)))
"#;
    let answers = boto3::run(&served.url(), script);
    assert_eq!(answers.status, 0, "{answers:?}\n{}", served.log());
    let ids: Vec<String> = serde_json::from_str(&answers.stdout).unwrap();
    let (status, log) = served.end(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
    let notes = notes(&log);
    let agents: Vec<_> = notes
        .iter()
        .filter(|note| note["what"] == "INVOKE")
        .map(|note| (note["id"].as_str().unwrap(), note["who"].as_str().unwrap()))
        .collect();
    let mut told: Vec<_> = agents.iter().map(|(id, _)| *id).collect();
    told.sort_unstable();
    assert_eq!(told, ids, "{log}");
    assert_ne!(agents[0].1, agents[1].1, "{log}");
    for (_, who) in agents {
        let own: Vec<_> = notes.iter().filter(|note| note["who"] == who).collect();
        let whats: Vec<_> = own.iter().map(|note| &note["what"]).collect();
        assert_eq!(whats, ["INVOKE", "SHUTDOWN", "left"], "{log}");
        assert_eq!(own[1]["reason"], "spindown");
    }
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

/// A layer brings an extension to a zip function, whose environment ends when it has
/// been idle.
#[test]
fn privileged_extensions_come_in_layers_too() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let runtime = format!("python3.12={}", fixtures::python_runtime_reference());
    let served = Served::start(&lambent, &["--runtime-image", &runtime, "--idle", "1"]);
    let (_, _, agent) = program(
        "agent",
        "status, headers, body = call('POST', 'register', '{\"events\": [\"SHUTDOWN\"]}', \
         {'Lambda-Extension-Name': NAME})\n\
         note('registered', body=json.loads(body), env=dict(os.environ))\n\
         note(event(headers['Lambda-Extension-Identifier'])['shutdownReason'])",
    );
    let file = directory.path().join("agent");
    fs::write(&file, agent).unwrap();
    let script = format!(
        r#"
import io, zipfile
def zipped(name, content, mode):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        z.writestr(info, content)
    return b.getvalue()
layer = c.publish_layer_version(LayerName="agent", Content={{"ZipFile": zipped("extensions/agent", open({file:?}, "rb").read(), 0o755)}})
c.create_function(FunctionName="zipped", Role="arn:aws:iam::123456789012:role/r", Runtime="python3.12", Handler="app.handler",
    Code={{"ZipFile": zipped("app.py", "def handler(event, context): return 7", 0o644)}}, Layers=[layer["LayerVersionArn"]], MemorySize=512, Timeout=20)
c.get_waiter("function_active_v2").wait(FunctionName="zipped", WaiterConfig={{"Delay": 1, "MaxAttempts": 90}})
print(c.invoke(FunctionName="zipped")["Payload"].read().decode())
"#
    );
    let answer = boto3::run(&served.url(), &script);
    assert_eq!(answer.stdout.trim(), "7", "{answer:?}\n{}", served.log());
    wait::until("the idle environment has told its extension", || {
        notes(&served.log()).len() == 2
    });
    let notes = notes(&served.log());
    assert_eq!(sequence(&notes), ["agent registered", "agent spindown"]);
    assert_eq!(notes[0]["body"]["handler"], "app.handler", "{}", notes[0]);
    let env = notes[0]["env"].as_object().unwrap();
    assert_eq!(env["TZ"], ":UTC");
    assert!(!env.contains_key("_HANDLER"), "{env:?}");
}
