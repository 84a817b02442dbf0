//! Extension headers: PAX records and GNU long names, and how they apply.
//!
//! At most one of each kind may precede a member, and the two families may not
//! be mixed: no rule says which of them wins, so readers disagree.

use super::header::{RawHeader, Timestamp};
use super::sparse::{self, Segment};
use super::{Member, MemberKind, check_name};
use crate::error::{Error, Result, quoted};

/// Longest extended attribute name and value, in bytes: the kernel's limits.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 64 * 1024;
/// Most extended attributes of one member.
const XATTRS_MAX: usize = 1000;

/// The extensions that precede one member.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pax: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The records of one PAX header that have a meaning here.
#[derive(Debug, Default)]
struct Records {
    path: Option<Vec<u8>>,
    linkpath: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<Timestamp>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: SparseRecords,
}

/// The records of GNU tar's three formats for sparse files.
#[derive(Debug, Default)]
struct SparseRecords {
    /// 1.0 is the format with the map in the content; otherwise both are absent.
    version: (Option<u64>, Option<u64>),
    name: Option<Vec<u8>>,
    size: Option<u64>,
    numbers: Vec<u64>,
    /// True once a map was given, even an empty one.
    mapped: bool,
}

/// A sparse file as PAX records describe it.
#[derive(Debug)]
pub(super) struct PaxSparse {
    pub(super) size: u64,
    /// None if the content begins with the map.
    pub(super) segments: Option<Vec<Segment>>,
}

impl Extensions {
    pub(super) fn add_pax(&mut self, payload: &[u8]) -> Result<()> {
        let mut records = Records::default();
        for_each_record(payload, |key, value| records.set(key, value))?;
        match self.pax.replace(records) {
            None => self.require_one_family(),
            Some(_) => Err(repeated()),
        }
    }

    pub(super) fn add_long_name(&mut self, payload: Vec<u8>) -> Result<()> {
        match self.long_name.replace(until_nul(payload)) {
            None => self.require_one_family(),
            Some(_) => Err(repeated()),
        }
    }

    pub(super) fn add_long_link(&mut self, payload: Vec<u8>) -> Result<()> {
        match self.long_link.replace(until_nul(payload)) {
            None => self.require_one_family(),
            Some(_) => Err(repeated()),
        }
    }

    fn require_one_family(&self) -> Result<()> {
        if self.pax.is_some() && (self.long_name.is_some() || self.long_link.is_some()) {
            return Err(Error::invalid(
                "a member has both PAX and GNU extensions, and nothing says which counts",
            ));
        }
        Ok(())
    }

    /// Fails if an extension has no member that it belongs to.
    pub(super) fn require_none(&self) -> Result<()> {
        if self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some() {
            return Err(Error::invalid(
                "an extension header is not followed by a member",
            ));
        }
        Ok(())
    }

    /// The member that `header` and these extensions describe together.
    pub(super) fn apply(
        self,
        header: RawHeader,
        kind: MemberKind,
    ) -> Result<(Member, Option<PaxSparse>)> {
        let mut pax = self.pax.unwrap_or_default();
        let sparse_name = pax.sparse.name.take();
        let sparse = pax.sparse.finish()?;
        let path = sparse_name
            .filter(|_| sparse.is_some())
            .or(pax.path)
            .or(self.long_name)
            .unwrap_or(header.path);
        let link = pax.linkpath.or(self.long_link).unwrap_or(header.link);
        check_name("the member name", &path)?;
        check_name("the link target", &link)?;
        let size = match kind {
            MemberKind::Regular => pax.size.unwrap_or(header.size),
            _ => 0,
        };
        let member = Member {
            path,
            link,
            kind,
            size,
            sparse: None,
            device: header.device,
            mode: header.mode,
            uid: pax.uid.unwrap_or(header.uid),
            gid: pax.gid.unwrap_or(header.gid),
            mtime: pax.mtime.unwrap_or(header.mtime),
            xattrs: pax.xattrs,
        };
        Ok((member, sparse))
    }
}

impl SparseRecords {
    fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        match key {
            "major" => self.version.0 = Some(decimal(key, value)?),
            "minor" => self.version.1 = Some(decimal(key, value)?),
            "name" => self.name = Some(filled(key, value)?),
            "size" | "realsize" => self.size = Some(decimal(key, value)?),
            "numblocks" => self.mapped = true,
            "offset" | "numbytes" => {
                let expected = if self.numbers.len().is_multiple_of(2) {
                    "offset"
                } else {
                    "numbytes"
                };
                if key != expected {
                    return Err(sparse::bad("its map is out of order"));
                }
                self.numbers.push(decimal(key, value)?);
            }
            "map" => {
                self.mapped = true;
                self.numbers = value
                    .split(|&byte| byte == b',')
                    .filter(|_| !value.is_empty())
                    .map(|number| decimal(key, number))
                    .collect::<Result<_>>()?;
            }
            _ => {
                return Err(Error::unsupported(format!(
                    "the PAX record GNU.sparse.{} is not known",
                    key.escape_debug()
                )));
            }
        }
        Ok(())
    }

    /// None if the records describe no sparse file.
    fn finish(self) -> Result<Option<PaxSparse>> {
        let mapped = self.mapped || !self.numbers.is_empty();
        let segments = match self.version {
            (None, None) | (Some(0), Some(0 | 1)) if mapped => Some(sparse::pairs(&self.numbers)?),
            (None, None) if self.size.is_none() => return Ok(None),
            (Some(1), Some(0)) => None,
            _ => {
                return Err(Error::unsupported(
                    "a sparse file is in a format that is not known",
                ));
            }
        };
        let size = self
            .size
            .ok_or_else(|| sparse::bad("it does not say its size"))?;
        Ok(Some(PaxSparse { size, segments }))
    }
}

impl Records {
    /// Takes one record; of repeated keys the last counts.
    fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        match key {
            "path" => self.path = Some(filled(key, value)?),
            "linkpath" => self.linkpath = Some(filled(key, value)?),
            "size" => self.size = Some(decimal(key, value)?),
            "uid" => self.uid = Some(decimal(key, value)?),
            "gid" => self.gid = Some(decimal(key, value)?),
            "mtime" => self.mtime = Some(timestamp(value)?),
            _ => {
                if let Some(key) = key.strip_prefix("GNU.sparse.") {
                    self.sparse.set(key, value)?;
                }
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.set_xattr(name.as_bytes(), value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        if name.is_empty() || name.contains(&0) {
            return Err(Error::invalid("an extended attribute has a malformed name"));
        }
        if name.len() > XATTR_NAME_MAX || value.len() > XATTR_VALUE_MAX {
            return Err(Error::limit(format!(
                "the extended attribute {} is larger than Linux allows",
                quoted(name)
            )));
        }
        self.xattrs.retain(|(known, _)| known != name);
        if self.xattrs.len() == XATTRS_MAX {
            return Err(Error::limit(
                "a member has more than 1000 extended attributes",
            ));
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

/// Checks a global header: it may comment, and must not rename or resize.
pub(super) fn check_global(payload: &[u8]) -> Result<()> {
    for_each_record(payload, |key, _| {
        if matches!(key, "path" | "linkpath" | "size") || key.starts_with("GNU.sparse.") {
            return Err(Error::invalid(format!(
                "a global PAX header sets {} for all members",
                quoted(key)
            )));
        }
        Ok(())
    })
}

/// Walks `LENGTH KEY=VALUE\n` records; the declared length must be exact.
fn for_each_record(
    mut payload: &[u8],
    mut each: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    while !payload.is_empty() {
        let (key, value, rest) =
            record(payload).ok_or_else(|| Error::invalid("a PAX header has a malformed record"))?;
        each(key, value)?;
        payload = rest;
    }
    Ok(())
}

fn record(payload: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    // The longest record that fits into the largest payload has 7 digits.
    let space = payload.iter().take(8).position(|&byte| byte == b' ')?;
    let digits = &payload[..space];
    if digits.is_empty() || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let record = payload.get(space + 1..length)?;
    let record = record.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let key = std::str::from_utf8(&record[..equals]).ok()?;
    if key.is_empty() || key.contains('\0') {
        return None;
    }
    Some((key, &record[equals + 1..], &payload[length..]))
}

fn filled(key: &str, value: &[u8]) -> Result<Vec<u8>> {
    if value.is_empty() {
        return Err(Error::invalid(format!("a PAX header empties {key}")));
    }
    Ok(value.to_vec())
}

fn decimal(key: &str, value: &[u8]) -> Result<u64> {
    let digits = value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|&number| i64::try_from(number).is_ok())
        .ok_or_else(|| Error::invalid(format!("a PAX header has a malformed {key}")))
}

/// `[-]SECONDS[.FRACTION]`; seconds beyond any file system are clamped.
fn timestamp(value: &[u8]) -> Result<Timestamp> {
    parse_timestamp(value).ok_or_else(|| Error::invalid("a PAX header has a malformed mtime"))
}

fn parse_timestamp(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds = whole.parse::<i64>().unwrap_or(i64::MAX);
    let nanoseconds = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Timestamp {
            seconds: -seconds - i64::from(seconds != i64::MAX),
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn until_nul(mut payload: Vec<u8>) -> Vec<u8> {
    if let Some(end) = payload.iter().position(|&byte| byte == 0) {
        payload.truncate(end);
    }
    payload
}

fn repeated() -> Error {
    Error::invalid("two extension headers of one kind precede one member")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_records_are_refused() {
        for payload in [
            &b"9 path=a"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"0 path=a\n",
            b"-9 path=a\n",
            b"+9 path=a\n",
            b"09 path=a\n",
            b"9 pathaa\n",
            b"7 =abc\n",
            b"99999999999999999999 path=a\n",
            b"path=a\n",
            b"9 path=a\nx",
            b"9 p\xffth=a\n",
            b"8 path=\n",
            b"8 size=\n",
            b"10 size=-1\n",
            b"10 size=+1\n",
            b"29 size=18446744073709551615\n",
        ] {
            let shown = String::from_utf8_lossy(payload);
            assert!(Extensions::default().add_pax(payload).is_err(), "{shown}");
        }
    }

    #[test]
    fn values_may_hold_newlines_and_the_last_of_a_key_counts() {
        let mut extensions = Extensions::default();
        extensions
            .add_pax(b"9 path=a\n26 SCHILY.xattr.user.x=\n\n\n9 path=b\n")
            .unwrap();
        let records = extensions.pax.unwrap();
        assert_eq!(records.path.unwrap(), b"b");
        assert_eq!(records.xattrs, [(b"user.x".to_vec(), b"\n\n".to_vec())]);
    }

    #[test]
    fn timestamps() {
        let at = |seconds, nanoseconds| {
            Some(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        for (text, expected) in [
            ("0", at(0, 0)),
            ("12.5", at(12, 500_000_000)),
            ("-1", at(-1, 0)),
            ("-1.25", at(-2, 750_000_000)),
            ("1.0000000019", at(1, 1)),
            ("99999999999999999999", at(i64::MAX, 0)),
            ("-99999999999999999999.5", at(-i64::MAX, 500_000_000)),
            ("", None),
            (".5", None),
            ("1e9", None),
            ("1.-5", None),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn global_headers_may_only_comment() {
        assert!(check_global(b"13 comment=x\n").is_ok());
        assert!(check_global(b"9 path=a\n").is_err());
        assert!(check_global(b"9 size=1\n").is_err());
    }
}
