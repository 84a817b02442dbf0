//! The end of a stream that is no whole number of blocks.
//!
//! An archive may end in the padding behind its last file: `umoci insert` writes such
//! layers, and Go reads them. The kernel reads whole blocks, and gets an error for one
//! that the stream has only a part of. The stream has to stay what it is, for it is
//! named by its digest, so that file's last chunk goes into the EROFS image.

use super::format::BLOCK;
use crate::error::{Error, Result};

/// Most bits of the size of a chunk of such a file.
pub(super) const TAIL_BITS: u32 = 12;

/// The last bytes of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where they begin in the stream.
    start: u64,
    bytes: Vec<u8>,
}

impl Tail {
    /// Where the tail begins of a stream of so many bytes; none if it has whole blocks.
    pub(crate) fn start(size: u64) -> Option<u64> {
        // A chunk that ends in the last block begins less than its size before that.
        let start = || size.saturating_sub((1 << TAIL_BITS) + BLOCK);
        (!size.is_multiple_of(BLOCK)).then(start)
    }

    /// The tail that [`Self::start`] has said the beginning of.
    pub(crate) fn new(start: u64, bytes: Vec<u8>) -> Self {
        Self { start, bytes }
    }

    /// True if what ends at `end` has bytes in the block that is not whole.
    pub(super) fn begins_before(&self, end: u64) -> bool {
        let size = self.start + self.bytes.len() as u64;
        end > size / BLOCK * BLOCK
    }

    /// The bytes between two places of the stream.
    ///
    /// # Errors
    ///
    /// `Invalid` if the stream is shorter than its index says.
    pub(super) fn bytes(&self, start: u64, end: u64) -> Result<&[u8]> {
        let at = |place: u64| usize::try_from(place.checked_sub(self.start)?).ok();
        at(start)
            .zip(at(end))
            .and_then(|(start, end)| self.bytes.get(start..end))
            .ok_or_else(Self::lost)
    }

    pub(super) fn lost() -> Error {
        Error::invalid("a layer's stream ends before its last file does")
    }
}
