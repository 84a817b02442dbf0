//! Sandboxes that stand by for cold starts.

use std::fs;

use lambent_e2e::client::Client;
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::Served;
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, privileged};
use rustix::process::Signal;
use serde_json::json;

/// Picks processes.
type Victims = fn(&Served) -> Vec<u32>;

fn serve(lambent: &Lambent) -> Served {
    let image = Fixture::RustOciArchive.reference();
    Served::start(lambent, &[&image, "--name", "f", "--memory", "512"])
}

/// What the launcher has besides environments in which something runs: the process 1
/// that waits, and the worker that holds it.
fn standing_by(served: &Served) -> Vec<u32> {
    let launcher = leftovers::only_child(served.pid());
    let mut children = leftovers::children(launcher);
    let inits = leftovers::inits(served.pid());
    children.retain(|pid| !inits.contains(pid) && leftovers::alive(*pid));
    children
}

/// The process 1, which has gone to sleep in a root of its own.
fn waiting_init(served: &Served) -> Option<u32> {
    let ours = fs::read_link("/proc/self/ns/pid").expect("a namespace");
    standing_by(served).into_iter().find(|pid| {
        let namespace = fs::read_link(format!("/proc/{pid}/ns/pid"));
        namespace.is_ok_and(|namespace| namespace != ours)
    })
}

fn invoke(served: &Served) -> i64 {
    let event = json!({"action": "counter"});
    let answer = Client::new(&served.url()).invoke("f", &event);
    let answer = answer.expect("an answer");
    assert!(!answer.failed, "{}\n{}", answer.payload, served.log());
    answer.payload["count"].as_i64().expect("a count")
}

#[test]
fn privileged_a_cold_start_takes_what_stands_by_and_another_one_follows() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent);
    until("a sandbox stands by", || waiting_init(&served).is_some());
    let first = waiting_init(&served).expect("it waits");
    assert_eq!(invoke(&served), 1);
    assert_eq!(leftovers::only_init(served.pid()), first);
    until("the next one stands by", || waiting_init(&served).is_some());
    assert_ne!(waiting_init(&served), Some(first));
    // A warm invocation has no use for it.
    assert_eq!(invoke(&served), 2);

    let services = leftovers::services(lambent.root());
    served.end(Signal::INT);
    let left = Leftovers::of(lambent.root(), &services);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_a_start_works_whatever_was_killed_that_stood_by() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let kinds: [Victims; 3] = [
        |served| waiting_init(served).into_iter().collect(),
        |served| {
            let init = waiting_init(served);
            let mut all = standing_by(served);
            all.retain(|pid| Some(*pid) != init);
            all
        },
        standing_by,
    ];
    for victims in kinds {
        let served = serve(&lambent);
        until("a sandbox stands by", || waiting_init(&served).is_some());
        let victims = victims(&served);
        assert!(!victims.is_empty());
        for pid in victims {
            leftovers::kill(pid);
        }
        assert_eq!(invoke(&served), 1, "{}", served.log());
        let services = leftovers::services(lambent.root());
        served.end(Signal::INT);
        let left = Leftovers::of(lambent.root(), &services);
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The launcher is killed while the next sandbox is being made.
#[test]
fn privileged_a_service_notices_the_end_of_its_launcher_at_any_moment() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    for _ in 0..5 {
        let served = serve(&lambent);
        assert_eq!(invoke(&served), 1);
        let services = leftovers::services(lambent.root());
        leftovers::kill(leftovers::only_child(served.pid()));
        until("the service ends", || !leftovers::alive(served.pid()));
        let (status, log) = served.end(Signal::INT);
        assert_eq!(status.code(), Some(4), "{log}");
        // A worker dies with the launcher, and the kernel unmounts what was its own then.
        until("nothing is left", || {
            Leftovers::of(lambent.root(), &services).is_empty()
        });
    }
}
