//! `kill -9` at any moment leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Read;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::{Lambent, privileged, wait};
use rustix::process::{Pid, Signal};
use serde_json::json;

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    // It may be gone already.
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

fn start(lambent: &Lambent) -> Child {
    lambent.start_invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "sleep", "ms": 20_000}),
        &["--timeout", &wait::seconds(30)],
    )
}

/// Starts an invocation and waits until its function has the event: a runtime that
/// ends before that is initialised once more. With the names of the services.
fn start_running(lambent: &Lambent) -> (Child, Vec<String>) {
    let mut child = start(lambent);
    let log = child.stderr.as_mut().unwrap();
    let mut seen = vec![];
    while !seen.starts_with(b"START ") {
        // By single bytes: what follows stays in the pipe.
        let mut byte = [0];
        log.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
        if byte == *b"\n" {
            seen.clear();
        }
    }
    wait::until("the function runs", || running_function(&child).is_some());
    (child, leftovers::services(lambent.root()))
}

/// Waits until nothing is left of the installation, then checks that the next
/// run works.
fn settle(lambent: &Lambent, services: &[String], what: &str) {
    wait::until(what, || Leftovers::of(lambent.root(), services).is_empty());
    check_next_run(lambent, services);
}

/// The next run works, and after it nothing is left of it or of those before.
fn check_next_run(lambent: &Lambent, services: &[String]) {
    let run = lambent.invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "counter"}),
        // It may come in the middle of what the kernel still does about the dead.
        &["--timeout", &wait::seconds(10)],
    );
    assert_eq!(run.payload()["count"], 1);
    assert_eq!(leftovers::services(lambent.root()), Vec::<String>::new());
    let after = Leftovers::of(lambent.root(), services);
    assert!(after.is_empty(), "{after:?}");
}

#[test]
fn privileged_killing_lambent_at_any_moment_leaves_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    // From before the launcher exists until well into the invocation; in the
    // first rounds the image is not in the store.
    for delay_ms in (0..40).chain((40..200).step_by(8)) {
        let mut child = start(&lambent);
        sleep(Duration::from_millis(delay_ms));
        let services = leftovers::services(lambent.root());
        let launchers = leftovers::children(child.id());
        kill(child.id());
        child.wait().unwrap();
        let what = format!("nothing is left of a lambent killed after {delay_ms} ms");
        wait::until(&what, || {
            Leftovers::of(lambent.root(), &services).is_empty()
                && !launchers.iter().any(|pid| leftovers::alive(*pid))
        });
    }
    let services = leftovers::services(lambent.root());
    settle(&lambent, &services, "nothing is left after all rounds");
}

#[test]
fn privileged_killing_launcher_and_function_ends_the_command() {
    if !privileged() {
        return;
    }
    for victim in ["launcher", "function"] {
        let lambent = Lambent::new();
        let (mut child, services) = start_running(&lambent);
        let function = running_function(&child);
        let launcher = leftovers::children(child.id())[0];
        kill(if victim == "launcher" {
            launcher
        } else {
            function.unwrap()
        });
        let status = child.wait().unwrap();
        // A killed function is Lambda's Runtime.ExitError; without a launcher
        // this host cannot go on.
        let expected = if victim == "launcher" { 4 } else { 1 };
        assert_eq!(status.code(), Some(expected), "killed the {victim}");
        settle(
            &lambent,
            &services,
            &format!("nothing is left after killing the {victim}"),
        );
    }
}

#[test]
fn privileged_killing_both_at_once_is_mended_by_the_next_start() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (mut child, services) = start_running(&lambent);
    let launcher = leftovers::children(child.id())[0];
    let function = running_function(&child).unwrap();
    kill(child.id());
    kill(launcher);
    child.wait().unwrap();
    wait::until("the function is gone with its launcher", || {
        !leftovers::alive(function)
    });
    // Cgroups may remain until the next start.
    check_next_run(&lambent, &services);
}

#[test]
fn privileged_ctrl_c_ends_everything_at_once() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let (mut child, services) = start_running(&lambent);
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Not "soon": the command returns when nothing is left.
    let after = Leftovers::of(lambent.root(), &services);
    assert!(after.is_empty(), "{after:?}");
}

/// The function's runtime: the launcher's child is the container's init, and a
/// child of that becomes the entry point.
fn running_function(lambent: &Child) -> Option<u32> {
    leftovers::children(lambent.id())
        .into_iter()
        .flat_map(leftovers::children)
        .flat_map(leftovers::children)
        .find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|command| command.starts_with("/var/task/bootstrap"))
        })
}
