//! The host's clock jumps, as time services and people make it, and as it does for all
//! who were suspended with their host: the monotonic clock, which counts for time-outs
//! and idle environments, does not go on then. In a virtual machine only (`make test-v2`),
//! whose clock is nobody's.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambent_e2e::client::Client;
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::serve::{Served, environments};
use lambent_e2e::{Lambent, leftovers, privileged, script, wait};
use serde_json::json;

/// The clock, set right again when it is dropped.
struct Clock {
    right: Duration,
    since: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            right: SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
            since: Instant::now(),
        }
    }

    /// Lets it be wrong by so many seconds.
    fn jump(&self, seconds: i64) {
        let now = self.right + self.since.elapsed();
        let wrong = now.as_secs().checked_add_signed(seconds).unwrap();
        let mut date = Command::new("date");
        let status = date.args(["-s", &format!("@{wrong}")]).status().unwrap();
        assert!(status.success(), "{date:?}");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.jump(0);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn is_ours() -> bool {
    let ours = std::env::var_os("LAMBENT_TEST_CLOCK").is_some();
    if !ours {
        eprintln!("skipped: LAMBENT_TEST_CLOCK does not say that the clock is ours");
    }
    ours
}

/// A function whose INIT takes a moment, and which says how much time it has.
const LATE: &str = "time.sleep(2)\ndef handle(n): return deadline_ms - time.time() * 1000";

#[test]
fn privileged_a_clock_that_jumps_in_init_ends_nothing_and_deadlines_follow_it() {
    if !privileged() || !is_ours() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let client = Client::new(&served.url());
    let clock = Clock::new();
    let timeout_s = 30;
    for (name, seconds) in [("day", 86_400), ("hour", -3_600)] {
        let mut settings = script::serving_config(LATE);
        settings["MemorySize"] = json!(512);
        settings["Timeout"] = json!(timeout_s);
        client
            .create(name, &Fixture::PythonOciArchive, settings)
            .unwrap();
        let answer = thread::scope(|scope| {
            let running = scope.spawn(|| client.invoke(name, &json!({})).unwrap());
            wait::until("INIT runs", || !leftovers::inits(served.pid()).is_empty());
            clock.jump(seconds);
            running.join().unwrap()
        });
        let init = leftovers::only_init(served.pid());
        clock.jump(0);
        let later = client.invoke(name, &json!({})).unwrap();
        for answer in [answer, later] {
            // By the clock that the function sees.
            let left_ms = answer.payload.as_f64().unwrap();
            let most = f64::from(timeout_s) * 1_000.0;
            assert!((0.0..=most).contains(&left_ms), "{seconds}: {answer:?}");
        }
        assert_eq!(leftovers::only_init(served.pid()), init, "{seconds}");
        client.delete(name).unwrap();
        wait::until("it is gone", || leftovers::inits(served.pid()).is_empty());
    }
}

#[test]
fn privileged_a_clock_that_jumps_ends_nothing_and_nothing_goes_on_for_ever() {
    if !privileged() || !is_ours() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let served = Served::start(
        &lambent,
        &[&image, "--name", "f", "--timeout", "8", "--idle", "60"],
    );
    let client = Client::new(&served.url());
    let counted = || client.invoke("f", &json!({"action": "counter"})).unwrap();
    let before = counted();
    let one = environments(&lambent);
    let clock = Clock::new();
    for seconds in [86_400, -3_600, 0] {
        // While one runs, and while the environment is frozen.
        let sleeping = json!({"action": "sleep", "ms": 2_000});
        let running = thread::scope(|scope| {
            let running = scope.spawn(|| client.invoke("f", &sleeping).unwrap());
            wait::until("it runs", || environments(&lambent)[0]["state"] == "busy");
            clock.jump(seconds);
            running.join().unwrap()
        });
        assert!(!running.failed, "{seconds}: {running:?}");
        clock.jump(-seconds);
        let after = counted();
        assert!(!after.failed, "{seconds}: {after:?}");
        assert_ne!(after.request_id, before.request_id);
    }
    // Still the first: nobody thought that it had been idle for a day.
    let still = environments(&lambent);
    assert_eq!(one[0]["id"], still[0]["id"], "{one:?} {still:?}");

    let begun = Instant::now();
    let endless = json!({"action": "sleep", "ms": 600_000});
    let running = thread::scope(|scope| {
        let running = scope.spawn(|| client.invoke("f", &endless).unwrap());
        sleep(Duration::from_secs(2));
        clock.jump(-86_400);
        running.join().unwrap()
    });
    assert_eq!(running.payload["errorType"], "Sandbox.Timedout");
    assert!(begun.elapsed() >= Duration::from_secs(8));
}
