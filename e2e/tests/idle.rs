//! Environments with nothing to do, and how they end.

use std::fs;

use lambent_e2e::client::Client;
use lambent_e2e::extension::{self, COUNTING, RUNTIME, program};
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers;
use lambent_e2e::serve::{Served, environments};
use lambent_e2e::wait::{seconds, until};
use lambent_e2e::{Lambent, privileged};
use serde_json::{Value, json};

/// A service with one function, `f`.
struct One {
    lambent: Lambent,
    served: Served,
    client: Client,
}

impl One {
    fn start(image: &str, arguments: &[&str]) -> Self {
        let lambent = Lambent::new();
        let timeout = seconds(10);
        let ours = [
            image,
            "--name",
            "f",
            "--memory",
            "512",
            "--timeout",
            &timeout,
        ];
        let served = Served::start(&lambent, &[&ours, arguments].concat());
        let client = Client::new(&served.url());
        Self {
            lambent,
            served,
            client,
        }
    }

    /// Invokes the function. What it answers, and whether it failed.
    fn invoke(&self) -> (Value, bool) {
        let event = json!({"action": "counter"});
        let answer = self.client.invoke("f", &event).expect("an answer");
        (answer.payload, answer.failed)
    }

    /// Environments in which something runs.
    fn inits(&self) -> Vec<u32> {
        leftovers::inits(self.served.pid())
    }
}

#[test]
fn privileged_idle_environments_end() {
    if !privileged() {
        return;
    }
    let one = One::start(&Fixture::RustOciArchive.reference(), &["--idle", "1"]);
    assert_eq!(one.invoke().0["count"], 1);
    until("the idle environment ends", || one.inits().is_empty());
    assert_eq!(one.invoke().0["count"], 1);
}

/// Somebody kills what is frozen: process 1 of the container, and with it all the rest.
#[test]
fn privileged_an_environment_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    dies_while_idle(&image, |init| init);
}

/// Or the runtime alone. Process 1 is frozen too, and can tell nobody.
#[test]
fn privileged_a_runtime_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    dies_while_idle(&image, leftovers::only_child);
}

/// Or an extension.
#[test]
fn privileged_an_extension_that_dies_while_idle_is_missed_at_once() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let agent = program("agent", "follow(['INVOKE', 'SHUTDOWN'])");
    let runtime = format!("{RUNTIME}{COUNTING}");
    let image = extension::image(directory.path(), &runtime, &[agent]);
    dies_while_idle(&image, |init| {
        let is_agent = |pid: &u32| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.contains("/opt/extensions/agent"))
        };
        let mut children = leftovers::children(init).into_iter();
        children.find(is_agent).expect("the extension")
    });
}

/// Kills, by the pid of the container's process 1, what is idle after two invocations.
fn dies_while_idle(image: &str, victim: impl Fn(u32) -> u32) {
    let one = One::start(image, &[]);
    let first = one.invoke();
    assert!(!first.1, "{first:?}\n{}", one.served.log());
    assert_ne!(one.invoke(), first, "it is another environment");
    until("it is idle", || {
        let all = environments(&one.lambent);
        all.len() == 1 && all[0]["state"] == "idle"
    });
    let init = leftovers::only_init(one.served.pid());
    leftovers::kill(victim(init));
    if v2_freezes() {
        // Nobody asks for it in between.
        until("the service misses it", || {
            environments(&one.lambent).is_empty()
        });
        until("nothing of it is left", || one.inits().is_empty());
        assert_eq!(one.invoke(), first, "not a new one: {}", one.served.log());
        // The report comes after the answer.
        until("the new one has reported its INIT", || {
            one.served.log().matches("Init Duration").count() == 2
        });
    } else {
        // What v1 has frozen dies when it is thawed: before the next invocation, in it, or
        // after its answer. Soon another process 1 answers.
        until("another one answers", || {
            let (_, failed) = one.invoke();
            let inits = one.inits();
            !failed && !inits.is_empty() && !inits.contains(&init)
        });
    }
}

/// Whether this host has the freezer of cgroup v2: Lambent takes that one if it can.
fn v2_freezes() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("cgroup2"))
}
