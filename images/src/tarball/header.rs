//! One 512-byte header block, with every number checked.

use tar::{EntryType, Header};

use super::MemberKind;
use crate::error::{Error, Result};

/// Size of a tar block in bytes.
pub(crate) const BLOCK: usize = 512;

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
}

impl RawHeader {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self> {
        let header = Header::from_byte_slice(block);
        let fields = header.as_old();
        check_sum(block, fields.cksum)?;
        let path = header.path_bytes().into_owned();
        let seconds = signed("mtime", &fields.mtime)?;
        Ok(Self {
            kind: kind(header, &path)?,
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
        EntryType::Char | EntryType::Block => MemberKind::Device,
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
        EntryType::GNUSparse => return Err(sparse()),
        other => {
            return Err(Error::unsupported(format!(
                "a tar member of unknown type {:?}",
                char::from(other.as_byte())
            )));
        }
    };
    Ok(Kind::Member(member))
}

pub(super) fn sparse() -> Error {
    Error::unsupported(
        "the layer has a sparse file, which container tools do not write; \
         create the archive without tar's --sparse",
    )
}

fn check_sum(block: &[u8; BLOCK], field: [u8; 8]) -> Result<()> {
    let is_field = |index: usize| (148..156).contains(&index);
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(index, &byte)| u64::from(if is_field(index) { b' ' } else { byte }))
        .sum();
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
