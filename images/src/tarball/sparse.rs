//! Sparse files: where the pieces belong that a tar stream has of them.
//!
//! GNU tar has four ways to write them: one of its own type, whose map is in the
//! header, and three in PAX records. Go reads all of them, so layers may have
//! them. A map that Go would refuse is refused.

use super::BLOCK;
use crate::error::{Error, Result};

/// Most pieces of one file. A map that is not in a PAX header has no other bound.
const SEGMENTS_MAX: usize = 100_000;

/// A piece of a sparse file; the rest of the file is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Segment {
    /// Where it belongs, in bytes from the beginning of the file.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
}

/// What the stream says about a sparse file; the pieces follow one another there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SparseMap {
    /// Size of the whole file in bytes.
    pub(crate) size: u64,
    /// In ascending order, none overlapping another.
    pub(crate) segments: Vec<Segment>,
}

impl SparseMap {
    /// Checks a map against the bytes that the stream has for it.
    pub(super) fn new(size: u64, segments: Vec<Segment>, stored: u64) -> Result<Self> {
        let mut end = 0_u64;
        let mut total = 0_u64;
        for segment in &segments {
            if segment.offset < end {
                return Err(bad("its pieces overlap or are out of order"));
            }
            end = segment
                .offset
                .checked_add(segment.length)
                .filter(|&end| end <= size)
                .ok_or_else(|| bad("a piece is beyond its size"))?;
            total += segment.length;
        }
        if total != stored {
            return Err(bad("its pieces are not as long as its content"));
        }
        Ok(Self {
            size,
            // GNU tar ends a map with an empty piece, to give the size.
            segments: segments
                .into_iter()
                .filter(|segment| segment.length > 0)
                .collect(),
        })
    }

    /// Bytes of the file that the stream does not have.
    pub(crate) fn holes(&self) -> u64 {
        let stored: u64 = self.segments.iter().map(|segment| segment.length).sum();
        self.size - stored
    }
}

/// Adds a piece to a map.
pub(super) fn push(segments: &mut Vec<Segment>, offset: u64, length: u64) -> Result<()> {
    if segments.len() == SEGMENTS_MAX {
        return Err(Error::limit(format!(
            "a sparse file has more than {SEGMENTS_MAX} pieces"
        )));
    }
    segments.push(Segment { offset, length });
    Ok(())
}

/// The map of `numbers`, which alternate between offsets and lengths.
pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<Segment>> {
    if !numbers.len().is_multiple_of(2) {
        return Err(bad("its map has an odd number of fields"));
    }
    let mut segments = Vec::new();
    for pair in numbers.chunks_exact(2) {
        push(&mut segments, pair[0], pair[1])?;
    }
    Ok(segments)
}

/// Reads the map at the beginning of the content, as PAX format 1.0 has it:
/// decimal lines, the first their number of pieces, filled up to whole blocks.
/// Returns the map and the bytes that it took.
pub(super) fn leading_map(
    mut next_block: impl FnMut(&mut [u8; BLOCK]) -> Result<()>,
) -> Result<(Vec<Segment>, u64)> {
    let mut lines = Lines::default();
    let mut block = [0; BLOCK];
    let mut taken = 0;
    loop {
        next_block(&mut block)?;
        taken += BLOCK as u64;
        if lines.add(&block)? {
            return Ok((pairs(&lines.numbers[1..])?, taken));
        }
    }
}

/// Decimal lines as they arrive.
#[derive(Default)]
struct Lines {
    numbers: Vec<u64>,
    current: Option<u64>,
}

impl Lines {
    /// True when the map is complete; the rest of the block is padding.
    fn add(&mut self, block: &[u8]) -> Result<bool> {
        for &byte in block {
            match byte {
                b'0'..=b'9' => {
                    let value = self
                        .current
                        .unwrap_or_default()
                        .checked_mul(10)
                        .and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    self.current = Some(value.ok_or_else(|| bad("its map has a huge number"))?);
                }
                b'\n' => {
                    let number = self.current.take();
                    self.numbers
                        .push(number.ok_or_else(|| bad("its map has an empty line"))?);
                    if self.numbers.len() as u64 == self.expected()? {
                        return Ok(true);
                    }
                }
                _ => return Err(bad("its map is not made of decimal lines")),
            }
        }
        Ok(false)
    }

    fn expected(&self) -> Result<u64> {
        let pieces = self.numbers.first().copied().unwrap_or_default();
        if pieces > SEGMENTS_MAX as u64 {
            return Err(Error::limit(format!(
                "a sparse file has more than {SEGMENTS_MAX} pieces"
            )));
        }
        Ok(pieces * 2 + 1)
    }
}

pub(super) fn bad(why: &str) -> Error {
    Error::invalid(format!("a sparse file is malformed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
        pairs
            .iter()
            .map(|&(offset, length)| Segment { offset, length })
            .collect()
    }

    #[test]
    fn maps_are_checked_against_content_and_size() {
        for (size, pieces, stored, good) in [
            (100, &[(0, 10), (50, 50)][..], 60, true),
            (100, &[(0, 10), (100, 0)], 10, true),
            (100, &[], 0, true),
            (100, &[(0, 10), (5, 10)], 20, false),
            (100, &[(50, 10), (0, 10)], 20, false),
            (100, &[(95, 10)], 10, false),
            (100, &[(0, 10)], 11, false),
            (100, &[(u64::MAX, 2)], 2, false),
        ] {
            let map = SparseMap::new(size, segments(pieces), stored);
            assert_eq!(map.is_ok(), good, "{pieces:?}");
        }
    }

    #[test]
    fn a_leading_map_ends_with_its_last_line() {
        let read = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            let mut blocks = bytes.chunks_exact(BLOCK).map(<[u8]>::to_vec);
            leading_map(|block| {
                let next = blocks.next().ok_or_else(|| bad("no more"))?;
                block.copy_from_slice(&next);
                Ok(())
            })
        };
        assert_eq!(
            read("2\n0\n512\n4096\n10\n").unwrap(),
            (segments(&[(0, 512), (4096, 10)]), 512)
        );
        assert_eq!(read("0\n").unwrap(), (Vec::new(), 512));
        for bad in [
            "",
            "x\n",
            "-1\n",
            "1\n\n",
            "99999999999999999999999\n",
            "200000\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
