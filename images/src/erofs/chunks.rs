//! How a file that lies in a tar stream is cut into chunks.

use super::format::{
    BLOCK, BLOCK_BITS, CHUNK_BITS_MAX, CHUNK_INDEX_SIZE, HOLE, chunk_format, chunk_index,
};
use super::image::Device;
use super::tail::{TAIL_BITS, Tail};
use crate::error::{Error, Result};
use crate::tree::Extents;

/// The chunks of a file: all of one size, each wholly a piece or wholly a hole.
///
/// Their number needs no limit of its own. Holes count as bytes of the image, so all
/// its sparse files together have at most 10 GiB, in blocks: 160 MiB of metadata,
/// where pieces of 4 KiB, which is what file systems have, take an eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks<'a> {
    bits: u32,
    count: u64,
    /// The last bytes of the stream, if the kernel could not read the file's last chunk
    /// from there.
    tail: Option<&'a Tail>,
}

impl<'a> Chunks<'a> {
    /// Chooses the largest size that fits.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the pieces of a sparse file do not begin on blocks.
    pub(super) fn of(extents: &Extents, device: &'a Device) -> Result<Self> {
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
        let tail = device.tail.as_ref();
        let tail = tail.filter(|tail| tail.begins_before(extents.end()));
        if tail.is_some() {
            bits = bits.min(TAIL_BITS);
        }
        let count = extents.size.div_ceil(1 << bits);
        if bits < BLOCK_BITS.into() {
            return Err(Error::unsupported(
                "a sparse file has pieces that are no multiples of 512 bytes, so it cannot be \
                 mounted from its tar stream; create the archive without tar's --sparse",
            ));
        }
        Ok(Self { bits, count, tail })
    }

    /// Bytes of metadata.
    pub(super) fn size(self) -> u64 {
        self.count * CHUNK_INDEX_SIZE
    }

    /// The address of the file's inode.
    pub(super) fn format(self) -> u32 {
        chunk_format(self.bits)
    }

    /// Bytes of the last chunk that are kept in the image itself; none if it can stay
    /// where it is.
    ///
    /// # Errors
    ///
    /// `Invalid` if the stream does not have them.
    pub(super) fn aside(self, extents: &Extents) -> Result<&'a [u8]> {
        let Some(tail) = self.tail else {
            return Ok(&[]);
        };
        let placed = extents.placed();
        let (place, piece) = placed.last().ok_or_else(Tail::lost)?;
        let start = piece.length.saturating_sub(1) >> self.bits << self.bits;
        tail.bytes(place + start, extents.end())
    }

    /// The metadata; `device` is the tar stream's, and `aside` the block of the image
    /// that has the bytes of the last chunk, if it has.
    pub(super) fn to_bytes(
        self,
        extents: &Extents,
        device: u16,
        aside: Option<u32>,
    ) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let beyond = |end| self.tail.is_some_and(|tail| tail.begins_before(end));
        for (place, piece) in extents.placed() {
            let first = piece.offset >> self.bits;
            let last = (piece.offset + piece.length).div_ceil(1 << self.bits);
            for _ in out.len() as u64 / CHUNK_INDEX_SIZE..first {
                out.extend_from_slice(&HOLE);
            }
            for chunk in first..last {
                let start = (chunk - first) << self.bits;
                let end = place + piece.length.min(start + (1 << self.bits));
                let place = place + start;
                if let Some(block) = aside.filter(|_| beyond(end)) {
                    out.extend_from_slice(&chunk_index(0, block));
                    continue;
                }
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
    use crate::Digest;
    use crate::tarball::Segment;

    fn extents(size: u64, pieces: Option<&[(u64, u64)]>) -> Extents {
        let segment = |&(offset, length): &(u64, u64)| Segment { offset, length };
        Extents {
            size,
            offset: 1024,
            pieces: pieces.map(|pieces| Box::new(pieces.iter().map(segment).collect())),
        }
    }

    fn whole() -> Device {
        Device {
            diff_id: Digest::of(""),
            size: 1 << 40,
            tail: None,
        }
    }

    fn stays(bits: u32, count: u64) -> Chunks<'static> {
        let tail = None;
        Chunks { bits, count, tail }
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
            let device = whole();
            let chunks = Chunks::of(&extents(size, None), &device).unwrap();
            assert_eq!(chunks, stays(bits, 1), "{size}");
        }
    }

    #[test]
    fn pieces_and_holes_have_chunks_of_their_own() {
        let file = extents(20_000, Some(&[(4096, 4096), (16_384, 3616)]));
        let device = whole();
        let chunks = Chunks::of(&file, &device).unwrap();
        assert_eq!(chunks, stays(12, 5));
        let bytes = chunks.to_bytes(&file, 3, None).unwrap();
        let expected = [HOLE, chunk_index(3, 2), HOLE, HOLE, chunk_index(3, 10)];
        assert_eq!(bytes, expected.concat());
        // Nothing but a hole, at the end.
        let empty = extents(1 << 20, Some(&[]));
        let chunks = Chunks::of(&empty, &device).unwrap();
        assert_eq!(chunks.to_bytes(&empty, 1, None).unwrap(), HOLE);
        for bad in [&[(0, 100), (512, 512)][..], &[(100, 512)]] {
            let bad = extents(4096, Some(bad));
            assert!(Chunks::of(&bad, &device).is_err(), "{bad:?}");
        }
    }

    fn count(place: u64) -> u8 {
        place.to_le_bytes()[0]
    }

    /// A file at 1024 whose stream ends so many bytes behind it, filled with a count.
    fn cut(stored: u64, behind: u64) -> Device {
        let size = 1024 + stored + behind;
        let start = Tail::start(size);
        let bytes = |start| (start..size).map(count).collect();
        Device {
            size,
            tail: start.map(|start| Tail::new(start, bytes(start))),
            ..whole()
        }
    }

    #[test]
    fn a_chunk_in_a_block_that_ends_early_is_kept_aside() {
        for (size, behind, bits, chunks_of, aside) in [
            // It ends with a block, or the stream goes on.
            (1024, 0, 10, 1, 0),
            (1000, 24, 10, 1, 0),
            (1000, 600, 10, 1, 0),
            (1, 0, 9, 1, 1),
            (1, 510, 9, 1, 1),
            (513, 0, 10, 1, 513),
            (4095, 0, 12, 1, 4095),
            (4097, 100, 12, 2, 1),
            (1_000_003, 0, 12, 245, 1_000_003 % 4096),
        ] {
            let (file, device) = (extents(size, None), cut(size, behind));
            let chunks = Chunks::of(&file, &device).unwrap();
            assert_eq!((chunks.bits, chunks.count), (bits, chunks_of), "{size}");
            let bytes = chunks.aside(&file).unwrap();
            let expected: Vec<_> = (1024 + size - aside..1024 + size).map(count).collect();
            assert_eq!(bytes, expected, "{size}");
            let block = (aside > 0).then_some(77);
            let indexes = chunks.to_bytes(&file, 3, block).unwrap();
            let last = indexes.last_chunk().unwrap();
            let block = u32::try_from(2 + (((chunks_of - 1) << bits) >> 9)).unwrap();
            let stays = chunk_index(3, block);
            let goes = chunk_index(0, 77);
            assert_eq!(*last, if aside > 0 { goes } else { stays }, "{size}");
            assert_eq!(indexes.len() as u64, chunks.size(), "{size}");
        }
    }

    #[test]
    fn the_last_piece_is_kept_aside_and_holes_stay() {
        let file = extents(24_676, Some(&[(0, 4096), (16_384, 8292)]));
        let device = cut(4096 + 8292, 0);
        let chunks = Chunks::of(&file, &device).unwrap();
        assert_eq!(chunks.aside(&file).unwrap().len(), 100);
        let bytes = chunks.to_bytes(&file, 1, Some(9)).unwrap();
        let (first, second) = (chunk_index(1, 2), chunk_index(1, 10));
        let third = chunk_index(1, 18);
        let expected = [first, HOLE, HOLE, HOLE, second, third, chunk_index(0, 9)];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn an_index_that_leads_out_of_the_stream_is_refused() {
        for tail in [Tail::new(0, Vec::new()), Tail::new(1 << 20, vec![0; 100])] {
            let device = Device {
                tail: Some(tail),
                ..whole()
            };
            let file = extents(2 << 20, None);
            let chunks = Chunks::of(&file, &device).unwrap();
            assert!(chunks.aside(&file).is_err());
        }
    }
}
