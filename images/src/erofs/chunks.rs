//! How a file that lies in a tar stream is cut into chunks.

use super::format::{
    BLOCK, BLOCK_BITS, CHUNK_BITS_MAX, CHUNK_INDEX_SIZE, HOLE, chunk_format, chunk_index,
};
use crate::error::{Error, Result};
use crate::tree::Extents;

/// The chunks of a file: all of one size, each wholly a piece or wholly a hole.
///
/// Their number needs no limit of its own. Holes count as bytes of the image, so all
/// its sparse files together have at most 10 GiB, in blocks: 160 MiB of metadata,
/// where pieces of 4 KiB, which is what file systems have, take an eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    bits: u32,
    count: u64,
}

impl Chunks {
    /// Chooses the largest size that fits.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the pieces of a sparse file do not begin on blocks.
    pub(super) fn of(extents: &Extents) -> Result<Self> {
        let whole = extents.size.max(1).checked_next_power_of_two();
        let mut bits = whole.map_or(u32::MAX, u64::trailing_zeros);
        bits = bits.clamp(BLOCK_BITS.into(), CHUNK_BITS_MAX);
        if extents.pieces.is_some() {
            for (place, piece) in extents.placed() {
                let end = piece.offset + piece.length;
                // The last piece may end where the file does.
                let borders = [piece.offset, if end == extents.size { 0 } else { end }];
                let aligned = borders.map(u64::trailing_zeros);
                bits = aligned.into_iter().fold(bits, u32::min);
                if !place.is_multiple_of(BLOCK) {
                    bits = 0;
                }
            }
        }
        let count = extents.size.div_ceil(1 << bits);
        if bits < BLOCK_BITS.into() {
            return Err(Error::unsupported(
                "a sparse file has pieces that are no multiples of 512 bytes, so it cannot be \
                 mounted from its tar stream; create the archive without tar's --sparse",
            ));
        }
        Ok(Self { bits, count })
    }

    /// Bytes of metadata.
    pub(super) fn size(self) -> u64 {
        self.count * CHUNK_INDEX_SIZE
    }

    /// The address of the file's inode.
    pub(super) fn format(self) -> u32 {
        chunk_format(self.bits)
    }

    /// The metadata; `device` is the tar stream's.
    pub(super) fn to_bytes(self, extents: &Extents, device: u16) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (place, piece) in extents.placed() {
            let first = piece.offset >> self.bits;
            let last = (piece.offset + piece.length).div_ceil(1 << self.bits);
            for _ in out.len() as u64 / CHUNK_INDEX_SIZE..first {
                out.extend_from_slice(&HOLE);
            }
            for chunk in first..last {
                let place = place + ((chunk - first) << self.bits);
                let block = u32::try_from(place / BLOCK)
                    .map_err(|_| Error::limit("a layer is larger than 2 TiB"))?;
                out.extend_from_slice(&chunk_index(device, block));
            }
        }
        for _ in out.len() as u64 / CHUNK_INDEX_SIZE..self.count {
            out.extend_from_slice(&HOLE);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tarball::Segment;

    fn extents(size: u64, pieces: Option<&[(u64, u64)]>) -> Extents {
        let segment = |&(offset, length): &(u64, u64)| Segment { offset, length };
        Extents {
            size,
            offset: 1024,
            pieces: pieces.map(|pieces| pieces.iter().map(segment).collect()),
        }
    }

    #[test]
    fn a_plain_file_is_one_chunk_whatever_its_size() {
        for (size, bits) in [
            (1, 9),
            (512, 9),
            (513, 10),
            (1 << 20, 20),
            ((1 << 20) + 1, 21),
            (10 << 30, 34),
        ] {
            let chunks = Chunks::of(&extents(size, None)).unwrap();
            assert_eq!(chunks, Chunks { bits, count: 1 }, "{size}");
        }
    }

    #[test]
    fn pieces_and_holes_have_chunks_of_their_own() {
        let file = extents(20_000, Some(&[(4096, 4096), (16_384, 3616)]));
        let chunks = Chunks::of(&file).unwrap();
        assert_eq!(chunks, Chunks { bits: 12, count: 5 });
        let bytes = chunks.to_bytes(&file, 3).unwrap();
        let expected = [HOLE, chunk_index(3, 2), HOLE, HOLE, chunk_index(3, 10)];
        assert_eq!(bytes, expected.concat());
        // Nothing but a hole, at the end.
        let empty = extents(1 << 20, Some(&[]));
        let chunks = Chunks::of(&empty).unwrap();
        assert_eq!(chunks.to_bytes(&empty, 1).unwrap(), HOLE);
        for bad in [&[(0, 100), (512, 512)][..], &[(100, 512)]] {
            assert!(Chunks::of(&extents(4096, Some(bad))).is_err(), "{bad:?}");
        }
    }
}
