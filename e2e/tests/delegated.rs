//! An ordinary user whose own cgroup is delegated, as by
//! `systemd-run --user --scope -p Delegate=yes`: limits are those of root.

use lambent_e2e::client::Client;
use lambent_e2e::delegated::{Delegated, unified};
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::ordinary::{self, Ids};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, Run, privileged, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The kernel's number for too many processes.
const EAGAIN: i32 = 11;

/// What a command leaves in its scope, which goes with it.
const LEFT: [&str; 2] = ["lambent", "lambent.self"];

/// A delegated group, and an installation whose commands run in it. The machine of
/// `make test-v2` has no `newuidmap`: the user has one id.
fn user() -> Option<(Delegated, Lambent)> {
    if !privileged() || !unified() {
        return None;
    }
    let group = Delegated::new();
    let lambent = Lambent::of_ordinary_user_within(Ids::Single, group.path());
    Some((group, lambent))
}

#[track_caller]
fn assert_nothing_left(group: &Delegated) {
    wait::until("nothing of the user runs", || {
        ordinary::processes().is_empty()
    });
    let mut groups = group.groups();
    groups.retain(|group| !LEFT.contains(&group.as_str()));
    assert_eq!(groups, Vec::<String>::new());
}

#[test]
fn privileged_a_delegated_group_is_all_that_limits_need() {
    let Some((group, lambent)) = user() else {
        return;
    };
    let run = lambent.run(["doctor", "--output", "json"]);
    assert_eq!(run.status, 0, "{run:?}");
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    for id in [
        "cgroups",
        "memory-limit",
        "swap",
        "cpu-limit",
        "process-limit",
        "freezer",
    ] {
        let finding = findings.iter().find(|finding| finding["id"] == id);
        assert_eq!(finding.unwrap()["status"], "enforced", "{document:#}");
    }
    assert_nothing_left(&group);
}

/// An invocation in a scope of its own, as each command of `systemd-run` has one: none
/// can enter a group that has passed its controllers on. `None` on other hosts.
fn invoke(event: &Value, arguments: &[&str]) -> Option<Run> {
    let (group, lambent) = user()?;
    let image = lambent.reference(Fixture::RustOciArchive);
    let run = lambent.invoke(&image, event, arguments);
    assert_nothing_left(&group);
    Some(run)
}

#[test]
fn privileged_processes_are_limited_in_a_delegated_group() {
    // With a whole CPU, or an emulated one takes minutes.
    let arguments = ["--timeout", &wait::seconds(60), "--memory", "1769"];
    let event = json!({"action": "fork", "count": 2000});
    let Some(run) = invoke(&event, &arguments) else {
        return;
    };
    let done = run.payload();
    let started = done["started"].as_u64().unwrap();
    assert!((900..1024).contains(&started), "{done:#}");
    assert_eq!(done["errno"], EAGAIN, "{done:#}");
}

#[test]
fn privileged_cpu_time_is_limited_in_a_delegated_group_and_tmp_is_no_memory() {
    let arguments = ["--timeout", &wait::seconds(60)];
    let event = json!({"action": "sequence", "events": [
        {"action": "burn", "cpuMs": 100},
        {"action": "fillTmp", "mb": 40},
        {"action": "allocate", "mb": 100},
    ]});
    let Some(run) = invoke(&event, &arguments) else {
        return;
    };
    assert_eq!(run.status, 0, "{run:?}");
    let result = run.result();
    let done = &result["payload"];
    assert_eq!(done[1]["writtenBytes"], 40_u64 << 20, "{done:#}");
    assert_eq!(done[2]["allocatedBytes"], 100_u64 << 20, "{done:#}");
    let throttled = result["report"]["cpuThrottledMs"].as_f64().unwrap();
    assert!(throttled > 500.0, "{result}");
    let warnings = result["warnings"].to_string();
    for unsaid in [
        "may use more memory than it has",
        "has whole CPUs",
        "RLIMIT",
        "frozen",
    ] {
        assert!(!warnings.contains(unsaid), "{unsaid}: {warnings}");
    }
}

/// Files of `/tmp` do not make room for memory: the kernel kills beyond both, and
/// Lambent beyond the function's own.
#[test]
fn privileged_memory_is_limited_in_a_delegated_group() {
    let arguments = ["--timeout", &wait::seconds(60)];
    for mb in [160, 900] {
        let event = json!({"action": "allocate", "mb": mb, "keep": true});
        let event =
            json!({"action": "sequence", "events": [event, {"action": "sleep", "ms": 500}]});
        let Some(run) = invoke(&event, &arguments) else {
            return;
        };
        assert_eq!(run.status, 1, "{mb}: {run:?}");
        let result = run.result();
        assert_eq!(
            result["payload"]["errorType"], "Runtime.OutOfMemory",
            "{mb}: {result}"
        );
        assert_eq!(result["report"]["maxMemoryUsedMb"], 128, "{mb}: {result}");
    }
}

#[test]
fn privileged_a_delegated_group_is_frozen_between_invocations() {
    let Some((group, lambent)) = user() else {
        return;
    };
    let image = lambent.reference(Fixture::RustOciArchive);
    let served = Served::start(&lambent, &[&image, "--name", "f", "--memory", "512"]);
    let client = Client::new(&served.url());
    for count in 1..=2 {
        let answer = client.invoke("f", &json!({"action": "counter"})).unwrap();
        assert_eq!(answer.payload["count"], count, "{answer:?}");
        wait::until("it is frozen", || {
            group.groups().iter().any(|name| {
                let file = group.path().join(name).join("cgroup.events");
                let frozen = std::fs::read_to_string(file).unwrap_or_default();
                frozen.contains("frozen 1")
            })
        });
    }
    let (status, log) = served.end(Signal::TERM);
    assert_eq!(status.code(), Some(0), "{log}");
    assert_nothing_left(&group);
}
