//! From a layer's blob to its tar stream: plain, gzip or zstd, told by the first
//! bytes.
//!
//! As in Docker and containerd the content decides and not the media type; the
//! diff ID makes sure that both sides mean the same stream.

mod zstd;

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use self::zstd::MultiZstd;
use crate::error::{Error, ErrorKind};

/// Compressions that are refused by name, by their first bytes.
const REFUSED: [(&[u8], &str); 4] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
];
const GZIP: &[u8] = b"\x1f\x8b";

/// How many bytes tell the compressions apart.
const MAGIC_MAX: u64 = 6;

/// A compression that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The tar stream itself.
    Plain,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames.
    Zstd,
}

impl Format {
    /// The compression of a stream that starts with these bytes, of which there
    /// are 6 unless the stream is shorter; the name of one that is not read.
    pub(crate) fn of(start: &[u8]) -> std::result::Result<Self, &'static str> {
        if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(name);
        }
        if start.starts_with(GZIP) {
            return Ok(Self::Gzip);
        }
        if zstd::is_magic(start) {
            return Ok(Self::Zstd);
        }
        Ok(Self::Plain)
    }
}

/// The first bytes, which were looked at, and the rest.
type Whole<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// A layer's tar stream.
#[derive(Debug)]
pub(crate) enum Decoder<R> {
    Plain(Whole<R>),
    Gzip(Box<MultiGzip<Whole<R>>>),
    Zstd(Box<MultiZstd<Whole<R>>>),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(mut blob: R) -> io::Result<Self> {
        // A blob that comes over a network may begin with a single byte.
        let mut start = Vec::new();
        blob.by_ref().take(MAGIC_MAX).read_to_end(&mut start)?;
        let format = Format::of(&start).map_err(|name| {
            Error::unsupported(format!(
                "the layer is compressed with {name}; save the image with gzip layers"
            ))
        })?;
        let blob = io::Cursor::new(start).chain(blob);
        Ok(match format {
            Format::Plain => Self::Plain(blob),
            Format::Gzip => Self::Gzip(Box::new(MultiGzip::new(blob))),
            Format::Zstd => Self::Zstd(Box::new(MultiZstd::new(blob)?)),
        })
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
            Self::Zstd(decoder) => decoder.read(buffer),
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
