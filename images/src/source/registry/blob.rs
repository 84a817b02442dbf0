//! A blob in pieces: several on their way at once, delivered in order.
//!
//! The piece that is being read goes through a small channel. Those after it are
//! fetched ahead if there is room for them in memory, which all blobs share; no
//! piece ever waits for another one's room, so readers cannot block each other.
//!
//! A piece that breaks off is resumed at the byte that it had reached. A server
//! that does not do ranges, or does them wrongly, is asked for the whole blob, and
//! what is there already is skipped; the digest, which is checked by whoever
//! reads, has the last word.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::client::{Client, header};
use super::retry::{Pace, pause};
use super::unreachable;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::source::wrong_size;

/// Bytes that are handed over at a time.
const BLOCK: usize = 256 * 1024;
/// Blocks that wait for the reader in the piece that is being read.
const BLOCKS_WAITING: usize = 4;
/// A piece that came this far before it broke off has not failed in vain.
const GOOD_PROGRESS: u64 = 1024 * 1024;

/// Reads a blob.
pub(super) struct BlobReader {
    shared: Arc<Shared>,
    runtime: Handle,
    ahead: Arc<Semaphore>,
    pieces: VecDeque<Piece>,
    /// Where the next piece begins.
    next: u64,
    block: Bytes,
}

/// What the pieces of a blob have in common.
struct Shared {
    client: Arc<Client>,
    blob: Descriptor,
    path: String,
    /// False once the server has answered a range with something else.
    ranges: AtomicBool,
}

struct Piece {
    blocks: Receiver<Result<Bytes>>,
    task: AbortHandle,
    _room: Option<OwnedSemaphorePermit>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl BlobReader {
    /// Asks for the beginning of a blob, so that its absence shows here.
    pub(super) fn open(
        runtime: Handle,
        client: Arc<Client>,
        ahead: Arc<Semaphore>,
        blob: &Descriptor,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            path: format!("blobs/{}", blob.digest),
            client,
            blob: blob.clone(),
            ranges: AtomicBool::new(true),
        });
        let mut reader = Self {
            shared,
            runtime,
            ahead,
            pieces: VecDeque::new(),
            next: 0,
            block: Bytes::new(),
        };
        if blob.size > 0 {
            let shared = Arc::clone(&reader.shared);
            let first = 0..blob.size.min(shared.client.settings().piece);
            let response = reader.runtime.block_on(shared.request(&first, 0))?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                shared.ranges.store(false, Ordering::Relaxed);
            }
            reader.start(Some(response), None);
            reader.fill();
        }
        Ok(reader)
    }

    /// Starts the next piece.
    fn start(&mut self, response: Option<Response>, room: Option<OwnedSemaphorePermit>) {
        let size = self.shared.blob.size;
        let length = self.shared.client.settings().piece;
        let end = if self.shared.ranges.load(Ordering::Relaxed) {
            size.min(self.next + length)
        } else {
            size
        };
        let span = self.next..end;
        self.next = end;
        let waiting = match room {
            Some(_) => usize::try_from(length).unwrap_or(usize::MAX) / BLOCK + 1,
            None => BLOCKS_WAITING,
        };
        let (sender, blocks) = channel(waiting);
        let shared = Arc::clone(&self.shared);
        let task = self.runtime.spawn(async move {
            shared.fetch(span, response, &sender).await;
        });
        self.pieces.push_back(Piece {
            blocks,
            task: task.abort_handle(),
            _room: room,
        });
    }

    /// Starts as many pieces as there may be at once.
    fn fill(&mut self) {
        let size = self.shared.blob.size;
        while self.next < size && self.pieces.len() < self.shared.client.settings().parallel {
            if self.pieces.is_empty() {
                self.start(None, None);
                continue;
            }
            if !self.shared.ranges.load(Ordering::Relaxed) {
                return;
            }
            let Ok(room) = Arc::clone(&self.ahead).try_acquire_owned() else {
                return;
            };
            self.start(None, Some(room));
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.block.is_empty() {
                let length = buffer.len().min(self.block.len());
                self.block.copy_to_slice(&mut buffer[..length]);
                return Ok(length);
            }
            let Some(piece) = self.pieces.front_mut() else {
                return Ok(0);
            };
            match piece.blocks.blocking_recv() {
                Some(Ok(block)) => self.block = block,
                Some(Err(error)) => {
                    self.pieces.clear();
                    self.next = self.shared.blob.size;
                    return Err(error.into());
                }
                None => {
                    self.pieces.pop_front();
                    self.fill();
                }
            }
        }
    }
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
    async fn request(&self, span: &Range<u64>, position: u64) -> Result<Response> {
        let ranges = self.ranges.load(Ordering::Relaxed);
        let range = ranges.then(|| (position, span.end - 1));
        self.client.blob(&self.path, range).await
    }

    /// Fetches a piece, with as many tries as it takes.
    async fn fetch(
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
            self.ranges.store(false, Ordering::Relaxed);
            return Err(Trouble::Passing(format!(
                "it answers a range with another one ({})",
                crate::error::quoted(range)
            )));
        }
        self.ranges.store(false, Ordering::Relaxed);
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
