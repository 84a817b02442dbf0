//! One 512-byte header block, with every number checked.

use std::ops::Range;

use tar::{EntryType, Header};

use super::sparse::{self, Segment};
use super::{BLOCK, MemberKind};
use crate::error::{Error, Result};

/// Fields that the tar crate has no public names for.
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
/// GNU tar's map of a sparse file: four pairs, a flag, and the whole size; then
/// blocks of 21 pairs and a flag.
const SPARSE_MAP: Range<usize> = 386..482;
const SPARSE_EXTENDED: usize = 482;
const SPARSE_SIZE: Range<usize> = 483..495;
const SPARSE_EXTENSION_EXTENDED: usize = 504;

/// Seconds and nanoseconds since 1970; nanoseconds count forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What a header block introduces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Member(MemberKind),
    /// GNU tar's own type for a sparse file; its map begins in the header.
    Sparse,
    Pax,
    PaxGlobal,
    LongName,
    LongLink,
}

/// A header block before extensions are applied.
#[derive(Debug)]
pub(super) struct RawHeader {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: Timestamp,
    /// Major and minor number; zeros but for devices.
    pub(super) device: (u64, u64),
    /// For GNU tar's sparse files.
    pub(super) sparse: Option<SparseHeader>,
}

/// The beginning of a sparse file's map.
#[derive(Debug)]
pub(super) struct SparseHeader {
    pub(super) size: u64,
    pub(super) segments: Vec<Segment>,
    /// True if the next block goes on with the map.
    pub(super) extended: bool,
}

impl RawHeader {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self> {
        let header = Header::from_byte_slice(block);
        let fields = header.as_old();
        check_sum(block, fields.cksum)?;
        let path = header.path_bytes().into_owned();
        let seconds = signed("mtime", &fields.mtime)?;
        let kind = kind(header, &path)?;
        let device = match kind {
            Kind::Member(MemberKind::CharacterDevice | MemberKind::BlockDevice) => (
                unsigned("device number", &block[DEVICE_MAJOR])?,
                unsigned("device number", &block[DEVICE_MINOR])?,
            ),
            _ => (0, 0),
        };
        let sparse = match kind {
            Kind::Sparse => Some(SparseHeader::parse(block)?),
            _ => None,
        };
        Ok(Self {
            kind,
            device,
            sparse,
            link: header
                .link_name_bytes()
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default(),
            size: unsigned("size", &fields.size)?,
            // Wider than 12 bits in some archives: the file type is repeated there.
            mode: u32::try_from(unsigned("mode", &fields.mode)? & 0o7777).unwrap_or_default(),
            uid: unsigned("uid", &fields.uid)?,
            gid: unsigned("gid", &fields.gid)?,
            mtime: Timestamp {
                seconds,
                nanoseconds: 0,
            },
            path,
        })
    }
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind> {
    let member = match header.entry_type() {
        // Before POSIX a directory was a file whose name ends in a slash. The
        // tar crate reports the old type byte, NUL, as a regular file too.
        EntryType::Regular if header.as_old().linkflag[0] == 0 && path.ends_with(b"/") => {
            MemberKind::Directory
        }
        EntryType::Regular | EntryType::Continuous => MemberKind::Regular,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => MemberKind::Symlink,
        EntryType::Link => MemberKind::Hardlink,
        EntryType::Char => MemberKind::CharacterDevice,
        EntryType::Block => MemberKind::BlockDevice,
        EntryType::Fifo => MemberKind::Fifo,
        kind @ (EntryType::XHeader | EntryType::XGlobalHeader) => {
            if header.as_ustar().is_none() {
                return Err(Error::invalid(
                    "a PAX extension in an archive that is not POSIX",
                ));
            }
            return Ok(match kind {
                EntryType::XHeader => Kind::Pax,
                _ => Kind::PaxGlobal,
            });
        }
        EntryType::GNULongName => return Ok(Kind::LongName),
        EntryType::GNULongLink => return Ok(Kind::LongLink),
        EntryType::GNUSparse => return Ok(Kind::Sparse),
        other => {
            return Err(Error::unsupported(format!(
                "a tar member of unknown type {:?}",
                char::from(other.as_byte())
            )));
        }
    };
    Ok(Kind::Member(member))
}

impl SparseHeader {
    fn parse(block: &[u8; BLOCK]) -> Result<Self> {
        let mut segments = Vec::new();
        sparse_fields(&block[SPARSE_MAP], &mut segments)?;
        Ok(Self {
            size: unsigned("size", &block[SPARSE_SIZE])?,
            segments,
            extended: block[SPARSE_EXTENDED] != 0,
        })
    }
}

/// Adds the pieces of an extension block; true if there is another one.
pub(super) fn sparse_extension(block: &[u8; BLOCK], segments: &mut Vec<Segment>) -> Result<bool> {
    sparse_fields(&block[..SPARSE_EXTENSION_EXTENDED], segments)?;
    Ok(block[SPARSE_EXTENSION_EXTENDED] != 0)
}

/// Pairs of offset and length; the first empty field ends them.
fn sparse_fields(fields: &[u8], segments: &mut Vec<Segment>) -> Result<()> {
    for pair in fields.chunks_exact(24).take_while(|pair| pair[0] != 0) {
        let offset = unsigned("sparse map", &pair[..12])?;
        let length = unsigned("sparse map", &pair[12..])?;
        sparse::push(segments, offset, length)?;
    }
    Ok(())
}

fn check_sum(block: &[u8; BLOCK], field: [u8; 8]) -> Result<()> {
    let add = |bytes: &[u8]| -> u64 { bytes.iter().map(|&byte| u64::from(byte)).sum() };
    // The field itself counts as blanks.
    let sum = add(block) - add(&field) + add(&[b' '; 8]);
    if octal(&field) == Some(sum) {
        return Ok(());
    }
    Err(Error::invalid("a tar header has a wrong checksum"))
}

/// A number that cannot be negative, octal or in the base-256 form.
fn unsigned(name: &str, field: &[u8]) -> Result<u64> {
    signed(name, field)?
        .try_into()
        .map_err(|_| bad_number(name))
}

fn signed(name: &str, field: &[u8]) -> Result<i64> {
    let value = match field[0] & 0xc0 {
        0x80 => base256(field, 0),
        0xc0 => base256(field, -1),
        _ => octal(field).and_then(|value| value.try_into().ok()),
    };
    value.ok_or_else(|| bad_number(name))
}

fn bad_number(name: &str) -> Error {
    Error::invalid(format!(
        "a tar header has a malformed or out-of-range {name}"
    ))
}

/// Two's complement, big endian; the first byte's top bit only marks the form.
fn base256(field: &[u8], sign: i64) -> Option<i64> {
    let mut value = sign;
    for (index, &byte) in field.iter().enumerate() {
        let byte = match (index, sign) {
            (0, 0) => byte & 0x7f,
            _ => byte,
        };
        value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
    }
    Some(value)
}

/// Octal digits between spaces and NULs; an empty field is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
                Some(-2),
            ),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"0000688\0", None),
            (b"-000001\0", None),
            (b"+000001\0", None),
        ] {
            assert_eq!(signed("n", field).ok(), expected, "{field:?}");
        }
        assert!(unsigned("size", b"\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }
}
