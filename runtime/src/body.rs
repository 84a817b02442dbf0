//! Bodies of requests: read up to a limit, and to their end all the same.
//!
//! Clients send the whole body before they look for an answer: answered earlier, the
//! connection would be closed under them, and they would never learn why. So whoever
//! serves a connection calls [`discard`] before it sends the answer, whatever that is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::Instant;

/// As much of a refused body is read as somebody may plausibly have meant.
const MAX_DISCARDED_BYTES: u64 = 64 << 20;

/// As long may a client take for any body: it holds a connection, of which there is a
/// limited number.
const PATIENCE: Duration = Duration::from_secs(30);

/// Each so many bytes of a body earn its client another second.
const BYTES_A_SECOND: u64 = 1_024;

/// What a chunk of fewer bytes than this costs us is not its bytes.
const SMALL: usize = 512;

/// As many small chunks are taken as they come, in each [`TURN`].
const SMALL_A_TURN: u32 = 32;

/// How long reading rests when there were more.
const TURN: Duration = Duration::from_millis(1);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// Its client dawdles.
    #[error(
        "the body came too slowly: in {} seconds, or more for a long one, {BYTES_A_SECOND} bytes a \
         second are expected",
        PATIENCE.as_secs()
    )]
    Stalled,
    /// The connection broke, or the client does not keep to the protocol.
    #[error("{0}")]
    Broken(hyper::Error),
}

/// The whole body, if it has at most `limit` bytes.
///
/// # Errors
/// It is longer, or does not end.
pub(crate) async fn read(body: &mut Incoming, limit: usize) -> Result<Bytes, BodyError> {
    // An announced length is refused before a byte of it is kept.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut bytes = BytesMut::new();
    let mut pace = Pace::new();
    while let Some(frame) = pace.next(body).await? {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if data.len() > limit - bytes.len() {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.freeze())
}

/// Reads what is left of a body because nobody wanted it, up to a size.
pub(crate) async fn discard(body: &mut Incoming) {
    let mut pace = Pace::new();
    while !body.is_end_stream()
        && pace.received < MAX_DISCARDED_BYTES
        && let Ok(Some(_)) = pace.next(body).await
    {}
}

/// Rests from a body that comes in small chunks without a pause: the thread that reads it
/// has others to answer. Its sender waits meanwhile.
#[derive(Debug)]
pub(crate) struct Turns {
    begun: Instant,
    small: u32,
}

impl Turns {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            small: 0,
        }
    }

    /// Counts a chunk. True if the turn is over.
    fn is_over(&mut self, now: Instant, bytes: usize) -> bool {
        if bytes >= SMALL {
            return false;
        }
        if now.saturating_duration_since(self.begun) >= TURN {
            *self = Self::new(now);
        }
        self.small += 1;
        self.small == SMALL_A_TURN
    }

    /// Counts a chunk, and rests if the turn is over.
    pub(crate) async fn rest(&mut self, bytes: usize) {
        if self.is_over(Instant::now(), bytes) {
            tokio::time::sleep(TURN).await;
        }
    }
}

/// How fast a body comes.
struct Pace {
    begun: Instant,
    received: u64,
    turns: Turns,
}

impl Pace {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            received: 0,
            turns: Turns::new(now),
        }
    }

    async fn next(&mut self, body: &mut Incoming) -> Result<Option<Frame<Bytes>>, BodyError> {
        let earned = Duration::from_secs(self.received / BYTES_A_SECOND);
        let frame = tokio::time::timeout_at(self.begun + PATIENCE + earned, body.frame()).await;
        let frame = frame.map_err(|_| BodyError::Stalled)?;
        let frame = frame.transpose().map_err(BodyError::Broken)?;
        let data = frame.as_ref().and_then(Frame::data_ref);
        let bytes = data.map_or(0, Bytes::len);
        self.received += bytes as u64;
        self.turns.rest(bytes).await;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_chunks_end_a_turn_and_large_or_rare_ones_do_not() {
        let start = Instant::now();
        let mut turns = Turns::new(start);
        let mut over = |at_us: u64, bytes| {
            let at = start + Duration::from_micros(at_us);
            turns.is_over(at, bytes)
        };
        for _ in 1..SMALL_A_TURN {
            assert!(!over(10, 1));
            assert!(!over(10, SMALL));
        }
        assert!(over(10, 0));
        // After the rest.
        for at_us in (1_010..).step_by(100).take(1_000) {
            assert!(!over(at_us, 1), "{at_us}");
        }
    }
}
