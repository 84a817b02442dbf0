//! Bodies of requests: read up to a limit, and to their end all the same.
//!
//! Clients send the whole body before they look for an answer: answered earlier, the
//! connection would be closed under them, and they would never learn why. So whoever
//! serves a connection calls [`discard`] before it sends the answer, whatever that is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};

/// As much of a refused body is read as somebody may plausibly have meant.
const MAX_DISCARDED_BYTES: usize = 64 << 20;

/// As long may a client take for its next bytes: it holds a connection, of which there
/// is a limited number.
const STALLED: Duration = Duration::from_secs(30);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// No byte of it came for a while.
    #[error("no byte of the body came for {} seconds", STALLED.as_secs())]
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
    while let Some(frame) = next(body).await? {
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
    let mut left = MAX_DISCARDED_BYTES;
    while !body.is_end_stream()
        && let Ok(Some(frame)) = next(body).await
    {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

async fn next(body: &mut Incoming) -> Result<Option<Frame<Bytes>>, BodyError> {
    let frame = tokio::time::timeout(STALLED, body.frame()).await;
    let frame = frame.map_err(|_| BodyError::Stalled)?;
    frame.transpose().map_err(BodyError::Broken)
}
