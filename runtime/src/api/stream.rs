//! Streamed responses: from the chunks that a runtime posts to whoever waits for
//! them.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::ApiError;
use crate::body::Turns;
use crate::model::{MAX_RESPONSE_BYTES, MAX_STREAMED_BYTES};

/// Bytes that leave as fast as they come.
const BURST_BYTES: u64 = 6 << 20;

/// Bytes per second after that.
const RATE_BYTES: u64 = 2 << 20;

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// A part of a response, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponsePart {
    /// The runtime has begun to answer, with this content type.
    Begin(Option<String>),
    /// The next bytes.
    Chunk(Bytes),
}

/// An error that a runtime reports after it has begun to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// `Lambda-Runtime-Function-Error-Type`.
    pub error_type: String,
    /// The error's JSON.
    pub body: Bytes,
}

/// What came of a posted response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// All of it, unless it was passed on.
    pub(crate) bytes: Bytes,
    /// How many bytes it had.
    pub(crate) length: usize,
    /// The response has been passed on part by part.
    pub(crate) streamed: bool,
    pub(crate) error: Option<StreamError>,
}

/// Reads a response to its end. With `parts` it is passed on as it comes, at
/// Lambda's rate; a receiver that has gone misses it, and the function goes on.
pub(super) async fn read(
    body: &mut Incoming,
    parts: Option<mpsc::Sender<ResponsePart>>,
) -> Result<Content, ApiError> {
    let streamed = parts.is_some();
    let limit = if streamed {
        MAX_STREAMED_BYTES
    } else {
        MAX_RESPONSE_BYTES
    };
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    let mut bucket = Bucket::new(Instant::now());
    let mut turns = Turns::new(tokio::time::Instant::now());
    let mut error = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::Truncated)?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                error = frame.trailers_ref().and_then(trailers).or(error);
                continue;
            }
        };
        turns.rest(data.len()).await;
        if let Some(in_band) = in_band_trailers(&data) {
            error = Some(in_band);
            continue;
        }
        length += data.len();
        if length > limit {
            return Err(ApiError::TooLarge);
        }
        match &parts {
            Some(parts) => {
                tokio::time::sleep(bucket.take(Instant::now(), data.len() as u64)).await;
                let _ = parts.send(ResponsePart::Chunk(data)).await;
            }
            None => bytes.extend_from_slice(&data),
        }
    }
    Ok(Content {
        bytes: bytes.freeze(),
        length,
        streamed,
        error,
    })
}

/// The error in the trailers of a response.
fn trailers(trailers: &HeaderMap) -> Option<StreamError> {
    let text = |name| trailers.get(name)?.to_str().ok();
    stream_error(text(ERROR_TYPE)?, text(ERROR_BODY).unwrap_or_default())
}

/// AWS's client for Rust writes its trailers into the body, as a last chunk.
fn in_band_trailers(chunk: &[u8]) -> Option<StreamError> {
    let text = std::str::from_utf8(chunk).ok()?;
    let mut fields = text.trim_end().split("\r\n").map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value))
    });
    let (first, error_type) = fields.next()??;
    let (second, body) = fields.next()??;
    let ours = first == ERROR_TYPE && second == ERROR_BODY && fields.next().is_none();
    ours.then(|| stream_error(error_type, body))?
}

fn stream_error(error_type: &str, base64: &str) -> Option<StreamError> {
    Some(StreamError {
        error_type: error_type.to_owned(),
        body: BASE64_STANDARD.decode(base64).ok()?.into(),
    })
}

/// Lambda's rate limit: a burst, then a steady rate.
#[derive(Debug)]
struct Bucket {
    /// Bytes that may leave at `at`; a debt is paid by waiting.
    credit: i128,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self {
            credit: BURST_BYTES.into(),
            at: now,
        }
    }

    /// How long these bytes have to wait.
    fn take(&mut self, now: Instant, bytes: u64) -> Duration {
        let earned = now.saturating_duration_since(self.at).as_nanos() * u128::from(RATE_BYTES)
            / 1_000_000_000;
        let earned = i128::try_from(earned).unwrap_or(i128::MAX);
        self.at = now;
        self.credit =
            self.credit.saturating_add(earned).min(BURST_BYTES.into()) - i128::from(bytes);
        let debt = u128::try_from(-self.credit).unwrap_or(0);
        let nanoseconds = debt * 1_000_000_000 / u128::from(RATE_BYTES);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_has_a_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.take(start, BURST_BYTES), Duration::ZERO);
        assert_eq!(bucket.take(start, RATE_BYTES), Duration::from_secs(1));
        let later = start + Duration::from_secs(1);
        assert_eq!(
            bucket.take(later, RATE_BYTES / 2),
            Duration::from_millis(500)
        );
        // Idle time earns a burst, and no more than that.
        let much_later = start + Duration::from_secs(1_000);
        assert_eq!(bucket.take(much_later, BURST_BYTES), Duration::ZERO);
        assert_eq!(bucket.take(much_later, RATE_BYTES), Duration::from_secs(1));
    }

    #[test]
    fn errors_come_as_trailers_or_in_the_body() {
        let expected = StreamError {
            error_type: "Runtime.StreamError".to_owned(),
            body: Bytes::from_static(b"{\"errorMessage\":\"x\"}"),
        };
        let body = "eyJlcnJvck1lc3NhZ2UiOiJ4In0=";
        let mut headers = HeaderMap::new();
        headers.insert(ERROR_TYPE, "Runtime.StreamError".parse().unwrap());
        headers.insert(ERROR_BODY, body.parse().unwrap());
        assert_eq!(trailers(&headers), Some(expected.clone()));
        let in_band = format!(
            "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n\
             Lambda-Runtime-Function-Error-Body: {body}\r\n"
        );
        assert_eq!(in_band_trailers(in_band.as_bytes()), Some(expected));
        for other in [
            "",
            "text",
            "Lambda-Runtime-Function-Error-Type: a\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(in_band_trailers(other.as_bytes()), None, "{other:?}");
        }
    }
}
