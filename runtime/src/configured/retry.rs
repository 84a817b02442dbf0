//! When to try again what could not be served: a registry that did not answer, a full
//! disk. Nothing need change for it to work the next time.

use std::time::Duration;

/// Before the first try.
const FIRST: Duration = Duration::from_secs(2);

/// The longest pause, unless a try takes long.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest part of the time that trying may take, as one of so many: an archive of
/// gigabytes that is none is read again and again.
const SHARE: u32 = 10;

/// What was tried of one state of things.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    failures: u32,
    /// What the last one took.
    cost: Duration,
}

impl Retry {
    /// It could not be served, after so long. Whether that is news.
    pub(super) fn failed(&mut self, cost: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.cost = cost;
        self.failures == 1
    }

    /// It is served.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How long to wait before the next try; `None` if nothing has failed.
    pub(super) fn pause(&self) -> Option<Duration> {
        let doublings = self.failures.checked_sub(1)?;
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(doublings));
        Some(pause.min(LONGEST).max(self.cost.saturating_mul(SHARE)))
    }
}

/// What to say of it, once.
pub(super) fn stays(error: &str) -> String {
    format!("what was served before stays, and this is tried again: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_failures_are_said_once() {
        let mut retry = Retry::default();
        assert_eq!(retry.pause(), None);
        let short = Duration::from_millis(1);
        let mut pauses = vec![];
        for number in 1..=8 {
            assert_eq!(retry.failed(short), number == 1);
            pauses.push(retry.pause().unwrap().as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        // What takes long is tried less often.
        assert!(!retry.failed(Duration::from_secs(30)));
        assert_eq!(retry.pause(), Some(Duration::from_secs(300)));
        for _ in 0..100 {
            retry.failed(short);
        }
        assert_eq!(retry.pause(), Some(LONGEST));
        retry.succeeded();
        assert_eq!(retry.pause(), None);
        assert!(retry.failed(short));
    }
}
