//! One piece of a blob, with as many tries as it takes.
//!
//! A piece that breaks off is resumed at the byte that it had reached. A server
//! that does not do ranges, or does them wrongly, is asked for the whole blob, and
//! what is there already is skipped; the digest, which is checked by whoever
//! reads, has the last word.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::client::Client;
use super::retry::{Pace, pause};
use super::transport::header;
use super::unreachable;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::source::wrong_size;

/// Bytes that are handed over at a time.
pub(super) const BLOCK: usize = 256 * 1024;
/// A piece that came this far before it broke off has not failed in vain.
const GOOD_PROGRESS: u64 = 1024 * 1024;

/// What the pieces of a blob have in common.
pub(super) struct Shared {
    client: Arc<Client>,
    blob: Descriptor,
    path: String,
    ranges: AtomicBool,
}

/// Why a piece is not complete.
enum Trouble {
    /// Trying again may help.
    Passing(String),
    Final(Error),
    /// Nobody reads any more.
    Unread,
}

impl Shared {
    pub(super) fn new(client: Arc<Client>, blob: Descriptor) -> Self {
        Self {
            path: format!("blobs/{}", blob.digest),
            client,
            blob,
            ranges: AtomicBool::new(true),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn size(&self) -> u64 {
        self.blob.size
    }

    /// False once the server has answered a range with something else.
    pub(super) fn has_ranges(&self) -> bool {
        self.ranges.load(Ordering::Relaxed)
    }

    pub(super) fn forget_ranges(&self) {
        self.ranges.store(false, Ordering::Relaxed);
    }

    /// Asks for a piece from `position` on, or for the whole blob.
    pub(super) async fn request(&self, span: &Range<u64>, position: u64) -> Result<Response> {
        let range = self.has_ranges().then(|| (position, span.end - 1));
        self.client.blob(&self.path, range).await
    }

    /// Fetches a piece, with as many tries as it takes.
    pub(super) async fn fetch(
        &self,
        span: Range<u64>,
        mut response: Option<Response>,
        blocks: &Sender<Result<Bytes>>,
    ) {
        let mut progress = Progress {
            position: span.start,
            block: BytesMut::with_capacity(BLOCK),
        };
        let mut failures = 0;
        loop {
            let before = progress.position;
            let tried = self
                .try_once(&span, &mut progress, response.take(), blocks)
                .await;
            let error = match tried {
                Ok(()) | Err(Trouble::Unread) => return,
                Err(Trouble::Final(error)) => error,
                Err(Trouble::Passing(why)) => {
                    if progress.position - before >= GOOD_PROGRESS {
                        failures = 0;
                    }
                    failures += 1;
                    let settings = self.client.settings();
                    if failures < settings.tries {
                        tracing::debug!(blob = %self.blob.digest, why, "resuming");
                        tokio::time::sleep(pause(settings, failures)).await;
                        continue;
                    }
                    unreachable(
                        &self.client.reference().host,
                        format!(
                            "blob {} broke off at byte {} of {}: {why} ({failures} tries)",
                            self.blob.digest, progress.position, self.blob.size
                        ),
                    )
                }
            };
            let _nobody_reads = blocks.send(Err(error)).await;
            return;
        }
    }

    async fn try_once(
        &self,
        span: &Range<u64>,
        progress: &mut Progress,
        response: Option<Response>,
        blocks: &Sender<Result<Bytes>>,
    ) -> Result<(), Trouble> {
        let mut response = match response {
            Some(response) => response,
            None => self
                .request(span, progress.position)
                .await
                .map_err(Trouble::Final)?,
        };
        let mut skip = self.check_start(&response, progress.position)?;
        let mut pace = Pace::new(self.client.settings());
        loop {
            let chunk = self.client.chunk(&mut response, &mut pace).await;
            let Some(mut chunk) = chunk.map_err(Trouble::Passing)? else {
                break;
            };
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(skipped);
            skip -= skipped as u64;
            let left = span.end - progress.position;
            if chunk.len() as u64 > left {
                if span.end == self.blob.size {
                    return Err(Trouble::Final(Error::invalid(format!(
                        "blob {} goes on after the {} bytes that its descriptor states",
                        self.blob.digest, self.blob.size
                    ))));
                }
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            }
            progress.take(chunk, blocks).await?;
            // The rest of a whole blob belongs to the pieces that follow.
            if progress.position == span.end && span.end < self.blob.size {
                break;
            }
        }
        if progress.position < span.end {
            return Err(Trouble::Passing("the connection ended early".to_owned()));
        }
        progress.flush(blocks).await
    }

    /// How many bytes of the body come before the one that was asked for.
    fn check_start(&self, response: &Response, position: u64) -> Result<u64, Trouble> {
        let size = self.blob.size;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = header(response.headers(), CONTENT_RANGE.as_str()).unwrap_or_default();
            if starts_at(&range, position, size) {
                return Ok(0);
            }
            self.forget_ranges();
            return Err(Trouble::Passing(format!(
                "it answers a range with another one ({})",
                crate::error::quoted(range)
            )));
        }
        self.forget_ranges();
        if response.status() != StatusCode::OK {
            let why = format!("it answers {}", response.status());
            return Err(Trouble::Passing(why));
        }
        match response.content_length() {
            Some(length) if length != size => {
                Err(Trouble::Final(wrong_size(&self.blob.digest, length, size)))
            }
            _ => Ok(position),
        }
    }
}

/// How far a piece has come, over all tries.
struct Progress {
    /// The next byte of the blob.
    position: u64,
    /// What is not handed over yet.
    block: BytesMut,
}

impl Progress {
    async fn take(
        &mut self,
        mut chunk: Bytes,
        blocks: &Sender<Result<Bytes>>,
    ) -> Result<(), Trouble> {
        self.position += chunk.len() as u64;
        while !chunk.is_empty() {
            let part = chunk.split_to(chunk.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(&part);
            if self.block.len() == BLOCK {
                self.flush(blocks).await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self, blocks: &Sender<Result<Bytes>>) -> Result<(), Trouble> {
        if self.block.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.block, BytesMut::with_capacity(BLOCK));
        let sent = blocks.send(Ok(full.freeze())).await;
        sent.map_err(|_| Trouble::Unread)
    }
}

/// True for `bytes POSITION-LAST/SIZE`, where the size may be left open.
fn starts_at(range: &str, position: u64, size: u64) -> bool {
    let parsed = range.strip_prefix("bytes ").and_then(|range| {
        let (span, total) = range.split_once('/')?;
        let (first, _) = span.split_once('-')?;
        let total = match total {
            "*" => size,
            total => total.parse().ok()?,
        };
        Some((first.parse::<u64>().ok()?, total))
    });
    parsed == Some((position, size))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn content_ranges() {
        assert!(starts_at("bytes 5-9/10", 5, 10));
        assert!(starts_at("bytes 5-9/*", 5, 10));
        for bad in [
            "",
            "bytes 0-9/10",
            "bytes 5-9/11",
            "items 5-9/10",
            "bytes */10",
            "bytes 5-9",
        ] {
            assert!(!starts_at(bad, 5, 10), "{bad}");
        }
    }
}
