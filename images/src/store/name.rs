//! [`ImageName`]: what a user calls a stored image. Pure text.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, quoted};
use crate::{Digest, ImageReference, RegistryReference};

/// Longest name, in bytes.
const LENGTH_MAX: usize = 255;

/// The name of an image in a store, for example `my-function`, `my-function:2` or
/// `docker.io/library/python:3.12`.
///
/// The grammar is that of names in OCI image layouts, so that other tools can
/// address the image too: words of letters and digits, with one of `-._:@+` or
/// `--` between them, in components with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a reference itself gives to its image, if it does: the one
    /// in a `docker-archive:FILE:NAME`, or in a layout if it says more than a tag.
    ///
    /// What an archive says about its own name never counts: it would move names
    /// that the user did not mention.
    pub fn of(reference: &ImageReference) -> Option<Self> {
        let name = match reference {
            ImageReference::DockerArchive { reference, .. } => reference.as_deref()?,
            ImageReference::OciLayout { tag, .. } | ImageReference::OciArchive { tag, .. } => {
                tag.as_deref().filter(|tag| tag.contains([':', '/']))?
            }
            ImageReference::Registry(reference) => return Self::of_registry(reference),
            ImageReference::Daemon { name } => return Self::of_registry(&name.parse().ok()?),
            // A file has no name but its own.
            ImageReference::Path { .. } => return None,
        };
        name.parse().ok()
    }

    /// The name of an image in a registry, with its tag. One that was asked for by
    /// its digest has no name: what the tag means was not looked at.
    pub fn of_registry(reference: &RegistryReference) -> Option<Self> {
        if reference.digest.is_some() {
            return None;
        }
        let tag = reference.tag.as_deref().unwrap_or("latest");
        format!("{}/{}:{tag}", reference.host, reference.repository)
            .parse()
            .ok()
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::invalid(format!(
                "{} is not a name for an image: {why}",
                quoted(text)
            )))
        };
        if text.len() > LENGTH_MAX {
            return refuse(&format!("it is longer than {LENGTH_MAX} characters"));
        }
        if !text.split('/').all(is_component) {
            return refuse(
                "a name is made of letters and digits, with single - . _ : @ + or / between them, \
                 as in my-function:2",
            );
        }
        if text.starts_with("sha256:") || text.starts_with("sha256-") {
            return refuse("it looks like a digest");
        }
        if !matches!(
            text.parse::<ImageReference>(),
            Ok(ImageReference::Path { .. })
        ) {
            return refuse("it begins as a reference to something outside of the store does");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words with separators between them.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let ends_in_words = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    ends_in_words
        && bytes.split(is_word).all(|between| {
            matches!(
                between,
                b"" | b"--" | [b'-' | b'.' | b'_' | b':' | b'@' | b'+']
            )
        })
}

/// The names that `text` may stand for, in the order in which they are tried:
/// itself, with the tag that is implied, and with Docker's registry.
pub(crate) fn candidates(text: &str) -> Vec<String> {
    let last = text.rsplit('/').next().unwrap_or(text);
    let mut names = vec![text.to_owned()];
    if !last.contains([':', '@']) {
        names.push(format!("{text}:latest"));
    } else if let Some(bare) = text.strip_suffix(":latest") {
        names.push(bare.to_owned());
    }
    let registry = text.split_once('/').map(|(first, _)| first);
    match registry {
        None => extend(&mut names, "docker.io/library/"),
        Some("docker.io") => {}
        Some(first) if first.contains(['.', ':']) || first == "localhost" => {}
        Some(_) => extend(&mut names, "docker.io/"),
    }
    names
}

fn extend(names: &mut Vec<String>, prefix: &str) {
    let full: Vec<_> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    names.extend(full);
}

/// The hexadecimal digits of `text` if it is a digest or the beginning of one.
pub(crate) fn digest_prefix(text: &str) -> Option<&str> {
    /// Fewer digits are more likely a name that was mistyped.
    const DIGITS_MIN: usize = 6;
    let hex = text
        .strip_prefix("sha256:")
        .or_else(|| text.strip_prefix("sha256-"))
        .unwrap_or(text);
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    ((DIGITS_MIN..=64).contains(&hex.len()) && hex.bytes().all(is_digit)).then_some(hex)
}

/// The name that every image has in the index, without the colon that other
/// tools split at.
pub(crate) fn identity(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_that_of_layouts() {
        for good in [
            "a",
            "a:1",
            "my-function",
            "docker.io/library/x:1",
            "a--b",
            "A.b_c+d@e",
        ] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "a b",
            "a\x1b",
            "-a",
            "a-",
            "a---b",
            "ä",
            "a..b",
            "sha256:abc",
            "sha256-abc",
            "oci:a",
            "docker-archive:a",
            &long,
        ] {
            let error = bad.parse::<ImageName>().unwrap_err().to_string();
            assert!(!error.contains('\x1b') && error.len() < 500);
        }
    }

    #[test]
    fn short_names_stand_for_long_ones() {
        assert_eq!(
            candidates("x"),
            [
                "x",
                "x:latest",
                "docker.io/library/x",
                "docker.io/library/x:latest"
            ]
        );
        assert_eq!(candidates("u/x:1"), ["u/x:1", "docker.io/u/x:1"]);
        assert_eq!(candidates("h.io/x"), ["h.io/x", "h.io/x:latest"]);
    }

    #[test]
    fn only_what_the_user_typed_names_an_image() {
        let of = |text: &str| ImageName::of(&text.parse().unwrap()).map(|name| name.0);
        assert_eq!(of("docker-archive:f.tar:x:1"), Some("x:1".to_owned()));
        assert_eq!(of("oci-archive:f.tar:x:1"), Some("x:1".to_owned()));
        assert_eq!(of("oci-archive:f.tar:latest"), None);
        assert_eq!(of("f.tar"), None);
    }

    #[test]
    fn digests_may_be_cut_short() {
        assert_eq!(digest_prefix("abcdef"), Some("abcdef"));
        assert_eq!(digest_prefix("sha256:abcdef"), Some("abcdef"));
        assert_eq!(digest_prefix("abcde"), None);
        assert_eq!(digest_prefix("ABCDEF"), None);
        assert_eq!(digest_prefix(&"a".repeat(65)), None);
    }
}
