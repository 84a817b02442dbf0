//! The platform that an image is for, and the choice from a multi-platform index.

use std::fmt;

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::manifest::Descriptor;

/// An operating system and a CPU architecture, in the names that OCI images use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux` for everything that Lambda runs.
    pub os: String,
    /// `amd64` or `arm64` for everything that Lambda runs.
    pub architecture: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
        }
    }

    /// Fails unless `self`, the platform of an image, is the one asked for.
    pub(crate) fn require(&self, wanted: &Self) -> Result<()> {
        if self == wanted {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WrongPlatform,
            format!(
                "the image is for {}, and {wanted} is needed; build it with --platform {wanted}",
                quoted(self.to_string()),
            ),
        ))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// Picks the entry of an index that is for `wanted`: the first that matches.
///
/// Entries without a platform are candidates only when nothing matches by name:
/// their image configuration decides later. Attestations, which build tools list
/// beside the images as `unknown/unknown`, are never candidates.
pub(crate) fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor> {
    let images: Vec<_> = entries.iter().filter(|e| !is_attestation(e)).collect();
    if let Some(entry) = images
        .iter()
        .find(|entry| entry.platform.as_ref() == Some(wanted))
    {
        return Ok(entry);
    }
    let mut unnamed = images.iter().filter(|entry| entry.platform.is_none());
    if let (Some(entry), None) = (unnamed.next(), unnamed.next()) {
        return Ok(entry);
    }
    let mut offered: Vec<_> = images
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .map(|platform| quoted(platform.to_string()))
        .collect();
    offered.dedup();
    offered.truncate(16);
    if offered.is_empty() {
        return Err(Error::new(
            ErrorKind::NotAnImage,
            "the image index lists no image",
        ));
    }
    Err(Error::new(
        ErrorKind::WrongPlatform,
        format!(
            "the image is for {}, and {wanted} is needed; build it with --platform {wanted}",
            offered.join(", ")
        ),
    ))
}

fn is_attestation(entry: &Descriptor) -> bool {
    let unknown = entry
        .platform
        .as_ref()
        .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown");
    unknown || entry.annotation("vnd.docker.reference.type") == Some("attestation-manifest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn entry(name: &str) -> Descriptor {
        Descriptor {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            digest: Digest::of(name),
            size: 1,
            platform: name.split_once('/').map(|(os, architecture)| Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
            }),
            annotations: std::collections::BTreeMap::default(),
        }
    }

    #[test]
    fn choice_table() {
        let wanted = Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
        };
        let pick = |names: &[&str]| {
            let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
            choose(&entries, &wanted)
                .map(|e| e.digest)
                .map_err(|e| e.kind())
        };
        assert_eq!(
            pick(&["linux/amd64", "linux/arm64"]),
            Ok(Digest::of("linux/arm64"))
        );
        assert_eq!(
            pick(&["unknown/unknown", "linux/arm64"]),
            Ok(Digest::of("linux/arm64"))
        );
        assert_eq!(
            pick(&["linux/amd64", "windows/arm64"]),
            Err(ErrorKind::WrongPlatform)
        );
        assert_eq!(pick(&["none"]), Ok(Digest::of("none")));
        assert_eq!(pick(&["none", "other"]), Err(ErrorKind::NotAnImage));
        assert_eq!(pick(&["unknown/unknown"]), Err(ErrorKind::NotAnImage));
        assert_eq!(pick(&[]), Err(ErrorKind::NotAnImage));
    }
}
