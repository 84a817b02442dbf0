//! [`RegistryReference`]: the grammar of Docker's image names. Pure text.

use std::fmt;
use std::str::FromStr;

use crate::Digest;
use crate::error::{Error, Result, quoted};

/// Longest name of a repository with its host, in bytes, as in Docker.
const NAME_MAX: usize = 255;
/// Longest tag, in bytes.
const TAG_MAX: usize = 128;
/// The host that names without one are on.
const DOCKER_HUB: &str = "docker.io";

/// An image in a registry: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
///
/// Without a host the image is on Docker Hub, where official images are below
/// `library/`. With a digest the tag is decoration, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RegistryReference {
    /// Host name or address, and the port if one was given.
    pub host: String,
    /// The name in the registry, for example `library/alpine`.
    pub repository: String,
    /// The tag that was given.
    pub tag: Option<String>,
    /// The digest that was given, of an image manifest or index.
    pub digest: Option<Digest>,
}

impl RegistryReference {
    /// What the registry is asked for: the digest, the tag, or `latest`.
    pub fn identifier(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The host without its port.
    pub(crate) fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for RegistryReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash begins the tag; before it, the port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].split_once(':') {
            Some((last, tag)) => (&rest[..name_start + last.len()], Some(tag)),
            None => (rest, None),
        };
        let malformed =
            |why: &str| Error::invalid(format!("image name {} is malformed: {why}", quoted(text)));
        let (host, repository) = split_host(name);
        if !is_host(host) {
            return Err(malformed(
                "its host is neither a name nor an address, with a port or without",
            ));
        }
        if repository.is_empty() {
            return Err(malformed("it names no repository"));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(malformed(
                "a repository has lower-case letters and digits, between them single '.', '_', \
                 '__' or '-', in parts that are separated by '/'",
            ));
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(malformed(
                "a tag has at most 128 letters, digits, '_', '.' and '-', and begins with neither \
                 of the last two",
            ));
        }
        let repository = if host == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if host.len() + 1 + repository.len() > NAME_MAX {
            return Err(malformed("it is longer than 255 characters"));
        }
        Ok(Self {
            host: host.to_owned(),
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Reads `text` as an image in a registry if it names a host, as in
/// `localhost:5000/fn` or `123456789012.dkr.ecr.eu-west-1.amazonaws.com/fn:1`.
///
/// Anything else, such as `fn:1` or `dist/image.tar`, is left to be a path.
pub fn registry_reference(text: &str) -> Option<RegistryReference> {
    let (first, _) = text.split_once('/')?;
    if !has_host(first) {
        return None;
    }
    text.parse().ok()
}

/// True if the first part of a name is its host and not a part of its path.
fn has_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => (DOCKER_HUB, rest),
        Some((first, rest))
            if has_host(first) || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address without a port ends with its bracket.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if let Some(port) = port
        && (port.starts_with('+') || port.parse::<u16>().map_or(true, |port| port == 0))
    {
        return false;
    }
    if let Some(address) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    name.split('.').all(|label| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    // Runs of letters and digits with one separator between each two of them.
    let mut separator = Some(String::new());
    for character in part.bytes() {
        if alphanumeric(character) {
            let done = separator.take().unwrap_or_default();
            let dashes = !done.is_empty() && done.bytes().all(|byte| byte == b'-');
            if !dashes && !["", ".", "_", "__"].contains(&done.as_str()) {
                return false;
            }
        } else {
            match &mut separator {
                // At the beginning, before any letter or digit.
                Some(run) if run.is_empty() => return false,
                Some(run) => run.push(char::from(character)),
                None => separator = Some(char::from(character).to_string()),
            }
        }
    }
    separator.is_none()
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn grammar_table() {
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        for (text, host, repository, tag, by_digest) in [
            ("alpine", "docker.io", "library/alpine", None, false),
            ("alpine:3", "docker.io", "library/alpine", Some("3"), false),
            ("me/fn", "docker.io", "me/fn", None, false),
            ("index.docker.io/a", "docker.io", "library/a", None, false),
            ("localhost/fn:1", "localhost", "fn", Some("1"), false),
            (
                "localhost:5000/a/b_c",
                "localhost:5000",
                "a/b_c",
                None,
                false,
            ),
            ("[::1]:5000/fn", "[::1]:5000", "fn", None, false),
            ("[::1]/fn:x", "[::1]", "fn", Some("x"), false),
            ("127.0.0.1:80/fn", "127.0.0.1:80", "fn", None, false),
            (
                &format!("{ecr}/fn:v1.0_x"),
                ecr,
                "fn",
                Some("v1.0_x"),
                false,
            ),
            (&format!("{ecr}/a/b/c"), ecr, "a/b/c", None, false),
            (
                &format!("h.io/a:t@sha256:{HEX}"),
                "h.io",
                "a",
                Some("t"),
                true,
            ),
            (&format!("h.io/a@sha256:{HEX}"), "h.io", "a", None, true),
            ("h.io/a--b.c__d", "h.io", "a--b.c__d", None, false),
            ("HOST/a", "HOST", "a", None, false),
        ] {
            let parsed: RegistryReference = text.parse().unwrap();
            assert_eq!(
                (parsed.host.as_str(), parsed.repository.as_str()),
                (host, repository)
            );
            assert_eq!(parsed.tag.as_deref(), tag, "{text}");
            assert_eq!(parsed.digest.is_some(), by_digest, "{text}");
        }
        let long = format!("h.io/{}", "a".repeat(251));
        let long_tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "h.io/",
            "h.io//a",
            "h.io/A",
            "Alpine",
            "h.io/a_-b",
            "h.io/a___b",
            "h.io/a..b",
            "h.io/../etc/passwd",
            "h.io/-a",
            "h.io/a-",
            "h.io/a:",
            "h.io/a:-x",
            "h.io/a:x y",
            "h.io/a:x:y",
            "h.io/a@",
            "h.io/a@sha256:123",
            "h.io/a@sha512:123",
            "h.io:0/a",
            "h.io:99999/a",
            "h.io:+1/a",
            "h..io/a",
            "-h.io/a",
            "u@h.io/a",
            "h.io/a?b",
            "h.io/a#b",
            "h.io/a%2e",
            "[::g]/a",
            "h.io/a\n",
            "\u{1b}[2Jh.io/a",
            &long,
            &long_tag,
        ] {
            let error = text.parse::<RegistryReference>().unwrap_err();
            assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
        }
    }

    #[test]
    fn only_a_host_makes_a_bare_name_a_registry_reference() {
        for text in [
            "localhost/fn",
            "localhost:5000/fn:1",
            "127.0.0.1:5000/a/b",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/fn:tag",
            "public.ecr.aws/lambda/python:3.13",
            "docker.io/library/alpine",
        ] {
            assert!(registry_reference(text).is_some(), "{text}");
        }
        for text in [
            "alpine", "alpine:3", "me/fn", "./fn", "../fn", "/fn", "a/b.tar", "fn.tar", "./a.b/c",
            "..a/b", "h.io/A",
        ] {
            assert!(registry_reference(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_what_parses_to_the_same(
            text in "([a-zA-Z0-9.:\\[\\]-]{1,12}/)?[a-z0-9._/-]{1,20}(:[\\w.-]{0,6})?|\\PC{0,40}"
        ) {
            if let Ok(reference) = text.parse::<RegistryReference>() {
                let again: RegistryReference = reference.to_string().parse().unwrap();
                prop_assert_eq!(again, reference);
            }
        }
    }
}
