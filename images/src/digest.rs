//! [`Digest`]: the only key to a blob, checked before it becomes part of a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result, quoted};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes.as_ref());
        hasher.finish()
    }

    /// The digest with these 64 hexadecimal digits, as in the name of a file.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        parse_hex(hex).map(Self)
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the algorithm: a safe file name.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 0xf] {
                hex.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((algorithm, hex)) = text.split_once(':') else {
            return Err(Error::invalid(format!(
                "{} is not a digest (expected sha256: and 64 lower-case hexadecimal digits)",
                quoted(text)
            )));
        };
        if algorithm != "sha256" {
            return Err(Error::unsupported(format!(
                "digest {} uses an algorithm other than sha256, the only one that Lambda's images use",
                quoted(text)
            )));
        }
        parse_hex(hex).map(Self).ok_or_else(|| {
            Error::invalid(format!(
                "digest {} does not have 64 lower-case hexadecimal digits",
                quoted(text)
            ))
        })
    }
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Computes a [`Digest`] over a stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_empty_string_has_its_published_digest() {
        assert_eq!(Digest::of("").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(""));
    }

    #[test]
    fn whatever_could_become_a_path_is_refused() {
        let hex = &EMPTY["sha256:".len()..];
        for (text, kind) in [
            (String::new(), ErrorKind::Invalid),
            ("sha256:".to_owned(), ErrorKind::Invalid),
            ("sha256:..".to_owned(), ErrorKind::Invalid),
            (
                "sha256:../../../../etc/passwd".to_owned(),
                ErrorKind::Invalid,
            ),
            (format!("sha256:{}", &hex[1..]), ErrorKind::Invalid),
            (format!("sha256:{hex}0"), ErrorKind::Invalid),
            (format!("sha256:{}", hex.to_uppercase()), ErrorKind::Invalid),
            (format!("sha256:{}/", &hex[1..]), ErrorKind::Invalid),
            (format!("SHA256:{hex}"), ErrorKind::Unsupported),
            (format!("sha512:{hex}{hex}"), ErrorKind::Unsupported),
            (hex.to_owned(), ErrorKind::Invalid),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap_err().kind(), kind, "{text}");
        }
    }
}
