//! What a function writes: the reading end of its standard output and error,
//! which are one pipe, so that the order between them is kept. Its extensions share
//! another one, because Lambda tells their lines apart.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use tokio::net::unix::pipe;

use crate::telemetry::LineSplitter;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// A log of an environment, across restarts of its processes.
#[derive(Debug)]
pub(super) struct FunctionLog {
    reader: pipe::Receiver,
    writer: OwnedFd,
    splitter: LineSplitter,
    buffer: Vec<u8>,
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
        })
    }

    /// A writing end for new processes. It is blocking, as functions expect.
    pub(super) fn writer(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&self) {
        // An error shows again when reading.
        let _ = self.reader.readable().await;
    }

    /// Passes on the lines that are complete, at most about `limit` bytes of
    /// them, so that a flood of lines cannot keep the actor from its other work.
    pub(super) fn read(&mut self, limit: usize, mut line: impl FnMut(Vec<u8>)) {
        let mut taken = 0;
        while taken < limit {
            match self.reader.try_read(&mut self.buffer) {
                // We hold a writer ourselves, so 0 cannot mean the end.
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    taken += length;
                    self.splitter.push(&self.buffer[..length], &mut line);
                }
            }
        }
    }

    /// Passes on everything that was written before now, the last incomplete
    /// line included. Whoever still writes fills the pipe at most once.
    pub(super) fn drain(&mut self, mut line: impl FnMut(Vec<u8>)) {
        self.read(DRAIN_LIMIT, &mut line);
        self.splitter.flush(&mut line);
    }
}

/// More than a pipe holds by default.
const DRAIN_LIMIT: usize = 1024 * 1024;
