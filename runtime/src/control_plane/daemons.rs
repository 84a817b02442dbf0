//! What Docker or Podman on this machine has for names of images. Whoever follows one
//! asks often; the daemon is asked now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(2);

/// Names that somebody follows, with what was last answered.
#[derive(Debug, Default)]
pub(super) struct Daemons {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    asked: Instant,
    /// Of a daemon that does not answer now, what it said before.
    id: Option<String>,
}

impl Daemons {
    /// The ID of the image that has this name, as `ask` has said it at `now` or a moment
    /// ago; `None` if nobody has ever said it.
    pub(super) fn id(
        &self,
        name: &str,
        now: Instant,
        ask: impl FnOnce(&str) -> Option<String>,
    ) -> Option<String> {
        // Held while it is asked: who looks meanwhile gets the same answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(name);
        if let Some(known) = before
            && now.saturating_duration_since(known.asked) < FRESH
        {
            return known.id.clone();
        }
        let id = ask(name).or_else(|| before?.id.clone());
        let answered = Known {
            asked: now,
            id: id.clone(),
        };
        known.insert(name.to_owned(), answered);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_for_a_while_and_silence_forgets_nothing() {
        let daemons = Daemons::default();
        let begun = Instant::now();
        for (ms, answer, expected) in [
            (0, None, None),
            (1, Some("a"), None),
            (2_000, Some("a"), Some("a")),
            (3_999, Some("b"), Some("a")),
            (4_000, Some("b"), Some("b")),
            (6_000, None, Some("b")),
            (8_000, Some("c"), Some("c")),
        ] {
            let now = begun + Duration::from_millis(ms);
            let id = daemons.id("f", now, |_| answer.map(str::to_owned));
            assert_eq!(id.as_deref(), expected, "{ms}");
        }
        let other = daemons.id("g", begun, |name| Some(name.to_owned()));
        assert_eq!(other.as_deref(), Some("g"));
    }
}
