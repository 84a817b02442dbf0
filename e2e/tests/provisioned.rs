//! Provisioned concurrency and AWS's own client: environments that are there before
//! the first invocation, and again after whatever ends them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use lambent_e2e::control::client;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::{Served, environments};
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Python that waits for provisioned environments and asks which an invocation got.
const PYTHON: &str = r#"
import time
def settled(name, qualifier):
    for _ in range(600):
        r = c.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        r.pop("ResponseMetadata")
        r.pop("LastModified")
        if r["Status"] != "IN_PROGRESS": return r
        time.sleep(0.1)
    raise Exception(f"still {r}")
def kind(name):
    version, answer = invoke(name, {"action": "env"})
    return [version, answer["AWS_LAMBDA_INITIALIZATION_TYPE"]]
"#;

fn run(served: &Served, code: &str) -> Value {
    client(served, &format!("{PYTHON}{code}"))
}

/// The numbers of those that are provisioned and have nothing to do.
fn ready(lambent: &Lambent) -> Vec<u64> {
    environments(lambent)
        .iter()
        .filter(|one| one["provisioned"] == true && one["state"] == "idle")
        .map(|one| one["id"].as_u64().unwrap())
        .collect()
}

#[test]
fn privileged_provisioned_environments_are_kept() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &["--idle", "1"]);
    let out = run(
        &served,
        r#"
create("f", Timeout=30)
active("f")
c.publish_version(FunctionName="f")
c.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
put = c.put_provisioned_concurrency_config(FunctionName="f", Qualifier="live", ProvisionedConcurrentExecutions=2)
out["status"] = put.pop("ResponseMetadata")["HTTPStatusCode"]
out["modified"] = put.pop("LastModified")
out["put"] = put
out["settled"] = settled("f", "live")
out["live"] = kind("f:live")
out["latest"] = kind("f")
# With the log, which ends when the environment is free again.
out["counts"] = [invoke(name, LogType="Tail")[1]["count"] for name in ("f:live", "f:1")]
out["listed"] = [[x["FunctionArn"], x["Status"]] for x in c.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"]]
out["unpublished"] = error(c.put_provisioned_concurrency_config, FunctionName="f", Qualifier="$LATEST", ProvisionedConcurrentExecutions=1)
c.publish_version(FunctionName="f")
out["missing"] = error(c.get_provisioned_concurrency_config, FunctionName="f", Qualifier="nobody")
out["already"] = error(c.put_provisioned_concurrency_config, FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
"#,
    );
    assert_eq!(out["status"], 202);
    assert_eq!(
        out["put"],
        json!({
            "RequestedProvisionedConcurrentExecutions": 2,
            "AvailableProvisionedConcurrentExecutions": 0,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "Status": "IN_PROGRESS",
        })
    );
    assert_eq!(
        out["settled"],
        json!({
            "RequestedProvisionedConcurrentExecutions": 2,
            "AvailableProvisionedConcurrentExecutions": 2,
            "AllocatedProvisionedConcurrentExecutions": 2,
            "Status": "READY",
        })
    );
    assert_eq!(out["live"], json!(["1", "provisioned-concurrency"]));
    assert_eq!(out["latest"], json!(["$LATEST", "on-demand"]));
    // The same environment as before, by whichever name.
    assert_eq!(out["counts"], json!([1, 2]), "{out}");
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    assert_eq!(out["listed"], json!([[format!("{arn}:live"), "READY"]]));
    assert_eq!(out["unpublished"][0], "InvalidParameterValueException");
    assert_eq!(out["missing"][0], "ResourceNotFoundException");
    assert_eq!(out["already"][0], "ResourceConflictException");
    let log = served.log();
    let report = "INIT_REPORT Init Duration: ";
    assert_eq!(log.matches(report).count(), 2, "{log}");
    assert!(log.contains("ms\tPhase: init\tStatus: success"), "{log}");
    // What is idle goes, what is provisioned stays.
    until("the environment of $LATEST is gone", || {
        environments(&lambent).len() == 2
    });
    let before = ready(&lambent);
    assert_eq!(before.len(), 2);
    // One whose runtime ends is replaced, and no invocation waits for that.
    let out = run(
        &served,
        "out['exit'] = invoke('f:live', {'action': 'exit', 'code': 3})[1]['errorType']",
    );
    assert_eq!(out["exit"], "Runtime.ExitError");
    until("it was replaced", || {
        let now = ready(&lambent);
        now.len() == 2 && now != before
    });
    // More at once than are provisioned.
    let out = run(
        &served,
        r#"
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda _: invoke("f:live", {"action": "sleep", "ms": 1500}), range(3)))
import urllib.request
out["metrics"] = urllib.request.urlopen(c.meta.endpoint_url + "/metrics").read().decode()
"#,
    );
    let metrics = out["metrics"].as_str().unwrap();
    for expected in [
        "lambda_provisioned_concurrency_spillover_invocations_total{function_name=\"f\"} 1",
        "lambent_provisioned_environments{function_name=\"f\"} 2",
        "lambda_provisioned_concurrent_executions{function_name=\"f\"} 0",
    ] {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }
    // It is there again after the service was killed.
    served.end(Signal::KILL);
    let served = Served::start(&lambent, &[]);
    let out = run(
        &served,
        r#"
out["settled"] = settled("f", "live")["Status"]
out["live"] = kind("f:live")
out["first"] = invoke("f:live")[1]["count"]
out["deleted"] = c.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="live")["ResponseMetadata"]["HTTPStatusCode"]
out["gone"] = error(c.get_provisioned_concurrency_config, FunctionName="f", Qualifier="live")
"#,
    );
    assert_eq!(out["settled"], "READY");
    assert_eq!(out["live"], json!(["1", "provisioned-concurrency"]));
    assert_eq!(out["first"], 1);
    assert_eq!(out["deleted"], 204);
    assert_eq!(
        out["gone"],
        json!([
            "ProvisionedConcurrencyConfigNotFoundException",
            404,
            "No Provisioned Concurrency Config found for this function"
        ])
    );
    until("nothing is provisioned", || ready(&lambent).is_empty());
    let (status, log) = served.end(Signal::INT);
    assert_eq!(status.code(), Some(0), "{log}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

/// One that dies while it has nothing to do is missed by nobody but the service.
#[test]
fn privileged_provisioned_environments_that_die_are_replaced() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let out = run(
        &served,
        r#"
create("f")
active("f")
c.publish_version(FunctionName="f")
c.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
out["settled"] = settled("f", "1")["Status"]
"#,
    );
    assert_eq!(out["settled"], "READY");
    let before = ready(&lambent);
    leftovers::kill(leftovers::only_init(served.pid()));
    until("it was replaced", || {
        let now = ready(&lambent);
        now.len() == 1 && now != before
    });
    let out = run(&served, "out['kind'] = kind('f:1')");
    assert_eq!(out["kind"], json!(["1", "provisioned-concurrency"]));
    served.end(Signal::INT);
}

#[test]
fn privileged_an_init_that_fails_is_said() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let out = run(
        &served,
        r#"
create("f", ImageConfig={"EntryPoint": ["/nothing/there"]})
active("f")
c.publish_version(FunctionName="f")
c.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1)
out["failed"] = settled("f", "1")
"#,
    );
    assert_eq!(
        out["failed"],
        json!({
            "RequestedProvisionedConcurrentExecutions": 1,
            "AvailableProvisionedConcurrentExecutions": 0,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "Status": "FAILED",
            "StatusReason": "FUNCTION_ERROR_INIT_FAILURE",
        })
    );
    served.end(Signal::INT);
}
