//! [`LayerPath`]: a member's name, cleaned as Go cleans it, inside the root.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result, quoted};

/// Longest file name and path that Linux takes, in bytes.
const NAME_MAX: usize = 255;
pub(crate) const PATH_MAX: usize = 4095;

/// A path relative to the root of a layer: no leading slash, no `.`, no `..`.
/// The root itself is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct LayerPath(Vec<u8>);

// As a whole, since it is the most of an index, and not byte by byte.
impl Serialize for LayerPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for LayerPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = <&[u8]>::deserialize(deserializer)?;
        Self::new(name).map_err(serde::de::Error::custom)
    }
}

impl LayerPath {
    /// Cleans a name. Absolute names are taken from the root of the layer;
    /// names that lead out of it are refused.
    pub(crate) fn new(name: &[u8]) -> Result<Self> {
        if is_clean(name) {
            return Ok(Self(name.to_vec()));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in name.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    if parts.pop().is_none() {
                        return Err(Error::new(
                            ErrorKind::UnsafePath,
                            format!("entry {} leads out of the image", quoted(name)),
                        ));
                    }
                }
                part if part.len() > NAME_MAX => {
                    return Err(Error::limit(format!(
                        "entry {} has a name of more than {NAME_MAX} bytes",
                        quoted(name)
                    )));
                }
                part => parts.push(part),
            }
        }
        let path = parts.join(&b'/');
        if path.len() > PATH_MAX {
            return Err(Error::limit(format!(
                "entry {} is longer than {PATH_MAX} bytes",
                quoted(name)
            )));
        }
        Ok(Self(path))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
    }

    /// The parent and the last name; `None` for the root.
    pub(crate) fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0),
        })
    }

    /// This directory's entry `name`, a single component.
    pub(crate) fn join(&self, name: &[u8]) -> Result<Self> {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if path.len() > PATH_MAX {
            return Err(Error::limit(format!(
                "entry {} is longer than {PATH_MAX} bytes",
                quoted(&path)
            )));
        }
        Ok(Self(path))
    }
}

/// True for what cleaning would leave as it is, which most names are.
fn is_clean(name: &[u8]) -> bool {
    let is_part = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part.len() <= NAME_MAX;
    name.len() <= PATH_MAX && name.split(|&byte| byte == b'/').all(is_part)
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted([b"/", self.as_bytes()].concat()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cleaning_table() {
        for (name, expected) in [
            ("a", Some("a")),
            ("./a/./b//c/", Some("a/b/c")),
            ("/etc/passwd", Some("etc/passwd")),
            ("///x", Some("x")),
            ("a/../b", Some("b")),
            ("", Some("")),
            ("/.", Some("")),
            ("..", None),
            ("a/..b/...", Some("a/..b/...")),
            ("../canary", None),
            ("a/../../canary", None),
            ("/../canary", None),
        ] {
            let cleaned = LayerPath::new(name.as_bytes()).ok();
            assert_eq!(
                cleaned.as_ref().map(LayerPath::as_bytes),
                expected.map(str::as_bytes),
                "{name}"
            );
        }
        assert!(LayerPath::new(&[b'a'; 256]).is_err());
        assert!(LayerPath::new(&b"a/".repeat(3000)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_interpret(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)) {
            if let Ok(path) = LayerPath::new(&name) {
                prop_assert!(path.components().all(|part| !matches!(part, b"" | b"." | b"..")));
                prop_assert!(!path.as_bytes().starts_with(b"/"));
                prop_assert_eq!(LayerPath::new(path.as_bytes()).unwrap(), path);
            }
        }
    }
}
