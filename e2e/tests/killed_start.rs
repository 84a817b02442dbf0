//! Somebody kills a process that is making a sandbox: a person, or the kernel for want
//! of memory. The invocation that waits for it is answered as if nothing had been.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, Run, privileged};
use rustix::process::{Pid, Signal};
use serde_json::json;

/// As libcontainer and Lambent call the processes on the way to a container.
const INTERMEDIATE: &str = "youki:[1:INTER]";
const FIRST: &str = "youki:[2:INIT]";

/// Who is killed, among the children of a launcher and their names.
type Victim = fn(&[(u32, String)]) -> Option<u32>;

/// The process that libcontainer makes on the way, which holds nothing that others wait
/// for, but does what they wait for.
fn intermediate(children: &[(u32, String)]) -> Option<u32> {
    named(children, |name| name == INTERMEDIATE)
}

/// The container's first process, before it is ours.
fn first(children: &[(u32, String)]) -> Option<u32> {
    named(children, |name| name == FIRST)
}

/// The worker, once it has made one of the others: they hold its sockets open.
fn worker(children: &[(u32, String)]) -> Option<u32> {
    intermediate(children).or_else(|| first(children))?;
    named(children, |name| {
        name != INTERMEDIATE && name != FIRST && name != "init"
    })
}

fn named(children: &[(u32, String)], wanted: impl Fn(&str) -> bool) -> Option<u32> {
    let child = children.iter().find(|(_, name)| wanted(name));
    child.map(|(pid, _)| *pid)
}

fn children(launcher: u32) -> Vec<(u32, String)> {
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let children = leftovers::children(launcher).into_iter();
    children
        .filter_map(|pid| Some((pid, name(pid)?.trim_end().to_owned())))
        .collect()
}

/// An invocation of which one process is killed as soon as it is there. Whether one was.
fn invoke(lambent: &Lambent, victim: Victim) -> (bool, Run) {
    let mut child = lambent.start_invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "counter"}),
        &["--timeout", "60"],
    );
    let mut killed = false;
    while !killed && child.try_wait().unwrap().is_none() {
        for launcher in leftovers::children(child.id()) {
            if let Some(pid) = victim(&children(launcher)) {
                let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
                // It may have ended by itself.
                killed = rustix::process::kill_process(pid, Signal::KILL).is_ok();
            }
        }
    }
    (killed, child.wait_with_output().unwrap().into())
}

#[test]
fn privileged_a_start_is_made_again_whoever_of_it_is_killed() {
    if !privileged() {
        return;
    }
    let victims: [(&str, Victim); 3] = [
        ("worker", worker),
        ("intermediate", intermediate),
        ("first process", first),
    ];
    let lambent = Lambent::new();
    for (name, victim) in victims {
        let (mut kills, mut answers) = (0, 0);
        // Some die too late to be missed, with the runtime already there.
        for _ in 0..12 {
            let (killed, run) = invoke(&lambent, victim);
            kills += u32::from(killed);
            answers += u32::from(run.status == 0);
            // A start that nobody goes on with ends with INIT's time, and INIT_REPORT says so.
            assert!(!run.stderr.contains("Status: timeout"), "{name}: {run:?}");
            if run.status != 0 {
                let result = run.result();
                let kind = &result["payload"]["errorType"];
                assert_eq!(kind, "Runtime.ExitError", "{name}: {run:?}");
            }
            let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
            assert!(left.is_empty(), "{name}: {left:?}");
        }
        assert!(kills > 0, "no {name} was ever there");
        assert!(answers > 0, "{kills} times without a {name}, and no answer");
    }
}
