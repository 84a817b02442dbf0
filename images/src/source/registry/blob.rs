//! A blob in pieces: several on their way at once, delivered in order.
//!
//! The piece that is being read goes through a small channel. Those after it are
//! fetched ahead if there is room for them in memory, which all blobs share; no
//! piece ever waits for another one's room, so readers cannot block each other.
//!
//! How a single piece is fetched is in `fetch.rs`.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use reqwest::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::client::Client;
use super::fetch::{BLOCK, Shared};
use crate::error::Result;
use crate::manifest::Descriptor;

/// Blocks that wait for the reader in the piece that is being read.
const BLOCKS_WAITING: usize = 4;

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
    /// Asks for the first piece of a blob behind the `known` bytes, so that its
    /// absence shows here.
    pub(super) fn open(
        runtime: Handle,
        client: Arc<Client>,
        ahead: Arc<Semaphore>,
        blob: &Descriptor,
        known: u64,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::new(client, blob.clone()));
        let mut reader = Self {
            shared,
            runtime,
            ahead,
            pieces: VecDeque::new(),
            next: known,
            block: Bytes::new(),
        };
        if blob.size > known {
            let shared = Arc::clone(&reader.shared);
            let end = known.saturating_add(shared.client().settings().piece);
            let first = known..blob.size.min(end);
            let response = reader.runtime.block_on(shared.request(&first, known))?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                shared.forget_ranges();
            }
            reader.start(Some(response), None);
            reader.fill();
        }
        Ok(reader)
    }

    /// Starts the next piece.
    fn start(&mut self, response: Option<Response>, room: Option<OwnedSemaphorePermit>) {
        let size = self.shared.size();
        let length = self.shared.client().settings().piece;
        let end = if self.shared.has_ranges() {
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
        let size = self.shared.size();
        while self.next < size && self.pieces.len() < self.shared.client().settings().parallel {
            if self.pieces.is_empty() {
                self.start(None, None);
                continue;
            }
            if !self.shared.has_ranges() {
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
                    self.next = self.shared.size();
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
