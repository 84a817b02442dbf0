//! Moves a decoder onto a thread of its own, so that inflating overlaps with
//! hashing and writing what it gives.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

/// Bytes handed over at a time.
const CHUNK: usize = 1024 * 1024;
/// Chunks on their way: enough to even out, small enough for any number of layers.
const CHUNKS: usize = 4;

/// The receiving end of a stream that another thread reads.
#[derive(Debug)]
pub(super) struct Pipe {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
}

impl Pipe {
    /// Reads `source` on a new thread, which ends with the source or with the pipe.
    pub(super) fn spawn<'scope, 'env, R: Read + Send + 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        source: R,
    ) -> Self {
        let (send_full, full) = sync_channel(CHUNKS);
        let (empty, receive_empty) = channel();
        scope.spawn(move || pump(source, &send_full, &receive_empty));
        Self {
            full,
            empty,
            chunk: Vec::new(),
        }
    }
}

fn pump(mut source: impl Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let result = fill(&mut source, &mut chunk);
        let done = !matches!(result, Ok(CHUNK));
        let message = result.map(|length| {
            chunk.truncate(length);
            chunk
        });
        // A pipe that is gone has failed by itself.
        if full.send(message).is_err() || done {
            return;
        }
    }
}

/// Fills the buffer as far as the source goes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Pipe {
    /// Waits for the next chunk; an empty one is the end.
    pub(super) fn next_chunk(&mut self) -> io::Result<&[u8]> {
        let spent = std::mem::take(&mut self.chunk);
        let _the_other_end_has_read_all = self.empty.send(spent);
        // The sender is gone once it has sent the end.
        if let Ok(next) = self.full.recv() {
            self.chunk = next?;
        }
        Ok(&self.chunk)
    }

    /// The chunk that was received last.
    pub(super) fn chunk(&self) -> &[u8] {
        &self.chunk
    }
}
