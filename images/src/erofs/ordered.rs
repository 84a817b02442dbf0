//! [`Ordered`]: a file that is written from its beginning to its end, with gaps.

use std::io::{self, BufWriter, Write};

use crate::Digest;
use crate::writer::Hashed;

/// Bytes that are gathered before they are hashed and written.
const BUFFER: usize = 64 * 1024;
const ZEROS: [u8; 4096] = [0; 4096];

/// Writes zeros between what is put behind one another.
#[derive(Debug)]
pub(super) struct Ordered<W: Write> {
    out: BufWriter<Hashed<W>>,
    position: u64,
}

impl<W: Write> Ordered<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, Hashed::new(out)),
            position: 0,
        }
    }

    /// Puts bytes to a place that nothing was put to or behind.
    pub(super) fn put(&mut self, place: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.fill(place)?;
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Ends the file at this place; returns its digest.
    pub(super) fn finish(mut self, end: u64) -> io::Result<Digest> {
        self.fill(end)?;
        let hashed = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(hashed.finish().0)
    }

    fn fill(&mut self, place: u64) -> io::Result<()> {
        let mut gap = place
            .checked_sub(self.position)
            .ok_or_else(|| io::Error::other("two parts of the image are in the same place"))?;
        while gap > 0 {
            let step = ZEROS.len().min(usize::try_from(gap).unwrap_or(usize::MAX));
            self.out.write_all(&ZEROS[..step])?;
            gap -= step as u64;
        }
        self.position = place;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_zeros_and_the_digest_is_of_all() {
        let mut bytes = Vec::new();
        let mut out = Ordered::new(&mut bytes);
        out.put(2, b"ab").unwrap();
        out.put(4, b"c").unwrap();
        out.put(6000, b"d").unwrap();
        // Nothing is nowhere.
        out.put(5, b"").unwrap();
        assert!(out.put(6000, b"e").is_err());
        let digest = out.finish(6002).unwrap();
        let expected = [&b"\0\0abc"[..], &[0; 5995], b"d\0"].concat();
        assert_eq!(bytes, expected);
        assert_eq!(digest, Digest::of(expected));
    }
}
