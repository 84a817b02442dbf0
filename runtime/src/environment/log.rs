//! What a function writes: the reading end of its standard output and error,
//! which are one pipe, so that the order between them is kept. Its extensions share
//! another one, because Lambda tells their lines apart.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use tokio::net::unix::pipe;

use crate::telemetry::LineSplitter;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// What passing a line on costs beside its bytes, as if it were bytes: locks and
/// allocations, here and at all who hear of it.
const LINE_COST: usize = 256;

/// A log of an environment, across restarts of its processes.
#[derive(Debug)]
pub(super) struct FunctionLog {
    reader: pipe::Receiver,
    writer: OwnedFd,
    splitter: LineSplitter,
    buffer: Vec<u8>,
    /// The part of the buffer whose lines have not been passed on.
    unread: Range<usize>,
}

impl FunctionLog {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        Ok(Self {
            reader: pipe::Receiver::from_owned_fd(reader)?,
            writer,
            splitter: LineSplitter::default(),
            buffer: vec![0; CHUNK],
            unread: 0..0,
        })
    }

    /// A writing end for new processes. It is blocking, as functions expect.
    pub(super) fn writer(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&self) {
        if self.unread.is_empty() {
            // An error shows again when reading.
            let _ = self.reader.readable().await;
        }
    }

    /// Passes on the lines that are complete until they have cost `limit`, so that a
    /// flood of lines cannot keep the actor, and all that shares its thread, from
    /// their work. True if that ended it.
    pub(super) fn read(&mut self, limit: usize, mut line: impl FnMut(Vec<u8>)) -> bool {
        let mut cost = 0;
        while cost < limit {
            let Some(bytes) = self.take(&mut line) else {
                return false;
            };
            cost += bytes + LINE_COST;
        }
        true
    }

    /// Passes on everything that was written before now, the last incomplete
    /// line included. Who still writes does not prolong it.
    pub(super) fn drain(&mut self, mut line: impl FnMut(Vec<u8>)) {
        let written = rustix::io::ioctl_fionread(&self.reader).unwrap_or_default();
        let written = usize::try_from(written).unwrap_or(usize::MAX);
        let mut left = written.saturating_add(self.unread.len());
        while left > 0
            && let Some(bytes) = self.take(&mut line)
        {
            left = left.saturating_sub(bytes);
        }
        self.splitter.flush(&mut line);
    }

    /// Takes bytes up to the end of a line, which is passed on, or up to the end of
    /// what was read at once. Returns how many; `None` if there are none now.
    fn take(&mut self, mut line: impl FnMut(Vec<u8>)) -> Option<usize> {
        if self.unread.is_empty() {
            // We hold a writer ourselves, so 0 cannot mean the end.
            let length = self.reader.try_read(&mut self.buffer).ok()?;
            self.unread = 0..length;
        }
        let mut rest = &self.buffer[self.unread.clone()];
        if let Some(complete) = self.splitter.next(&mut rest) {
            line(complete);
        }
        let start = self.unread.end - rest.len();
        let taken = start - self.unread.start;
        self.unread.start = start;
        Some(taken)
    }
}
