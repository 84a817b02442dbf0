//! What a running service shows, how it ends, and what becomes of its
//! asynchronous events.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::{Served, environments};
use lambent_e2e::{Lambent, Run, boto3, privileged, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

fn serve(lambent: &Lambent, arguments: &[&str]) -> Served {
    let image = Fixture::RustOciArchive.reference();
    Served::start(lambent, &[&[image.as_str()], arguments].concat())
}

/// An HTTP request that ends with its answer: the status, the headers, the body.
fn request(served: &Served, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut stream = send(served, method, path, headers, body);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}\n{}", served.log()));
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn send(served: &Served, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    stream
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn request_id(&self) -> String {
        let mut lines = self.head.lines();
        let id = lines.find_map(|line| line.strip_prefix("x-amzn-requestid: "));
        id.unwrap().to_owned()
    }
}

const INVOCATIONS: &str = "/2015-03-31/functions/f/invocations";

fn invoke(served: &Served, event: &Value) -> Reply {
    request(served, "POST", INVOCATIONS, "", &event.to_string())
}

/// Sends an asynchronous event. Its request ID.
fn send_event(served: &Served, event: &Value) -> String {
    let header = "X-Amz-Invocation-Type: Event\r\n";
    let reply = request(served, "POST", INVOCATIONS, header, &event.to_string());
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
    reply.request_id()
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn file(lambent: &Lambent, name: &str) -> (PathBuf, String) {
    let path = lambent.root().join(name);
    let destination = format!("file:{}", path.display());
    (path, destination)
}

/// `lambent ps` of the only service.
fn ps(lambent: &Lambent) -> Value {
    let run = lambent.run(["ps", "--output", "json"]);
    assert_eq!(run.status, 0, "{run:?}");
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(all["version"], 1);
    assert_eq!(all["services"].as_array().unwrap().len(), 1, "{all}");
    all["services"][0].clone()
}

/// The `message`s of `lambent logs`.
fn messages(run: &Run) -> Vec<String> {
    let lines = run.stdout.lines();
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["message"].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

fn is_gone(lambent: &Lambent) {
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
    let sockets = std::fs::read_dir(lambent.root().join("run/sockets")).unwrap();
    assert_eq!(sockets.count(), 0);
}

#[test]
fn privileged_a_failing_event_is_tried_three_times_and_recorded() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (failed, on_failure) = file(&lambent, "failed");
    let (succeeded, on_success) = file(&lambent, "succeeded");
    let served = serve(
        &lambent,
        &[
            "--name",
            "f",
            "--retry-delay",
            "0.05",
            "--on-failure",
            &on_failure,
            "--on-success",
            &on_success,
        ],
    );
    let event = json!({"action": "raise", "message": "no"});
    let id = send_event(&served, &event);
    wait::until("the event is given up", || !records(&failed).is_empty());
    let record = &records(&failed)[0];
    assert_eq!(record["requestContext"]["requestId"], *id, "{record}");
    assert_eq!(
        record["requestContext"]["functionArn"],
        "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"
    );
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["requestPayload"], event);
    assert_eq!(
        record["responseContext"],
        json!({"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"})
    );
    assert_eq!(record["responsePayload"]["errorMessage"], "no");
    // Each time with the same request ID.
    let log = lambent.run(["logs", "f", "--output", "json"]);
    let start = format!("START RequestId: {id} Version: $LATEST");
    let starts = messages(&log).iter().filter(|line| **line == start).count();
    assert_eq!(starts, 3, "{log:?}");

    // It ran in one environment, whose process has counted nothing yet.
    let id = send_event(&served, &json!({"action": "counter"}));
    wait::until("the event succeeds", || !records(&succeeded).is_empty());
    let record = &records(&succeeded)[0];
    assert_eq!(record["requestContext"]["requestId"], *id, "{record}");
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["responsePayload"], json!({"count": 1}));
    assert_eq!(records(&failed).len(), 1);

    let metrics = request(&served, "GET", "/metrics", "", "").body;
    for (name, value) in [
        ("lambda_async_events_received_total", "2"),
        ("lambda_async_events_dropped_total", "1"),
        ("lambda_invocations_total", "4"),
        ("lambda_errors_total", "3"),
    ] {
        assert_eq!(sample(&metrics, name), value, "{name}\n{metrics}");
    }
}

#[test]
fn privileged_a_time_out_without_retries_is_recorded_at_once() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (failed, on_failure) = file(&lambent, "failed");
    let served = serve(
        &lambent,
        &[
            "--name",
            "f",
            "--timeout",
            "1",
            "--retries",
            "0",
            "--on-failure",
            &on_failure,
        ],
    );
    send_event(&served, &json!({"action": "sleep", "ms": 60_000}));
    wait::until("the event is given up", || !records(&failed).is_empty());
    let record = &records(&failed)[0];
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    assert_eq!(record["responsePayload"]["errorType"], "Sandbox.Timedout");
}

/// A memory size in MB of which the host can hold at least one environment, and how
/// many it can hold.
fn large_memory() -> (u64, usize) {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.unwrap().trim().strip_suffix(" kB").unwrap();
    // As the service counts: nine tenths are for functions.
    let total: u64 = total.parse::<u64>().unwrap() / 1024 * 9 / 10;
    let memory = (total * 6 / 10).min(10_240);
    (memory, usize::try_from(total / memory).unwrap())
}

#[test]
fn privileged_events_wait_for_concurrency_and_requests_do_not() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (succeeded, on_success) = file(&lambent, "succeeded");
    let (memory, room) = large_memory();
    let memory = memory.to_string();
    let arguments = ["--name", "f", "--memory", &memory, "--timeout", "60"];
    let events = ["--retry-delay", "1", "--on-success", &on_success];
    let served = serve(&lambent, &[&arguments[..], &events].concat());
    let event = json!({"action": "sleep", "ms": 6_000}).to_string();
    let running: Vec<_> = (0..room)
        .map(|_| send(&served, "POST", INVOCATIONS, "", &event))
        .collect();
    wait::until("the host is full", || {
        let status = ps(&lambent);
        let environments = status["functions"][0]["environments"].as_array().cloned();
        environments.unwrap().len() == room
    });
    let refused = invoke(&served, &json!({"action": "echo"}));
    assert_eq!(refused.status, 429, "{}", refused.body);
    let id = send_event(&served, &json!({"action": "counter"}));
    wait::until("there is room again", || !records(&succeeded).is_empty());
    let record = &records(&succeeded)[0];
    assert_eq!(record["requestContext"]["requestId"], *id, "{record}");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    let metrics = request(&served, "GET", "/metrics", "", "").body;
    assert!(
        sample(&metrics, "lambda_throttles_total")
            .parse::<u64>()
            .unwrap()
            >= 2,
        "{metrics}"
    );
    assert_eq!(sample(&metrics, "lambda_errors_total"), "0", "{metrics}");
    drop(running);
}

#[test]
fn privileged_functions_have_as_much_memory_as_was_said() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    // Of two sizes and a half.
    let arguments = [
        "--memory",
        "128",
        "--memory-limit",
        "320",
        "--timeout",
        "60",
    ];
    let served = serve(&lambent, &[&["--name", "f"], &arguments[..]].concat());
    let event = json!({"action": "sleep", "ms": 50_000}).to_string();
    let running = [(); 2].map(|()| send(&served, "POST", INVOCATIONS, "", &event));
    wait::until("both run", || {
        let environments = environments(&lambent);
        environments.len() == 2 && environments.iter().all(|one| one["state"] == "busy")
    });
    let refused = invoke(&served, &json!({"action": "echo"}));
    assert_eq!(refused.status, 429, "{}", refused.body);
    drop(running);
}

#[test]
fn privileged_the_log_may_be_json() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f", "--log-format", "json"]);
    let lines = json!(["one", "{\"level\": \"INFO\"}"]);
    let id = invoke(&served, &json!({"action": "log", "lines": lines})).request_id();
    // It waits for a minute: the service ends before.
    send_event(&served, &json!({"action": "raise", "message": "no"}));
    wait::until("it has failed once", || {
        ps(&lambent)["functions"][0]["errors"] == 1
    });
    let (_, log) = served.end(Signal::TERM);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "lambent.notice",
            "platform.start",
            "function",
            "function",
            "platform.report",
            "platform.start",
            "platform.report",
            "lambent.notice"
        ],
        "{log}"
    );
    assert_eq!(lines[1]["record"]["requestId"], *id);
    let functions: Vec<_> = lines.iter().map(|line| &line["functionName"]).collect();
    let (none, f) = (&Value::Null, &json!("f"));
    assert_eq!(functions, [none, f, f, f, f, f, f, none], "{log}");
    assert_eq!(lines[2]["record"], "one");
    assert_eq!(lines[3]["record"], json!({"level": "INFO"}));
    assert_eq!(lines[4]["record"]["metrics"]["memorySizeMB"], 128);
    let notice = lines[7]["record"].as_str().unwrap();
    assert!(
        notice.contains("1 asynchronous event has not been completed"),
        "{log}"
    );
}

#[test]
fn privileged_destinations_that_cannot_be_are_refused_or_said() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let refused = |destination: &str| {
        lambent.run([
            "serve",
            &image,
            "--listen",
            "127.0.0.1:0",
            "--name",
            "f",
            "--on-failure",
            destination,
        ])
    };
    for (destination, status, text) in [
        ("function:f", 2, "as a destination for itself"),
        ("sqs:queue", 2, "file:PATH or function:NAME"),
        ("file:/nowhere/at/all", 4, "/nowhere/at/all"),
    ] {
        let run = refused(destination);
        assert_eq!(run.status, status, "{run:?}");
        assert!(run.stderr.contains(text), "{run:?}");
    }
    // A function may come later; that it is not there shows when it is needed.
    let served = serve(
        &lambent,
        &[
            "--name",
            "f",
            "--retries",
            "0",
            "--on-failure",
            "function:g",
        ],
    );
    send_event(&served, &json!({"action": "raise", "message": "no"}));
    wait::until("the lost record is said", || {
        served.log().contains("did not reach function:g")
    });
}

#[test]
fn privileged_ps_and_metrics_count() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f", "--memory", "512"]);
    assert_eq!(request(&served, "GET", "/health", "", "").status, 200);
    let status = ps(&lambent);
    assert_eq!(status["endpoint"], served.url());
    assert_eq!(status["pid"], served.pid());
    assert_eq!(status["functions"][0]["environments"], json!([]));
    for event in [
        json!({"action": "echo"}),
        json!({"action": "raise", "message": "no"}),
        json!({"action": "fillTmp", "mb": 3}),
    ] {
        assert_eq!(invoke(&served, &event).status, 200);
    }
    let event = json!({"action": "sleep", "ms": 20_000}).to_string();
    let waiting = send(&served, "POST", INVOCATIONS, "", &event);
    // The last caller may have its answer before its environment is done.
    wait::until("the environment is busy with the fourth", || {
        let environment = &ps(&lambent)["functions"][0]["environments"][0];
        environment["state"] == "busy" && environment["invocations"] == 3
    });
    let status = ps(&lambent);
    let function = &status["functions"][0];
    assert_eq!(function["functionName"], "f");
    assert_eq!(function["memorySizeMb"], 512);
    let counts = ["invocations", "errors", "throttles", "coldStarts"].map(|name| &function[name]);
    assert_eq!(counts, [3, 1, 0, 1], "{status}");
    let environment = &function["environments"][0];
    assert_eq!(environment["idleSeconds"], Value::Null, "{status}");
    assert_eq!(environment["invocations"], 3, "{status}");
    assert_eq!(environment["tmpUsedMb"], 3, "{status}");
    let memory = environment["maxMemoryUsedMb"].as_u64().unwrap();
    assert!((1..=512).contains(&memory), "{status}");
    let text = lambent.run(["ps"]).stdout;
    assert!(text.contains("\nf          512 MB   1 "), "{text}");
    assert!(text.contains("f:$LATEST   busy"), "{text}");

    let metrics = request(&served, "GET", "/metrics", "", "");
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        metrics.head
    );
    let metrics = metrics.body;
    for (name, value) in [
        ("lambda_invocations_total", "3"),
        ("lambda_errors_total", "1"),
        ("lambda_throttles_total", "0"),
        ("lambda_concurrent_executions", "1"),
        ("lambda_duration_seconds_count", "3"),
        ("lambda_init_duration_seconds_count", "1"),
        ("lambda_memory_size_bytes", "536870912"),
    ] {
        assert_eq!(sample(&metrics, name), value, "{name}\n{metrics}");
    }
    for name in [
        "lambda_duration_seconds_sum",
        "lambda_init_duration_seconds_sum",
        "lambda_cpu_seconds_total",
        "lambda_max_memory_used_bytes",
        "lambda_tmp_used_bytes",
    ] {
        assert!(
            sample(&metrics, name).parse::<f64>().unwrap() > 0.0,
            "{name}\n{metrics}"
        );
    }
    drop(waiting);
}

/// The value of a metric's only sample with one label; every line must be one of
/// Prometheus' text format.
fn sample<'a>(metrics: &'a str, name: &str) -> &'a str {
    let mut found = None;
    for line in metrics.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (metric, labels) = series.split_once('{').unwrap();
        let labels = labels.strip_suffix('}').unwrap();
        for label in labels.split(',') {
            let (_, value) = label.split_once('=').unwrap();
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        if metric == name && labels == "function_name=\"f\"" {
            assert_eq!(found, None, "{name} twice");
            found = Some(value);
        }
    }
    found.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

#[test]
fn privileged_commands_need_a_service() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    for command in ["ps", "logs", "stop"] {
        let run = lambent.run([command]);
        assert_eq!(run.status, 4, "{run:?}");
        assert!(run.stderr.contains("no service runs here"), "{run:?}");
        assert!(run.stderr.contains("lambent serve"), "{run:?}");
    }
    let one = serve(&lambent, &["--name", "f"]);
    // The functions of an installation are one service's.
    let image = Fixture::RustOciArchive.reference();
    let run = lambent.run(["serve", &image, "--listen", "127.0.0.1:0"]);
    assert_eq!(run.status, 4, "{run:?}");
    assert!(run.stderr.contains("another `lambent serve`"), "{run:?}");
    assert_eq!(lambent.run(["logs"]).status, 0);
    assert_eq!(lambent.run(["logs", "nobody"]).status, 2);
    assert_eq!(lambent.run(["stop"]).status, 0);
    assert!(!leftovers::alive(one.pid()));
    is_gone(&lambent);
}

#[test]
fn privileged_logs_are_shown_and_followed_to_the_end() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    let id = invoke(
        &served,
        &json!({"action": "log", "lines": ["one", "t\u{e4}o"]}),
    )
    .request_id();
    let run = lambent.run(["logs", "f", "--output", "json"]);
    let lines = messages(&run);
    assert_eq!(
        lines[..4],
        [
            format!("START RequestId: {id} Version: $LATEST"),
            "one".to_owned(),
            "t\u{e4}o".to_owned(),
            format!("END RequestId: {id}"),
        ],
        "{run:?}"
    );
    assert!(lines[4].starts_with(&format!("REPORT RequestId: {id}\t")));
    let text = lambent.run(["logs"]).stdout;
    assert!(text.lines().nth(1).unwrap().ends_with("Z f one"), "{text}");
    assert_eq!(
        lambent
            .run(["logs", "--since", "1970-01-01T00:00:00Z"])
            .stdout,
        text
    );
    assert_eq!(lambent.run(["logs", "--since", "0s"]).stdout, "");

    let follower = lambent.command(["logs", "f", "--follow"]).spawn().unwrap();
    let mut follower = Reader::new(follower);
    follower.until("Z one");
    invoke(&served, &json!({"action": "log", "lines": ["three"]}));
    follower.until("Z three");
    // The service's end is the log's.
    assert_eq!(lambent.run(["stop"]).status, 0);
    let (status, text) = follower.end();
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(text.matches("REPORT RequestId").count(), 2, "{text}");
    is_gone(&lambent);
    let (status, log) = served.end(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
}

/// A command whose output is read while it runs.
struct Reader {
    child: Child,
    text: String,
}

impl Reader {
    fn new(child: Child) -> Self {
        Self {
            child,
            text: String::new(),
        }
    }

    fn until(&mut self, expected: &str) {
        let mut buffer = [0; 4096];
        while !self.text.contains(expected) {
            let length = self.child.stdout.as_mut().unwrap().read(&mut buffer);
            let length = length.unwrap();
            assert!(length > 0, "no {expected:?} in {:?}", self.text);
            self.text += &String::from_utf8_lossy(&buffer[..length]);
        }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        let status = self.child.wait().unwrap();
        (status.code(), self.text + &rest)
    }
}

/// Reads a log up to the last line of its only invocation.
fn until_report(stream: &mut dyn Read) {
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut rest = lines.skip_while(|line| !line.contains("REPORT RequestId"));
    assert!(rest.next().is_some());
}

/// As `lambent logs --follow | head -1` does it, whoever wrote the next line.
#[test]
fn privileged_a_follower_ends_when_its_reader_has_gone() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    invoke(&served, &json!({"action": "log", "lines": ["one"]}));
    let pipe = Stdio::piped;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let theirs = Stdio::from(std::os::fd::OwnedFd::from(theirs));
    for (stdout, mut socket) in [(pipe(), None), (theirs, Some(ours))] {
        let mut command = lambent.command(["logs", "--follow"]);
        let mut follower = command.stdout(stdout).spawn().unwrap();
        // Ours is the only end that is left of theirs.
        drop(command);
        match &mut socket {
            Some(socket) => until_report(socket),
            None => until_report(&mut follower.stdout.take().unwrap()),
        }
        drop(socket);
        // Nothing more is written to the log.
        let status = follower.wait().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn privileged_a_follower_that_does_not_read_slows_nobody_down() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(
        &lambent,
        &["--name", "f", "--memory", "1769", "--timeout", "60"],
    );
    let mut asleep = lambent
        .command(["logs", "--follow", "--output", "json"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    invoke(&served, &json!({"action": "log", "lines": ["first"]}));
    // Far more than pipes, sockets and the service's memory of it hold.
    let line = "x".repeat(10_000);
    let lines: Vec<_> = (0..100).map(|number| format!("{number} {line}")).collect();
    for _ in 0..10 {
        let reply = invoke(&served, &json!({"action": "log", "lines": lines}));
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(lambent.run(["ps"]).status, 0);
    }
    invoke(&served, &json!({"action": "log", "lines": ["last"]}));
    // When it wakes up it is told what it has missed, and gets the rest.
    let mut text = String::new();
    let mut buffer = vec![0; 65_536];
    while !text.contains("\"message\":\"last\"") {
        let length = asleep.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
        assert!(length > 0, "the log ended");
        text += &String::from_utf8_lossy(&buffer[..length]);
    }
    let complete = text.rsplit_once('\n').unwrap().0;
    let (mut lost, mut seen) = (0, 0);
    for line in complete.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["lost"].as_u64() {
            Some(lines) => lost += lines,
            None => seen += 1,
        }
    }
    assert!(lost > 0, "{seen} lines seen");
    // 12 invocations with START, END and REPORT. What the last one says behind its
    // line may be still to come.
    let all = 12 * 3 + 1_000 + 2;
    assert!((all - 2..=all).contains(&(lost + seen)), "{lost} + {seen}");
    assert_eq!(lambent.run(["stop"]).status, 0);
    let status = asleep.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn privileged_what_runs_is_answered_when_the_service_ends() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(
        &lambent,
        &["--name", "f", "--timeout", "60", "--grace", "5"],
    );
    let send = |ms: u32| {
        let event = json!({"action": "sleep", "ms": ms}).to_string();
        send(&served, "POST", INVOCATIONS, "", &event)
    };
    let mut short: Vec<_> = (0..2).map(|_| send(1_000)).collect();
    let mut long: Vec<_> = (0..2).map(|_| send(50_000)).collect();
    send_event(&served, &json!({"action": "sleep", "ms": 50_000}));
    wait::until("all five run", || {
        let status = ps(&lambent);
        let environments = status["functions"][0]["environments"].as_array().cloned();
        environments.unwrap().len() == 5
    });
    let services = leftovers::services(lambent.root());
    let answer = |stream: &mut TcpStream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let (status, said) = served.end(Signal::INT);
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(
        said.contains("1 asynchronous event has not been completed"),
        "{said}"
    );
    for stream in &mut short {
        let text = answer(stream);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
    for stream in &mut long {
        let text = answer(stream);
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        assert!(
            text.contains("x-amzn-errortype: ServiceException"),
            "{text}"
        );
    }
    assert!(Leftovers::of(lambent.root(), &services).is_empty());
    is_gone(&lambent);
}

#[test]
fn privileged_a_refused_request_does_not_cost_the_connection() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    let mut stream = TcpStream::connect(served.address()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for (method, path, status) in [
        ("POST", "/nowhere", 404),
        ("PUT", INVOCATIONS, 404),
        ("POST", "/lambda-url/nobody/", 403),
        ("GET", "/health", 200),
    ] {
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
        )
        .unwrap();
        // Clients send the body after the head, and do not look for an answer before.
        std::thread::sleep(std::time::Duration::from_millis(50));
        stream.write_all(b"{}").unwrap();
        let (mut length, mut line) = (0, String::new());
        answers.read_line(&mut line).unwrap();
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}: {line}"
        );
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        answers.read_exact(&mut vec![0; length]).unwrap();
    }
}

#[test]
fn privileged_after_a_killed_service_commands_see_only_the_next() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent, &["--name", "f"]);
    invoke(&served, &json!({"action": "echo"}));
    let services = leftovers::services(lambent.root());
    served.end(Signal::KILL);
    let run = lambent.run(["ps"]);
    assert_eq!(run.status, 4, "{run:?}");
    wait::until("nothing is left of it", || {
        Leftovers::of(lambent.root(), &services).is_empty()
    });
    let served = serve(&lambent, &["--name", "f"]);
    invoke(&served, &json!({"action": "echo"}));
    assert_eq!(ps(&lambent)["pid"], served.pid());
    drop(served);
    is_gone(&lambent);
}

#[test]
fn privileged_awss_client_sends_events() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (succeeded, on_success) = file(&lambent, "succeeded");
    let served = serve(&lambent, &["--name", "f", "--on-success", &on_success]);
    let run = boto3::run(
        &served.url(),
        r#"
ids = []
for n in range(3):
    r = c.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"action": "echo", "n": n}))
    assert r["StatusCode"] == 202 and "ExecutedVersion" not in r, r
    ids.append(r["ResponseMetadata"]["RequestId"])
print(json.dumps(ids))
"#,
    );
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    let mut ids: Vec<String> = serde_json::from_str(&run.stdout).unwrap();
    wait::until("all have run", || records(&succeeded).len() == 3);
    let mut recorded: Vec<_> = records(&succeeded)
        .iter()
        .map(|record| {
            let id = record["requestContext"]["requestId"].as_str();
            id.unwrap().to_owned()
        })
        .collect();
    ids.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, ids);
}

#[test]
fn privileged_awss_client_configures_events() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (failed, on_failure) = file(&lambent, "failed");
    let arguments = ["--name", "f", "--retry-delay", "0.05"];
    let served = serve(
        &lambent,
        &[&arguments[..], &["--on-failure", &on_failure]].concat(),
    );
    let run = boto3::run(
        &served.url(),
        r#"
def config(answer):
    del answer["ResponseMetadata"]
    answer["LastModified"] = answer["LastModified"].year > 2000
    return answer
def refused(call, **arguments):
    try:
        call(FunctionName="f", **arguments)
    except botocore.exceptions.ClientError as e:
        return [e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]]
g = "arn:aws:lambda:us-east-1:123456789012:function:g"
f = g[:-1] + "f"
to = lambda where: {"OnFailure": {"Destination": where}}
out = {}
out["served"] = config(c.get_function_event_invoke_config(FunctionName="f"))
out["refused"] = [
  refused(c.put_function_event_invoke_config, DestinationConfig=to(f)),
  refused(c.put_function_event_invoke_config, DestinationConfig=to(g.replace("lambda", "sqs"))),
]
out["updated"] = config(c.update_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0))
out["listed"] = len(c.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"])
c.invoke(FunctionName="f", InvocationType="Event", Payload='{"action": "raise", "message": "no"}')
print(json.dumps(out))
"#,
    );
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    let config = |retries: u32| {
        json!({
            "LastModified": true,
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
            "MaximumRetryAttempts": retries,
            "MaximumEventAgeInSeconds": 21_600,
            "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": on_failure}},
        })
    };
    assert_eq!(answer["served"], config(2));
    let refused = json!(["InvalidParameterValueException", 400]);
    assert_eq!(answer["refused"], json!([refused, refused]));
    assert_eq!(answer["updated"], config(0));
    assert_eq!(answer["listed"], 1);
    wait::until("the event is given up", || !records(&failed).is_empty());
    let record = &records(&failed)[0];
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
    // Without a configuration there is no destination either.
    let run = boto3::run(
        &served.url(),
        r#"
c.delete_function_event_invoke_config(FunctionName="f")
for name in ("f", "g"):
    for call in (c.get_function_event_invoke_config, c.delete_function_event_invoke_config):
        try:
            call(FunctionName=name)
        except c.exceptions.ResourceNotFoundException as e:
            print(e.response["Error"]["Message"])
"#,
    );
    let none = "The function arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST doesn't \
                have an EventInvokeConfig\n";
    let missing = "The function doesn't exist.\n";
    assert_eq!(
        run.stdout,
        format!("{none}{none}{missing}{missing}"),
        "{run:?}"
    );
}
