//! The two ends of a layer's pipeline: the blob as it is read, and the tar
//! stream as it comes out of the decoder.

use std::io::{self, BufRead, Read, Write};

use super::kept::KeptFile;
use super::partial::Partial;
use super::pipe::Pipe;
use crate::digest::Hasher;
use crate::error::{IoContext, Result};
use crate::manifest::Descriptor;
use crate::source::{mismatch, wrong_size};
use crate::unpack::limits::Budget;
use crate::{Digest, Interrupt, LayerProgress, Progress};

/// Bytes between two progress reports.
const REPORT_EVERY: u64 = 4 * 1024 * 1024;

/// Where a blob is written to while it is read.
#[derive(Debug)]
pub(super) enum Copy {
    /// Nowhere.
    None,
    /// Into the store.
    Kept(KeptFile),
    /// Behind what an earlier pull has left of it.
    Partial(Partial),
}

impl Copy {
    /// Takes the bytes from `position` on.
    fn take(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Kept(file) => file.write_all(bytes),
            Self::Partial(file) => {
                let known = file.found.saturating_sub(position);
                let known = usize::try_from(known).unwrap_or(usize::MAX);
                file.write_all(bytes.get(known..).unwrap_or_default())
            }
        }
    }
}

/// Reads a blob, hashes it and keeps it on the way, if it is to be.
///
/// Never asks the source for more than the descriptor's size.
pub(super) struct BlobStream<'a> {
    source: Box<dyn Read + Send + 'a>,
    copy: Copy,
    hasher: Hasher,
    read: u64,
    reported: u64,
    descriptor: &'a Descriptor,
    /// The layer to report progress of.
    layer: Digest,
    progress: &'a dyn Progress,
    interrupt: Interrupt,
}

impl<'a> BlobStream<'a> {
    pub(super) fn new(
        source: Box<dyn Read + Send + 'a>,
        copy: Copy,
        descriptor: &'a Descriptor,
        layer: Digest,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            source,
            copy,
            hasher: Hasher::default(),
            read: 0,
            reported: 0,
            descriptor,
            layer,
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
        self.copy.take(self.read, &buffer[..read])?;
        self.read += read as u64;
        if self.read - self.reported >= REPORT_EVERY {
            self.reported = self.read;
            let state = LayerProgress::Advanced { read: self.read };
            self.progress.layer(&self.layer, state);
        }
        Ok(read)
    }
}

/// The tar stream as it arrives: counted, hashed, and kept if it is to be.
pub(super) struct TarStream<'a> {
    pipe: Pipe,
    position: usize,
    /// None if the tar stream is the blob itself, which is hashed already.
    hasher: Option<Hasher>,
    copy: Option<KeptFile>,
    size: u64,
    budget: &'a Budget,
}

impl<'a> TarStream<'a> {
    pub(super) fn new(pipe: Pipe, hash: bool, copy: Option<KeptFile>, budget: &'a Budget) -> Self {
        Self {
            pipe,
            position: 0,
            hasher: hash.then(Hasher::default),
            copy,
            size: 0,
            budget,
        }
    }

    /// Reads what follows the archive's end marker: the diff ID covers it too.
    /// Returns the diff ID, unless it is the blob's digest, and the size in bytes.
    pub(super) fn finish(mut self) -> io::Result<(Option<Digest>, u64)> {
        while !self.fill_buf()?.is_empty() {
            self.position = self.pipe.chunk().len();
        }
        Ok((self.hasher.map(Hasher::finish), self.size))
    }

    fn receive(&mut self) -> io::Result<()> {
        let chunk = self.pipe.next_chunk()?;
        self.position = 0;
        self.budget.take_bytes(chunk.len() as u64)?;
        self.size += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(chunk);
        }
        if let Some(copy) = &mut self.copy {
            copy.write_all(chunk)?;
        }
        Ok(())
    }
}

impl BufRead for TarStream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.pipe.chunk().len() {
            self.receive()?;
        }
        Ok(&self.pipe.chunk()[self.position..])
    }

    fn consume(&mut self, length: usize) {
        self.position += length;
    }
}

impl Read for TarStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Reads to the end.
fn drain(reader: &mut impl Read) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::ErrorKind;
    use crate::unpack::decompress::Decoder;

    /// I-C01: of a bomb no more is written than fits in the budget, as a stream too.
    #[test]
    fn what_exceeds_the_budget_is_not_kept() {
        let budget = Budget::new(5 << 20, 1);
        let mut bomb = Vec::new();
        for level in [1, 9] {
            let mut gzip =
                flate2::write::GzEncoder::new(&mut bomb, flate2::Compression::new(level));
            gzip.write_all(&vec![0; 32 << 20]).unwrap();
        }
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tar");
        let error = std::thread::scope(|scope| {
            let decoder = Decoder::new(BufReader::new(&bomb[..])).unwrap();
            let pipe = Pipe::spawn(scope, decoder);
            let copy = KeptFile::create(&path).unwrap();
            let stream = TarStream::new(pipe, true, Some(copy), &budget);
            crate::Error::io(String::new, stream.finish().unwrap_err())
        });
        assert_eq!(error.kind(), ErrorKind::ImageTooLarge, "{error}");
        assert_eq!(path.metadata().unwrap().len(), 5 << 20);
    }
}
