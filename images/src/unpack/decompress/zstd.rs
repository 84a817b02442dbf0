//! zstd: any number of frames, with skippable ones between them, as pzstd,
//! zstd:chunked and the seekable format write.

use std::fmt;
use std::io::{self, BufRead, Read};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::corrupt;
use crate::error::Error;

/// Largest window of a frame, as a power of two: 128 MiB, which is also the
/// most that the zstd program accepts unless it is asked to. The decoder keeps
/// that much of every layer that is being read.
const WINDOW_LOG_MAX: u32 = 27;

/// The library's codes of the errors that have an explanation of their own.
const WINDOW_TOO_LARGE: usize = 16;
const DICTIONARY_WRONG: usize = 32;

/// True if a stream that starts so is zstd: a frame, or a skippable one.
pub(super) fn is_magic(start: &[u8]) -> bool {
    match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => true,
        [first, 0x2a, 0x4d, 0x18, ..] => first & 0xf0 == 0x50,
        _ => false,
    }
}

/// A zstd stream. What follows the last frame must be another frame.
pub(crate) struct MultiZstd<R> {
    blob: R,
    context: DCtx<'static>,
    /// True between two frames, where the stream may end.
    at_border: bool,
}

impl<R> fmt::Debug for MultiZstd<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiZstd").finish_non_exhaustive()
    }
}

impl<R: BufRead> MultiZstd<R> {
    pub(super) fn new(blob: R) -> io::Result<Self> {
        let mut context =
            DCtx::try_create().ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(explain)?;
        Ok(Self {
            blob,
            context,
            at_border: true,
        })
    }
}

impl<R: BufRead> Read for MultiZstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = self.blob.fill_buf()?;
            let at_end = bytes.is_empty();
            if at_end && self.at_border {
                return Ok(0);
            }
            // At the end of the blob too: the decoder may still hold output.
            let mut input = InBuffer::around(bytes);
            let mut output = OutBuffer::around(&mut *buffer);
            let wanted = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(explain)?;
            let (consumed, written) = (input.pos(), output.pos());
            self.blob.consume(consumed);
            self.at_border = wanted == 0;
            if written > 0 {
                return Ok(written);
            }
            if at_end && !self.at_border {
                return Err(corrupt("the zstd stream is truncated"));
            }
        }
    }
}

fn explain(code: usize) -> io::Error {
    match code.wrapping_neg() {
        WINDOW_TOO_LARGE => Error::limit(
            "the zstd stream needs a window above 128 MiB; compress it with a window of at most \
             that, without `--long=28` or more",
        )
        .into(),
        DICTIONARY_WRONG => Error::unsupported(
            "the zstd stream needs a dictionary, which image layers have no way to name; compress \
             it without one",
        )
        .into(),
        _ => corrupt(&format!(
            "the zstd stream is corrupt ({})",
            get_error_name(code)
        )),
    }
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::{CCtx, CParameter};

    use super::*;
    use crate::unpack::decompress::Decoder;

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut context = CCtx::create();
        context
            .set_parameter(CParameter::ChecksumFlag(true))
            .unwrap();
        let mut blob = Vec::with_capacity(bytes.len() + 1024);
        context.compress2(&mut blob, bytes).unwrap();
        blob
    }

    fn skippable(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        let mut frame = vec![0x50 | kind, 0x2a, 0x4d, 0x18];
        frame.extend(length.to_le_bytes());
        frame.extend(content);
        frame
    }

    fn decode(blob: &[u8]) -> Result<Vec<u8>, Error> {
        // Frame borders fall between any two reads.
        let blob = io::BufReader::with_capacity(7, blob);
        let mut bytes = Vec::new();
        Decoder::new(blob)
            .and_then(|mut decoder| decoder.read_to_end(&mut bytes))
            .map_err(|error| Error::io(|| "decoding".to_owned(), error))?;
        Ok(bytes)
    }

    #[test]
    fn all_frames_are_read_and_skippable_ones_skipped() {
        let mut blob = skippable(0, b"pzstd starts with one");
        blob.extend(zstd(b"one "));
        blob.extend(zstd(b""));
        for _ in 0..1000 {
            blob.extend(zstd(b"x"));
        }
        // zstd:chunked ends with its table of contents.
        blob.extend(skippable(15, &[7; 5000]));
        blob.extend(skippable(0, b""));
        assert_eq!(decode(&blob).unwrap().len(), 4 + 1000);
        let large = vec![42; 3_000_000];
        assert_eq!(decode(&zstd(&large)).unwrap(), large);
        assert_eq!(decode(&skippable(3, b"nothing else")).unwrap(), b"");
    }

    #[test]
    fn nothing_else_may_follow() {
        for junk in [
            &b"junk, and some more"[..],
            b"j",
            &[0; 100],
            b"\x1f\x8b\x08",
        ] {
            let error = decode(&[&zstd(b"data"), junk].concat()).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Invalid, "{error}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed_or_harmless() {
        let blob = [
            zstd(b"hello hello hello, this is a small layer"),
            skippable(1, b"abc"),
        ]
        .concat();
        let whole = decode(&blob).unwrap();
        let frame = zstd(&whole).len();
        for cut in (4..blob.len()).filter(|&cut| cut != frame) {
            assert!(decode(&blob[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 32..blob.len() * 8 {
            let mut damaged = blob.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bytes) = decode(&damaged) {
                assert_eq!(bytes, whole, "bit {bit}");
            }
        }
    }

    #[test]
    fn the_window_is_bounded() {
        for (log, accepted) in [(27_u8, true), (28, false), (31, false)] {
            // A frame of one empty last block, with a window descriptor.
            let mut blob = b"\x28\xb5\x2f\xfd\x00".to_vec();
            blob.extend([(log - 10) << 3, 1, 0, 0]);
            match decode(&blob) {
                Ok(bytes) => assert!(accepted && bytes.is_empty(), "2^{log}"),
                Err(error) => {
                    assert!(!accepted, "2^{log}: {error}");
                    assert_eq!(error.kind(), crate::ErrorKind::LimitExceeded);
                }
            }
        }
    }

    #[test]
    fn dictionaries_are_refused() {
        // Single segment, dictionary id in one byte, content size 0, empty block.
        let blob = b"\x28\xb5\x2f\xfd\x21\x05\x00\x01\x00\x00";
        let error = decode(blob).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("dictionary"));
    }
}
