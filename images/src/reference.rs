//! [`ImageReference`]: where an image is, in skopeo's transport names. Pure text.

mod registry;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use self::registry::{RegistryReference, registry_reference};
use crate::error::{Error, Result, quoted};

/// Where an image is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageReference {
    /// `oci:DIR[:TAG]`: a directory in the OCI image layout.
    OciLayout {
        /// The directory that holds `oci-layout` and `index.json`.
        path: PathBuf,
        /// The name in the layout's index, or `@N` for its N-th image from 0; needed
        /// when it holds several images.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`: a tar file of an OCI image layout.
    OciArchive {
        /// The tar file.
        path: PathBuf,
        /// The name in the layout's index, or `@N` for its N-th image from 0; needed
        /// when it holds several images.
        tag: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`: what `docker save` and `podman save` write.
    DockerArchive {
        /// The tar file.
        path: PathBuf,
        /// The image's name in the archive, or `@N` for its N-th image from 0; needed
        /// when it holds several images.
        reference: Option<String>,
    },
    /// `docker://[HOST[:PORT]/]NAME[:TAG][@DIGEST]`: an image in a registry.
    Registry(RegistryReference),
    /// `docker-daemon:NAME[:TAG|@DIGEST]` or `docker-daemon:sha256:ID`: an image
    /// of a Docker or Podman that runs on this machine.
    Daemon {
        /// The name or ID, as it was given.
        name: String,
    },
    /// A bare path, whose kind is found out by looking at it. One that does not
    /// exist and has the form of [`registry_reference`] is an image in a registry.
    Path {
        /// The file or directory.
        path: PathBuf,
    },
}

/// Transports of other tools that people will try; each is refused by name.
const FOREIGN_TRANSPORTS: [&str; 10] = [
    "containers-storage",
    "dir",
    "sif",
    "ostree",
    "tarball",
    "registry",
    "podman",
    "http",
    "https",
    "file",
];

impl FromStr for ImageReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("an empty image reference names no image"));
        }
        if text.contains('\0') {
            return Err(Error::invalid(format!(
                "image reference {} contains a NUL byte",
                quoted(text)
            )));
        }
        let Some((transport, rest)) = text.split_once(':') else {
            return Ok(Self::Path { path: text.into() });
        };
        match transport {
            "oci" => split(text, rest).map(|(path, tag)| Self::OciLayout { path, tag }),
            "oci-archive" => split(text, rest).map(|(path, tag)| Self::OciArchive { path, tag }),
            "docker-archive" => {
                split(text, rest).map(|(path, reference)| Self::DockerArchive { path, reference })
            }
            "docker" => match rest.strip_prefix("//") {
                Some(name) => name.parse().map(Self::Registry),
                None => Ok(Self::Path { path: text.into() }),
            },
            "docker-daemon" => daemon_name(text, rest).map(|name| Self::Daemon { name }),
            foreign if FOREIGN_TRANSPORTS.contains(&foreign) || rest.starts_with("//") => {
                Err(Error::unsupported(format!(
                    "image reference {} uses the transport {}, which Lambent does not read; \
                     save the image to a file first, for example \
                     `skopeo copy {} oci-archive:image.tar`",
                    quoted(text),
                    quoted(foreign),
                    text.escape_debug(),
                )))
            }
            _ => Ok(Self::Path { path: text.into() }),
        }
    }
}

/// A name as in a registry, or the ID of an image.
fn daemon_name(text: &str, name: &str) -> Result<String> {
    let is_id = |hex: &str| (4..=64).contains(&hex.len()) && hex.bytes().all(is_hex_digit);
    if let Some(id) = name.strip_prefix("sha256:") {
        if !is_id(id) {
            return Err(Error::invalid(format!(
                "image reference {} has a malformed ID: at most 64 lower-case hexadecimal digits",
                quoted(text)
            )));
        }
    } else {
        name.parse::<RegistryReference>()?;
    }
    Ok(name.to_owned())
}

fn is_hex_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// `PATH[:NAME]` after the transport. As in skopeo the path ends at the first colon.
fn split(text: &str, rest: &str) -> Result<(PathBuf, Option<String>)> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(Error::invalid(format!(
            "image reference {} has no path",
            quoted(text)
        )));
    }
    if let Some(name) = name {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@/+".contains(&byte);
        if name.is_empty() || name.len() > 512 || !name.bytes().all(plain) {
            return Err(Error::invalid(format!(
                "image reference {} has a malformed name after its path",
                quoted(text)
            )));
        }
    }
    Ok((path.into(), name.map(str::to_owned)))
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, name) = match self {
            Self::OciLayout { path, tag } => ("oci:", path, tag),
            Self::OciArchive { path, tag } => ("oci-archive:", path, tag),
            Self::DockerArchive { path, reference } => ("docker-archive:", path, reference),
            Self::Registry(reference) => return write!(f, "docker://{reference}"),
            Self::Daemon { name } => return write!(f, "docker-daemon:{name}"),
            Self::Path { path } => ("", path, &None),
        };
        write!(f, "{transport}{}", path.display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn grammar_table() {
        let oci = |path: &str, tag: Option<&str>| ImageReference::OciLayout {
            path: path.into(),
            tag: tag.map(str::to_owned),
        };
        let path = |path: &str| ImageReference::Path { path: path.into() };
        let daemon = |name: &str| ImageReference::Daemon { name: name.into() };
        for (text, expected) in [
            ("oci:dir", oci("dir", None)),
            ("oci:/a/b:latest", oci("/a/b", Some("latest"))),
            ("oci:d:localhost/x:1", oci("d", Some("localhost/x:1"))),
            ("image.tar", path("image.tar")),
            ("python:3.12", path("python:3.12")),
            ("./oci", path("./oci")),
            ("localhost:5000/fn:1", path("localhost:5000/fn:1")),
            (
                "docker://h.io/a:1",
                ImageReference::Registry("h.io/a:1".parse().unwrap()),
            ),
            ("docker-daemon:alpine:3", daemon("alpine:3")),
            ("docker-daemon:sha256:e3b0c442", daemon("sha256:e3b0c442")),
        ] {
            assert_eq!(text.parse::<ImageReference>().unwrap(), expected);
            assert_eq!(expected.to_string(), text);
        }
        for (text, kind) in [
            ("", ErrorKind::Invalid),
            ("oci:", ErrorKind::Invalid),
            ("oci::tag", ErrorKind::Invalid),
            ("oci:dir:", ErrorKind::Invalid),
            ("oci:dir:a b", ErrorKind::Invalid),
            ("oci:dir:\x1b", ErrorKind::Invalid),
            ("a\0b", ErrorKind::Invalid),
            ("docker://", ErrorKind::Invalid),
            ("docker://h.io/A", ErrorKind::Invalid),
            ("docker://h.io/../x", ErrorKind::Invalid),
            ("docker-daemon:", ErrorKind::Invalid),
            ("docker-daemon:a b", ErrorKind::Invalid),
            ("docker-daemon:sha256:xyz", ErrorKind::Invalid),
            ("podman:alpine", ErrorKind::Unsupported),
            ("containers-storage:alpine", ErrorKind::Unsupported),
            ("s3://bucket/image", ErrorKind::Unsupported),
        ] {
            let error = text.parse::<ImageReference>().unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!error.to_string().contains('\x1b'));
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was(text in "(oci:|oci-archive:|docker-archive:|docker-daemon:|)\\PC{0,40}") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
