//! Traces: which one an invocation belongs to, and what an OpenTelemetry collector
//! gets of it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use lambent_e2e::otlp::{Answer, Collector, Span, only};
use lambent_e2e::serve::Served;
use lambent_e2e::wait::{seconds, until};
use lambent_e2e::{Lambent, Run, extension, leftovers, privileged};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

/// A runtime that answers with the trace that it was told, and with the headers of its
/// event, unless the event wants something else.
const TRACED: &str = r#"
import http.client, json, os, time
c = http.client.HTTPConnection("127.0.0.1", 9001)
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    a = c.getresponse()
    i, trace = a.headers["lambda-runtime-aws-request-id"], a.headers["lambda-runtime-trace-id"]
    e = json.loads(a.read())
    print("TRACE", i, trace, flush=True)
    if e.get("exit"): os._exit(3)
    time.sleep(e.get("sleep", 0))
    kind = "error" if e.get("fail") else "response"
    body = {"errorType": "E", "errorMessage": "no"} if e.get("fail") else {"trace": trace, "headers": e.get("headers")}
    c.request("POST", f"/2018-06-01/runtime/invocation/{i}/{kind}", json.dumps(body))
    c.getresponse().read()
"#;

const ROOT: &str = "1-65f1a2b3-0123456789abcdef01234567";
const CALLER: &str = "53995c3f42cd8ad8";

/// What a client gets.
struct Reply {
    request_id: String,
    trace: String,
    body: Value,
}

fn post(url: &str, event: &Value, headers: &[(&str, &str)]) -> Reply {
    let mut request = ureq::post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.send(event.to_string()).unwrap();
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let (request_id, trace) = (header("x-amzn-requestid"), header("x-amzn-trace-id"));
    let text = answer.body_mut().read_to_string().unwrap();
    Reply {
        request_id,
        trace,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

fn invoke(served: &Served, event: &Value, headers: &[(&str, &str)]) -> Reply {
    let url = format!("{}/2015-03-31/functions/f/invocations", served.url());
    post(&url, event, headers)
}

/// What a header of X-Ray says: root, parent, sampled.
fn parts(header: &Value) -> [String; 3] {
    let header = header.as_str().unwrap();
    ["Root=", "Parent=", "Sampled="].map(|key| {
        let part = header.split(';').find_map(|part| part.strip_prefix(key));
        part.unwrap_or_else(|| panic!("{header}")).to_owned()
    })
}

/// OpenTelemetry's form of a root.
fn trace_id(root: &str) -> String {
    root[2..].replace('-', "")
}

fn serve(lambent: &Lambent, collector: &str, arguments: &[&str]) -> Served {
    let image = extension::image(lambent.root(), TRACED, &[]);
    let ours = [image.as_str(), "--name", "f", "--otlp-endpoint", collector];
    Served::start(lambent, &[&ours, arguments].concat())
}

fn names(trace: &[Span]) -> Vec<&str> {
    trace.iter().map(|span| span.name.as_str()).collect()
}

/// What is true of every trace: it is one, and its invocation lies inside of it.
fn check_whole(trace: &[Span], reply: &Reply) {
    let (root, invoke) = (&trace[0], only(trace, "invoke"));
    assert_eq!((root.name.as_str(), root.kind), ("f", 2));
    for span in trace {
        assert_eq!(span.trace, root.trace);
        assert!(
            root.start <= span.start && span.end <= root.end,
            "{trace:#?}"
        );
        assert!(span.start <= span.end, "{span:#?}");
        assert_eq!(span.resource["service.name"], "f");
    }
    for span in [root, invoke] {
        let attributes = &span.attributes;
        assert_eq!(attributes["faas.invocation_id"], json!(reply.request_id));
        assert_eq!(attributes["faas.name"], "f");
        assert_eq!(attributes["faas.version"], "$LATEST");
        assert_eq!(
            attributes["cloud.resource_id"],
            "arn:aws:lambda:us-east-1:123456789012:function:f"
        );
    }
    for span in trace.iter().filter(|span| span.name == "init") {
        assert!(span.end <= invoke.start, "{trace:#?}");
    }
    let overhead = only(trace, "overhead");
    assert!(invoke.end <= overhead.start, "{trace:#?}");
}

#[test]
fn privileged_each_invocation_is_a_trace() {
    if !privileged() {
        return;
    }
    let collector = Collector::start(Answer::Success);
    let lambent = Lambent::new();
    let limit = seconds(3);
    let arguments = ["--memory", "512", "--timeout", &limit];
    let served = serve(&lambent, &collector.url(), &arguments);
    let events = [
        json!({}),
        json!({}),
        json!({"fail": true}),
        json!({"sleep": 3600}),
        json!({}),
        json!({"exit": true}),
    ];
    let replies = events.map(|event| invoke(&served, &event, &[]));
    let traces = collector.traces(replies.len());
    assert_eq!(traces.len(), replies.len(), "{}", served.log());
    for (trace, reply) in traces.iter().zip(&replies) {
        check_whole(trace, reply);
    }
    let [cold, warm, failed, late, again, exited] = traces.try_into().unwrap();

    for part in ["init", "invoke", "overhead", "freeze"] {
        only(&cold, part);
    }
    assert_eq!(cold[0].parent, "");
    assert_eq!(cold[0].attributes["faas.coldstart"], true);
    assert_eq!(cold[0].error, None);
    let init = only(&cold, "init");
    assert_eq!(init.attributes["aws.lambda.phase"], "init");
    assert_eq!(
        init.attributes["aws.lambda.initialization_type"],
        "on-demand"
    );
    let resource = &cold[0].resource;
    assert_eq!(resource["faas.max_memory"], 512 << 20);
    assert_eq!(resource["cloud.region"], "us-east-1");
    // The function's own spans join it.
    let [root, parent, sampled] = parts(&replies[0].body["trace"]);
    let invoke = only(&cold, "invoke");
    assert_eq!(trace_id(&root), invoke.trace);
    assert_eq!((parent, sampled), (invoke.id.clone(), "1".to_owned()));
    assert_eq!(replies[0].trace, format!("root={root};sampled=1"));
    for (part, parent) in [
        ("responseLatency", "invoke"),
        ("responseDuration", "invoke"),
        ("runtimeOverhead", "overhead"),
    ] {
        assert_eq!(only(&cold, part).parent, only(&cold, parent).id, "{part}");
    }

    for part in ["thaw", "invoke", "overhead", "freeze"] {
        only(&warm, part);
    }
    assert!(!names(&warm).contains(&"init"), "{warm:#?}");
    assert_eq!(warm[0].attributes["faas.coldstart"], false);
    assert_ne!(warm[0].trace, cold[0].trace);
    assert_eq!(
        warm[0].attributes["faas.instance"],
        cold[0].attributes["faas.instance"]
    );

    let kind = |trace: &[Span]| only(trace, "invoke").attributes["error.type"].clone();
    assert_eq!(kind(&failed), "Unhandled");
    assert!(failed[0].error.is_some());
    assert_eq!(kind(&late), "Sandbox.Timedout");
    let length = |span: &Span| Duration::from_nanos(span.end - span.start);
    let timeout = Duration::from_secs(limit.parse().unwrap());
    assert!(length(only(&late, "invoke")) >= timeout, "{late:#?}");
    assert!(!names(&late).contains(&"freeze"), "{late:#?}");

    // It begins anew, inside of the invocation.
    assert_eq!(
        only(&again, "init").attributes["aws.lambda.phase"],
        "invoke"
    );
    assert_eq!(again[0].error, None);
    assert_eq!(kind(&exited), "Runtime.ExitError");
    let message = replies[5].body["errorMessage"].as_str();
    assert_eq!(only(&exited, "invoke").error.as_deref(), message);

    let metrics = ureq::get(format!("{}/metrics", served.url()))
        .call()
        .unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    let lost = "lambent_trace_spans_total{outcome=\"lost\"} 0";
    assert!(metrics.lines().any(|line| line == lost), "{metrics}");
    for head in collector.heads() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(head.contains("application/x-protobuf"), "{head}");
    }
    let (status, log) = served.end(Signal::TERM);
    assert!(status.success() && !log.contains("collector"), "{log}");
}

#[test]
fn privileged_a_callers_trace_goes_on() {
    if !privileged() {
        return;
    }
    let collector = Collector::start(Answer::Success);
    let lambent = Lambent::new();
    let arguments = ["--memory", "512", "--retries", "1", "--retry-delay", "0.1"];
    let served = serve(&lambent, &collector.url(), &arguments);
    let header = |sampled: &str| format!("Root={ROOT};Parent={CALLER};Sampled={sampled}");
    let with = |value: &str, event: Value| invoke(&served, &event, &[("X-Amzn-Trace-Id", value)]);

    // Nobody wants it to be recorded: it is passed on as it is.
    let off = with(&header("0"), json!({}));
    assert_eq!(off.body["trace"], header("0"));
    assert_eq!(off.trace, format!("root={ROOT};sampled=0"));
    // What is no header is none.
    let bad = with("Root=x", json!({}));
    assert_eq!(bad.body["trace"].as_str().unwrap().find("Root=1-"), Some(0));
    let first = collector.traces(1).remove(0);
    check_whole(&first, &bad);

    let lineage = format!("{};Lineage=1:fe460cdd:0", header("1"));
    let reply = with(&lineage, json!({}));
    let trace = collector.traces(2).remove(1);
    check_whole(&trace, &reply);
    let [root, parent, sampled] = parts(&reply.body["trace"]);
    assert_eq!((root.as_str(), sampled.as_str()), (ROOT, "1"));
    assert_eq!(parent, only(&trace, "invoke").id);
    assert!(
        reply.body["trace"]
            .as_str()
            .unwrap()
            .ends_with(";Lineage=1:fe460cdd:0")
    );
    assert_eq!(
        (&trace[0].trace, trace[0].parent.as_str()),
        (&trace_id(ROOT), CALLER)
    );
    assert_eq!(reply.trace, format!("root={ROOT};sampled=1"));

    let url = format!("{}/lambda-url/f/", served.url());
    let reply = post(&url, &json!({}), &[("X-Amzn-Trace-Id", &header("1"))]);
    assert_eq!(reply.body["headers"]["x-amzn-trace-id"], header("1"));
    assert_eq!(parts(&reply.body["trace"])[0], ROOT);
    let trace = collector.traces(3).remove(2);
    assert_eq!(
        (&trace[0].trace, trace[0].parent.as_str()),
        (&trace_id(ROOT), CALLER)
    );

    // Each attempt of an event is one invocation, and all of one trace.
    let value = header("1");
    let asynchronous = [
        ("X-Amz-Invocation-Type", "Event"),
        ("X-Amzn-Trace-Id", value.as_str()),
    ];
    let event = invoke(&served, &json!({"fail": true}), &asynchronous);
    let traces = collector.traces(5);
    let attempts = &traces[3..];
    for attempt in attempts {
        check_whole(attempt, &event);
        assert_eq!(attempt[0].parent, CALLER);
        assert_eq!(attempt[0].trace, trace_id(ROOT));
    }
    assert_ne!(attempts[0][0].id, attempts[1][0].id);
}

#[test]
fn privileged_without_a_collector_traces_are_passed_on() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = extension::image(lambent.root(), TRACED, &[]);
    let header = format!("Root={ROOT};Parent={CALLER};Sampled=1");
    let run = lambent.invoke(
        &image,
        &json!({}),
        &["--trace-id", &header, "--memory", "512"],
    );
    assert_eq!(run.payload()["trace"], header);
    let run = lambent.invoke(&image, &json!({}), &["--memory", "512"]);
    let [root, _, sampled] = parts(&run.payload()["trace"]);
    assert_eq!(sampled, "0");
    assert_ne!(root, ROOT);
    let run = lambent.invoke(&image, &json!({}), &["--trace-id", "Root=1"]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("not an X-Ray trace header"), "{run:?}");
}

#[test]
fn privileged_a_collector_that_is_not_there_is_said_once() {
    if !privileged() {
        return;
    }
    // A port that nobody listens at, for as long as it is kept.
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = kept.local_addr().unwrap();
    drop(kept);
    let refusing = Collector::start(Answer::Status(401));
    for (url, reason) in [
        (format!("http://{address}"), "Connection refused"),
        (refusing.url(), "it answers 401 Unauthorized"),
    ] {
        let lambent = Lambent::new();
        let served = serve(&lambent, &url, &["--memory", "512"]);
        for _ in 0..3 {
            assert!(invoke(&served, &json!({}), &[]).body["trace"].is_string());
        }
        until("it is said", || {
            served.log().contains("traces do not reach")
        });
        assert!(invoke(&served, &json!({}), &[]).body["trace"].is_string());
        let (status, log) = served.end(Signal::TERM);
        assert!(status.success(), "{log}");
        assert_eq!(log.matches("traces do not reach").count(), 1, "{log}");
        assert!(log.contains(reason), "{log}");
        assert!(
            log.contains("spans have not reached the collector at http://127."),
            "{log}"
        );
    }
}

#[test]
fn privileged_a_service_ends_although_its_collector_hangs() {
    if !privileged() {
        return;
    }
    let collector = Collector::start(Answer::After(Duration::from_secs(86_400)));
    let lambent = Lambent::new();
    let served = serve(&lambent, &collector.url(), &["--memory", "512"]);
    assert!(invoke(&served, &json!({}), &[]).body["trace"].is_string());
    let (status, log) = served.end(Signal::TERM);
    assert!(status.success(), "{log}");
    assert!(
        log.contains("spans have not reached the collector"),
        "{log}"
    );
}

#[test]
fn privileged_the_last_traces_come_at_the_end() {
    if !privileged() {
        return;
    }
    let collector = Collector::start(Answer::Success);
    let lambent = Lambent::new();
    let served = serve(&lambent, &collector.url(), &["--memory", "512"]);
    let reply = invoke(&served, &json!({}), &[]);
    let (status, log) = served.end(Signal::TERM);
    assert!(status.success(), "{log}");
    // Nobody waits for them any more: they are there.
    let spans = collector.spans();
    assert!(
        spans.iter().any(|span| span.name == "overhead"),
        "{spans:#?}"
    );
    check_whole(&collector.traces(1)[0], &reply);
}

/// The process that starts environments is killed, and with it what it has started.
#[test]
fn privileged_a_lost_invocation_is_a_trace_with_an_error() {
    if !privileged() {
        return;
    }
    let collector = Collector::start(Answer::Success);
    let lambent = Lambent::new();
    let served = serve(
        &lambent,
        &collector.url(),
        &["--memory", "512", "--timeout", "300"],
    );
    let url = format!("{}/2015-03-31/functions/f/invocations", served.url());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let event = json!({"sleep": 200}).to_string();
            ureq::post(&url).send(event).map(drop)
        });
        until("the function runs", || served.log().contains("TRACE "));
        let launcher = leftovers::children(served.pid())[0];
        let launcher = Pid::from_raw(launcher.try_into().unwrap()).unwrap();
        rustix::process::kill_process(launcher, Signal::KILL).unwrap();
        assert!(waiting.join().unwrap().is_err());
    });
    until("the service says why it ends", || {
        served.log().contains("has been killed")
    });
    let (status, log) = served.end(Signal::TERM);
    assert_eq!(status.code(), Some(4), "{log}");
    let trace = &collector.traces(1)[0];
    for name in ["f", "invoke"] {
        let span = only(trace, name);
        assert_eq!(
            span.attributes["error.type"], "ServiceException",
            "{span:?}"
        );
        assert!(span.error.is_some(), "{span:?}");
    }
}

#[test]
fn privileged_a_collector_comes_from_variables_or_a_file() {
    if !privileged() {
        return;
    }
    let (of_file, of_variables) = (
        Collector::start(Answer::Success),
        Collector::start(Answer::Success),
    );
    let directory = tempfile::tempdir().unwrap();
    let image = extension::image(directory.path(), TRACED, &[]);
    fs::write(
        directory.path().join("lambent.toml"),
        format!(
            "[endpoint]\notlp_endpoint = \"{}\"\nhttp_api = \"127.0.0.1:0\"\n\
             [functions.f]\nimage = \"{image}\"\nmemory_size = 512\nroutes = [\"POST /e\"]\n\
             logging_config = {{ log_format = \"JSON\" }}\n",
            of_file.url()
        ),
    )
    .unwrap();
    let lambent = Lambent::new();
    let served = Served::start_in(directory.path(), &lambent, &[]);
    until("the HTTP API listens", || served.log().contains("POST /e"));
    let log = served.log();
    let address = log.split("HTTP API at http://").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap();
    let header = format!("Root={ROOT};Parent={CALLER};Sampled=1");
    let url = format!("http://{address}/e");
    let reply = post(&url, &json!({}), &[("X-Amzn-Trace-Id", &header)]);
    assert_eq!(reply.body["headers"]["x-amzn-trace-id"], header);
    assert_eq!(of_file.traces(1)[0][0].parent, CALLER);
    assert!(
        served.log().contains("\"type\":\"platform.start\""),
        "{}",
        served.log()
    );
    drop(served);

    let lambent = Lambent::new()
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", of_variables.url())
        .with_variable("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%3Db".to_owned());
    let served = Served::start_in(directory.path(), &lambent, &[]);
    let reply = invoke(&served, &json!({}), &[]);
    check_whole(&of_variables.traces(1)[0], &reply);
    assert!(of_variables.heads()[0].contains("api-key: a=b"));
    assert_eq!(of_file.traces(1).len(), 1);
}

#[test]
fn an_address_that_is_none_is_the_command_lines_fault() {
    let lambent = Lambent::new();
    for (argument, variable, part) in [
        ("--otlp-endpoint=x", "", "--otlp-endpoint: "),
        (
            "--otlp-endpoint=http://x",
            "x",
            "OTEL_EXPORTER_OTLP_HEADERS: header 1",
        ),
    ] {
        let mut command = lambent.command(["serve", argument]);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", variable);
        let run: Run = command.output().unwrap().into();
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
}
