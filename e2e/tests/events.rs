//! Asynchronous events and AWS's own client: their destinations, and that they and
//! what is configured for them outlive the service.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;

use lambent_e2e::serve::Served;
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, boto3, fixtures, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Python that makes functions: `f` does what its event says, and `g` prints its
/// events.
const PRELUDE: &str = r#"
import io, os, threading, time, zipfile
def create(name, code):
    b = io.BytesIO()
    info = zipfile.ZipInfo("app.py")
    info.external_attr = 0o644 << 16
    with zipfile.ZipFile(b, "w") as z: z.writestr(info, code)
    c.create_function(FunctionName=name, Role="arn:aws:iam::123456789012:role/r", Runtime="python3.12", Handler="app.handler", Timeout=60, Code={"ZipFile": b.getvalue()})
    c.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
def send(event):
    r = c.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps(event))
    assert r["StatusCode"] == 202
    return r["ResponseMetadata"]["RequestId"]
def config():
    r = c.get_function_event_invoke_config(FunctionName="f")
    return [r["MaximumRetryAttempts"], r["MaximumEventAgeInSeconds"], r["DestinationConfig"]]
F = """
import time
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("fail"): raise Exception("no")
    return {"did": event}
"""
G = """
import json
def handler(event, context):
    print("RECORD " + json.dumps(event))
"""
out = {}
"#;

fn client(served: &Served, code: &str) -> Value {
    let code = format!("{PRELUDE}\n{code}\nprint(json.dumps(out), flush=True)\nos._exit(0)");
    let run = boto3::run(&served.url(), &code);
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"))
}

/// The records that `g` has printed.
fn records(served: &Served) -> Vec<Value> {
    let log = served.log();
    let lines = log.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("g | RECORD "));
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The heads of the events that are kept.
fn kept(lambent: &Lambent) -> Vec<Value> {
    let entries = fs::read_dir(lambent.root().join("lib/events")).unwrap();
    entries
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .filter_map(|text| serde_json::from_str(text.lines().next()?).ok())
        .collect()
}

#[test]
fn privileged_events_and_their_configuration_outlive_the_service() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = fixtures::python_runtime_reference();
    let arguments = ["--runtime-image", &format!("python3.12={image}")];
    // Longer than the rest of the test: an event that failed waits.
    let slow = [&arguments[..], &["--retry-delay", "5"]].concat();
    let served = Served::start(&lambent, &slow);
    let out = client(
        &served,
        r#"
create("f", F)
create("g", G)
g = c.get_function_configuration(FunctionName="g")["FunctionArn"]
to = {"Destination": g}
c.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=3600, DestinationConfig={"OnSuccess": to, "OnFailure": to})
out["config"] = config()
out["first"] = send({"n": 1})
"#,
    );
    // A destination that is a function gets the record as its event.
    until("g has the record", || !records(&served).is_empty());
    let record = &records(&served)[0];
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["requestId"], out["first"]);
    assert_eq!(record["requestPayload"], json!({"n": 1}));
    assert_eq!(record["responsePayload"], json!({"did": {"n": 1}}));
    until("nothing is kept of it", || kept(&lambent).is_empty());
    let config = out["config"].clone();
    assert_eq!((&config[0], &config[1]), (&json!(1), &json!(3_600)));
    // One that has failed once, and three for which there is no concurrency.
    let out = client(
        &served,
        r#"
out["failing"] = send({"fail": True})
"#,
    );
    let failing = out["failing"].clone();
    until("it failed once", || {
        kept(&lambent).iter().any(|head| head["runs"] == 1)
    });
    let out = client(
        &served,
        r#"
c.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
def busy():
    # The requests below may have the only environment at first.
    while True:
        try: return c.invoke(FunctionName="f", Payload=json.dumps({"sleep": 55}))
        except c.exceptions.TooManyRequestsException: time.sleep(0.01)
threading.Thread(target=busy, daemon=True).start()
def throttled():
    try: c.invoke(FunctionName="f", Payload="{}")
    except c.exceptions.TooManyRequestsException: return True
while not throttled(): time.sleep(0.05)
out["ids"] = [send({"n": n}) for n in (2, 3, 4)]
"#,
    );
    assert_eq!(kept(&lambent).len(), 4);
    served.end(Signal::KILL);
    let served = Served::start(&lambent, &slow);
    until("all four came to their end", || records(&served).len() >= 4);
    let records = records(&served);
    let of = |id: &Value| {
        let found = records
            .iter()
            .find(|record| record["requestContext"]["requestId"] == *id);
        found.unwrap_or_else(|| panic!("{id} is lost: {records:?}"))
    };
    for (id, n) in out["ids"].as_array().unwrap().iter().zip(2..) {
        assert_eq!(of(id)["requestPayload"], json!({"n": n}));
        assert_eq!(of(id)["requestContext"]["condition"], "Success");
    }
    // What it ran before counts.
    let context = &of(&failing)["requestContext"];
    assert_eq!(context["condition"], "RetriesExhausted", "{context}");
    assert_eq!(context["approximateInvokeCount"], 2);
    until("nothing is kept", || kept(&lambent).is_empty());
    let out = client(&served, "out['config'] = config()");
    assert_eq!(out["config"], config);
    // Nothing of a function outlives it.
    let out = client(
        &served,
        r#"
c.delete_function(FunctionName="f")
create("f", F)
try: config()
except c.exceptions.ResourceNotFoundException as e: out["none"] = str(e)
"#,
    );
    assert!(
        out["none"].as_str().unwrap().contains("doesn't have an"),
        "{out}"
    );
    served.end(Signal::INT);
}
