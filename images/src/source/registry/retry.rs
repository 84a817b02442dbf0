//! How often something is tried, after how long, and how slow is too slow.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Response;

use super::Settings;

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Longest pause that a server may ask for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The pause after so many failures: doubles, and is shortened by a random part
/// of up to a half, so that clients that failed together do not return together.
pub(super) fn pause(settings: &Settings, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = settings.pause.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let random = RandomState::new().build_hasher().finish() % 512;
    let share = 1024 - u32::try_from(random).unwrap_or_default();
    full * share / 1024
}

/// Why a body could not be read on.
#[derive(Debug)]
pub(super) enum BodyError {
    /// Too little came for too long.
    Stalled,
    /// The connection failed.
    Broken(reqwest::Error),
}

/// Watches that a body keeps coming.
///
/// Only the time that is spent waiting counts: whoever reads may be slow.
#[derive(Debug)]
pub(super) struct Pace {
    limit: Duration,
    progress: usize,
    waited: Duration,
    received: usize,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            limit: settings.stall,
            progress: settings.progress,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// The next part of a body; `None` at its end.
    pub(super) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, BodyError> {
        let begin = Instant::now();
        let left = self.limit.saturating_sub(self.waited);
        let chunk = match tokio::time::timeout(left, response.chunk()).await {
            Err(_) => return Err(BodyError::Stalled),
            Ok(Err(error)) => return Err(BodyError::Broken(error)),
            Ok(Ok(chunk)) => chunk,
        };
        self.waited += begin.elapsed();
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        if self.received >= self.progress {
            self.received = 0;
            self.waited = Duration::ZERO;
        }
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_bounds() {
        let settings = Settings::default();
        for failures in 1..100 {
            let full = settings.pause * 2_u32.pow((failures - 1).min(10));
            let full = full.min(PAUSE_MAX);
            let chosen = pause(&settings, failures);
            assert!(
                chosen <= full && chosen >= full / 2,
                "{failures}: {chosen:?}"
            );
        }
    }
}
