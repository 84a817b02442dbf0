//! Functions of a service that misbehave: the service stays small, answers whoever else
//! asks, and has in the end what it had.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::thread::{self, sleep};
use std::time::Duration;

use lambent_e2e::client::{Answer, Client};
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::resources::{self, Resources};
use lambent_e2e::serve::{self, Served};
use lambent_e2e::{Lambent, privileged, script, wait};
use rustix::process::Signal;
use serde_json::json;

/// How much more memory a service may have had, whatever a function sends.
const GROWTH_KB: usize = 64 << 10;

/// A function that posts a gibibyte, in chunks and announced, and one that writes to its
/// log for five seconds without a pause.
const FLOODS: [(&str, &str); 3] = [
    (
        "chunks",
        "def handle(n): post((b'x' * (1 << 20) for _ in range(1024)), {})",
    ),
    (
        "announced",
        "def handle(n): post((b'x' * (1 << 20) for _ in range(1024)), {'Content-Length': str(1 << 30)})",
    ),
    (
        "log",
        "def handle(n):\n  end = time.monotonic() + 5\n  while time.monotonic() < end: os.write(1, b'x' * 65535 + b'\\n')",
    ),
];

/// What is refused before it is through breaks the connection.
const POST: &str = r#"
def post(body, headers):
    c = http.client.HTTPConnection("127.0.0.1", 9001)
    try:
        c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", body, headers)
        c.getresponse().read()
    except OSError:
        pass
"#;

/// Invokes a function, and asks the service for its health until that is through.
fn invoke_beside_others(served: &Served, name: &str) -> Answer {
    let health = format!("{}/health", served.url());
    thread::scope(|scope| {
        let invocation =
            scope.spawn(|| Client::new(&served.url()).invoke(name, &json!({})).unwrap());
        let mut looks = 0;
        while !invocation.is_finished() {
            assert_eq!(ureq::get(&health).call().unwrap().status(), 200, "{name}");
            looks += 1;
            sleep(Duration::from_millis(20));
        }
        assert!(looks > 0, "{name}");
        invocation.join().unwrap()
    })
}

#[test]
fn privileged_a_service_keeps_nothing_of_a_flood() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let services = leftovers::services(lambent.root());
    let client = Client::new(&served.url());
    for (name, code) in FLOODS {
        let mut settings = script::serving_config(&format!("{POST}{code}"));
        settings["MemorySize"] = json!(1769);
        settings["Timeout"] = json!(60);
        client
            .create(name, &Fixture::PythonOciArchive, settings)
            .unwrap();
    }
    let before = resources::peak_kb(served.pid());
    for (name, _) in FLOODS {
        // Twice: the environment, or another one, goes on.
        for _ in 0..2 {
            let answer = invoke_beside_others(&served, name);
            let payload = &answer.payload;
            if name == "log" {
                assert_eq!(payload, "done", "{name}");
            } else {
                assert_eq!(
                    payload["errorType"], "Function.ResponseSizeTooLarge",
                    "{name}: {payload}"
                );
            }
        }
        let grown = resources::peak_kb(served.pid()) - before;
        assert!(grown < GROWTH_KB, "{name}: {grown} KiB");
    }
    served.end(Signal::TERM);
    let left = Leftovers::of(lambent.root(), &services);
    assert!(left.is_empty(), "{left:?}");
}

/// Time-outs at a time, and how often.
const PARALLEL: usize = 20;
const ROUNDS: usize = 10;

#[test]
fn privileged_time_outs_leave_nothing_and_others_alone() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let services = leftovers::services(lambent.root());
    let client = Client::new(&served.url());
    for (name, timeout) in [("hangs", 1), ("counts", 60)] {
        let settings = json!({"MemorySize": 256, "Timeout": timeout});
        client
            .create(name, &Fixture::RustOciArchive, settings)
            .unwrap();
    }
    let mut counted = 0;
    let mut count = || {
        let answer = client
            .invoke("counts", &json!({"action": "counter"}))
            .unwrap();
        counted += 1;
        // One and the same environment, all the time.
        assert_eq!(answer.payload["count"], counted, "{}", answer.payload);
    };
    count();
    let mut settled: Vec<(usize, Resources)> = vec![];
    for _ in 0..ROUNDS {
        let clients: Vec<_> = (0..PARALLEL)
            .map(|_| {
                let url = served.url();
                let event = json!({"action": "sleep", "ms": 60_000});
                thread::spawn(move || Client::new(&url).invoke("hangs", &event).unwrap())
            })
            .collect();
        while !clients.iter().all(thread::JoinHandle::is_finished) {
            count();
            sleep(Duration::from_millis(20));
        }
        for client in clients {
            let payload = client.join().unwrap().payload;
            assert_eq!(payload["errorType"], "Sandbox.Timedout", "{payload}");
        }
        settled.push((environments(&lambent), Resources::of(served.pid())));
    }
    // What there is after ten rounds is what there is after one, but for what is closed
    // or made ready in the background.
    let first = settled[0];
    wait::until("all is as after the first round", || {
        let descriptors = Resources::of(served.pid()).descriptors;
        environments(&lambent) <= first.0 && descriptors <= first.1.descriptors + PARALLEL
    });
    count();
    served.end(Signal::TERM);
    let left = Leftovers::of(lambent.root(), &services);
    assert!(left.is_empty(), "{left:?}");
}

fn environments(lambent: &Lambent) -> usize {
    serve::environments(lambent).len()
}
