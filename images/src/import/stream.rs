//! The two ends of a layer's pipeline: the blob as it is read, and the tar
//! stream as it comes out of the decoder.

use std::fs::File;
use std::io::{self, Read, Write};

use crate::digest::Hasher;
use crate::error::{IoContext, Result};
use crate::manifest::Descriptor;
use crate::source::{mismatch, wrong_size};
use crate::unpack::limits::Budget;
use crate::{Digest, Interrupt, LayerProgress, Progress};

/// Bytes between two progress reports.
const REPORT_EVERY: u64 = 4 * 1024 * 1024;

/// Reads a blob, hashes it and writes it into the store on the way.
///
/// Never asks the source for more than the descriptor's size.
pub(super) struct BlobStream<'a> {
    source: Box<dyn Read + Send + 'a>,
    copy: File,
    hasher: Hasher,
    read: u64,
    reported: u64,
    descriptor: &'a Descriptor,
    progress: &'a dyn Progress,
    interrupt: Interrupt,
}

impl<'a> BlobStream<'a> {
    pub(super) fn new(
        source: Box<dyn Read + Send + 'a>,
        copy: File,
        descriptor: &'a Descriptor,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            source,
            copy,
            hasher: Hasher::default(),
            read: 0,
            reported: 0,
            descriptor,
            interrupt: progress.interrupt(),
            progress,
        }
    }

    /// Reads what is left and checks the whole.
    pub(super) fn verify(mut self) -> Result<()> {
        drain(&mut self).doing(|| format!("reading blob {}", self.descriptor.digest))?;
        let found = self.hasher.finish();
        if found != self.descriptor.digest {
            return Err(mismatch(&self.descriptor.digest, &found));
        }
        Ok(())
    }
}

impl Read for BlobStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.descriptor.size - self.read;
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        self.interrupt.check()?;
        let read = self.source.read(&mut buffer[..wanted])?;
        if read == 0 {
            let error = wrong_size(&self.descriptor.digest, self.read, self.descriptor.size);
            return Err(error.into());
        }
        self.hasher.update(&buffer[..read]);
        self.copy.write_all(&buffer[..read])?;
        self.read += read as u64;
        if self.read - self.reported >= REPORT_EVERY {
            self.reported = self.read;
            let state = LayerProgress::Advanced { read: self.read };
            self.progress.layer(&self.descriptor.digest, state);
        }
        Ok(read)
    }
}

/// Hashes and counts the tar stream.
pub(super) struct TarStream<'a, R> {
    inner: R,
    /// None if the tar stream is the blob itself, which is hashed already.
    hasher: Option<Hasher>,
    size: u64,
    budget: &'a Budget,
}

impl<'a, R: Read> TarStream<'a, R> {
    pub(super) fn new(inner: R, hash: bool, budget: &'a Budget) -> Self {
        Self {
            inner,
            hasher: hash.then(Hasher::default),
            size: 0,
            budget,
        }
    }

    /// The diff ID, unless it is the blob's digest, and the size in bytes.
    pub(super) fn finish(self) -> (Option<Digest>, u64) {
        (self.hasher.map(Hasher::finish), self.size)
    }
}

impl<R: Read> Read for TarStream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.budget.take_bytes(read as u64)?;
        self.size += read as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}

/// Reads to the end.
pub(super) fn drain(reader: &mut impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
