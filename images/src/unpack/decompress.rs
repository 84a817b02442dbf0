//! From a layer's blob to its tar stream: plain or gzip, told by the first bytes.
//!
//! As in Docker and containerd the content decides and not the media type; the
//! diff ID makes sure that both sides mean the same stream.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use crate::error::{Error, ErrorKind};

/// Compressions that are refused by name, by their first bytes.
const REFUSED: [(&[u8], &str); 5] = [
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
];
const GZIP: &[u8] = b"\x1f\x8b";

/// A layer's tar stream.
#[derive(Debug)]
pub(crate) enum Decoder<R> {
    Plain(R),
    Gzip(Box<MultiGzip<R>>),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(mut blob: R) -> io::Result<Self> {
        let start = blob.fill_buf()?;
        if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(Error::unsupported(format!(
                "the layer is compressed with {name}; save the image with gzip layers"
            ))
            .into());
        }
        if start.starts_with(GZIP) {
            return Ok(Self::Gzip(Box::new(MultiGzip::new(blob))));
        }
        Ok(Self::Plain(blob))
    }

    /// True if the tar stream is the blob itself.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blob) => blob.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// A gzip stream of any number of members, as eStargz and bgzip write.
///
/// Zero padding after the last member is accepted, as `gzip` does; anything else
/// is refused, which flate2's own decoder cannot tell apart.
#[derive(Debug)]
pub(crate) struct MultiGzip<R> {
    state: State<R>,
}

#[derive(Debug)]
enum State<R> {
    Member(Box<GzDecoder<R>>),
    Padding(R),
    Done,
}

impl<R: BufRead> MultiGzip<R> {
    fn new(blob: R) -> Self {
        Self {
            state: State::Member(Box::new(GzDecoder::new(blob))),
        }
    }

    /// Decides what follows a member.
    fn after_member(mut blob: R) -> io::Result<State<R>> {
        let state = match blob.fill_buf()?.first() {
            None => State::Done,
            Some(0) => State::Padding(blob),
            Some(0x1f) => State::Member(Box::new(GzDecoder::new(blob))),
            Some(_) => return Err(corrupt("there is something else behind the gzip stream")),
        };
        Ok(state)
    }
}

impl<R: BufRead> Read for MultiGzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Done => return Ok(0),
                State::Member(decoder) => {
                    let read = decoder.read(buffer).map_err(explain)?;
                    if read > 0 {
                        return Ok(read);
                    }
                    let State::Member(decoder) = std::mem::replace(&mut self.state, State::Done)
                    else {
                        return Ok(0);
                    };
                    self.state = Self::after_member(decoder.into_inner())?;
                }
                State::Padding(blob) => {
                    let padding = blob.fill_buf()?;
                    if padding.iter().any(|&byte| byte != 0) {
                        return Err(corrupt("there is something else behind the gzip stream"));
                    }
                    let length = padding.len();
                    blob.consume(length);
                    if length == 0 {
                        self.state = State::Done;
                    }
                }
            }
        }
    }
}

/// The decoder's own complaints become ours; errors of the blob below pass.
fn explain(error: io::Error) -> io::Error {
    let ours = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .is_some();
    match error.kind() {
        _ if ours => error,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            corrupt("the gzip stream is corrupt")
        }
        io::ErrorKind::UnexpectedEof => corrupt("the gzip stream is truncated"),
        _ => error,
    }
}

fn corrupt(why: &str) -> io::Error {
    Error::new(ErrorKind::Invalid, why).into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(blob: &[u8]) -> io::Result<Vec<u8>> {
        // One byte at a time: member borders fall between any two reads.
        let blob = io::BufReader::with_capacity(7, blob);
        let mut bytes = Vec::new();
        Decoder::new(blob)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn all_members_are_read() {
        let mut blob = gzip(b"one ");
        blob.extend(gzip(b""));
        for _ in 0..1000 {
            blob.extend(gzip(b"x"));
        }
        let bytes = decode(&blob).unwrap();
        assert_eq!(bytes.len(), 4 + 1000);
    }

    #[test]
    fn zeros_may_follow_and_nothing_else() {
        let mut blob = gzip(b"data");
        blob.extend([0; 1000]);
        assert_eq!(decode(&blob).unwrap(), b"data");
        blob.push(1);
        assert!(decode(&blob).is_err());
        assert!(decode(&[gzip(b"data"), b"junk".to_vec()].concat()).is_err());
        assert!(decode(&[gzip(b"data"), b"\x1fjunk".to_vec()].concat()).is_err());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed_or_harmless() {
        let blob = gzip(b"hello hello hello, this is a small layer");
        let whole = decode(&blob).unwrap();
        for cut in 2..blob.len() {
            assert!(decode(&blob[..cut]).is_err(), "cut at {cut}");
        }
        // Bytes 4 to 9 are the header's time and system, which mean nothing.
        for bit in (10 * 8)..blob.len() * 8 {
            let mut damaged = blob.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(bytes) = decode(&damaged) {
                assert_eq!(bytes, whole, "bit {bit}");
            }
        }
    }

    #[test]
    fn other_compressions_are_named() {
        for (magic, name) in REFUSED {
            let error = decode(&[magic, &[0; 100]].concat()).unwrap_err();
            assert!(error.to_string().contains(name));
        }
    }
}
