//! Whether an environment has run out of memory without the kernel saying so.
//!
//! At its limit a group can still give up cached files: the pages of the program
//! that it runs. They are read again at once, so the kernel sees progress and
//! kills nobody, while the function does nothing but fault; at a fourteenth of a
//! CPU that has lasted minutes. The function needs more memory than it has, and
//! that is what we say.

use std::time::{Duration, Instant};

use crate::sandbox::cgroup::MemoryReading;

/// How long it has to last: a garbage collector that just makes it is done by then.
const LASTING: Duration = Duration::from_secs(1);

/// Cached files that are too few to run from, in bytes. It is also the error of
/// the verdict: a function that lives on the last 1 MiB is told that it has none.
const NOTHING_LEFT: u64 = 1 << 20;

/// The kernel charges in batches, so a full group is some pages below its limit.
const CHARGE_BATCH: u64 = 256 << 10;

/// Faults in that time which are more than a program's own reading.
const FAULTS: u64 = 50;

/// Watches the readings of one runtime.
#[derive(Debug, Default)]
pub(super) struct Thrash {
    since: Option<(Instant, u64)>,
}

impl Thrash {
    /// Whether the group has been starving for [`LASTING`], with this reading.
    pub(super) fn observe(&mut self, now: Instant, limit: u64, reading: &MemoryReading) -> bool {
        let starving = reading.charged + CHARGE_BATCH >= limit && reading.cached <= NOTHING_LEFT;
        if !starving {
            self.since = None;
            return false;
        }
        let (since, faults) = *self.since.get_or_insert((now, reading.major_faults));
        now.duration_since(since) >= LASTING && reading.major_faults - faults >= FAULTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 128 << 20;

    /// Feeds a reading every 20 ms; returns when the verdict came, in ms.
    fn verdict(reading: impl Fn(u64) -> MemoryReading) -> Option<u64> {
        let start = Instant::now();
        let mut thrash = Thrash::default();
        (0..3_000)
            .step_by(20)
            .find(|ms| thrash.observe(start + Duration::from_millis(*ms), LIMIT, &reading(*ms)))
    }

    fn full(cached: u64, major_faults: u64) -> MemoryReading {
        MemoryReading {
            charged: LIMIT - 8_192,
            anonymous: LIMIT - 8_192 - cached,
            cached,
            major_faults,
            ..MemoryReading::default()
        }
    }

    #[test]
    fn faulting_at_the_limit_for_a_second_is_out_of_memory() {
        assert_eq!(verdict(|ms| full(131_072, ms)), Some(1_000));
        // Faults from before do not count.
        assert_eq!(verdict(|ms| full(131_072, 1_000_000 + ms)), Some(1_000));
    }

    #[test]
    fn what_lives_at_the_limit_is_left_alone() {
        // Full, but nothing is read again: it has what it needs.
        assert_eq!(verdict(|_| full(131_072, 10_000)), None);
        // Files fill the limit, as after writing /tmp.
        assert_eq!(verdict(|ms| full(60 << 20, ms)), None);
        // Below the limit.
        let below = |ms| MemoryReading {
            charged: LIMIT / 2,
            ..full(0, ms)
        };
        assert_eq!(verdict(below), None);
        // A collector makes room now and then.
        let collected = |ms: u64| full(if ms.is_multiple_of(800) { 8 << 20 } else { 0 }, ms);
        assert_eq!(verdict(collected), None);
    }
}
