//! Waiting for a condition, never for a time.

use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many times as long as usual this machine may take.
const PATIENCE: &str = "LAMBENT_E2E_PATIENCE";

/// `usual`, on a machine of usual speed: longer where `LAMBENT_E2E_PATIENCE` says
/// so, as it does where CPUs are emulated. For what hangs, and for time-outs that
/// are not themselves what is tested.
///
/// # Panics
/// If the variable is not a number.
pub fn patiently(usual: Duration) -> Duration {
    env::var(PATIENCE).map_or(usual, |factor| {
        usual * factor.parse().expect("LAMBENT_E2E_PATIENCE is a number")
    })
}

/// A time-out for functions that `--timeout` takes: see [`patiently`].
pub fn seconds(usual: u64) -> String {
    patiently(Duration::from_secs(usual)).as_secs().to_string()
}

/// Waits until `condition` holds.
///
/// # Panics
/// After 30 seconds (see [`patiently`]), with `what`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patiently(Duration::from_secs(30));
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(5));
    }
}
