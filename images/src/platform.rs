//! The platform that an image is for, and the choice from a multi-platform index.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::manifest::Descriptor;

/// An operating system and a CPU architecture, in the names that OCI images use.
///
/// As text it is `OS/ARCHITECTURE[/VARIANT]`, for example `linux/arm64` or
/// `linux/arm/v7`; other tools' names for architectures are understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux` for everything that Lambda runs.
    pub os: String,
    /// `amd64` or `arm64` for everything that Lambda runs.
    pub architecture: String,
    /// The architecture's level, for example `v8`; without one it is the usual:
    /// `v1` for amd64, `v8` for arm64, `v7` for arm.
    pub variant: Option<String>,
}

impl Platform {
    /// A platform without a variant.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: None,
        }
    }

    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self::new(std::env::consts::OS, architecture)
    }

    /// Fails unless `self`, the platform of an image, is the one asked for. What
    /// an image does not say about its variant is not held against it.
    pub(crate) fn require(&self, wanted: &Self) -> Result<()> {
        let same = self.os == wanted.os && self.architecture == wanted.architecture;
        if same && (self.variant.is_none() || wanted.accepts(self).is_some()) {
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

    /// How well something for `offered` runs on `self`: the higher, the better.
    ///
    /// A machine of one level runs what was made for it and for those below.
    fn accepts(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        match (self.level(), offered.level()) {
            (Some(own), Some(other)) => (other <= own).then_some(other),
            _ => (self.variant == offered.variant).then_some(0),
        }
    }

    /// The level that the variant stands for, if it is a number.
    fn level(&self) -> Option<u32> {
        match &self.variant {
            Some(variant) => variant.trim_start_matches('v').parse().ok(),
            None => match self.architecture.as_str() {
                "arm64" => Some(8),
                "arm" => Some(7),
                "amd64" => Some(1),
                _ => None,
            },
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split('/').collect();
        let plain = |part: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !part.is_empty() && part.len() <= 64 && part.bytes().all(known)
        };
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => ("", "", None),
        };
        if os.is_empty() || !parts.iter().all(plain) {
            return Err(Error::invalid(format!(
                "{} is not a platform: expected OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, for \
                 example linux/amd64 or linux/arm64",
                quoted(text)
            )));
        }
        let architecture = architecture.to_ascii_lowercase();
        let (architecture, implied) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            other => (other, None),
        };
        Ok(Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_owned(),
            variant: variant.or(implied).map(str::to_ascii_lowercase),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Picks the entry of an index that is for `wanted`: the first of those with the
/// highest variant that `wanted` runs.
///
/// Entries without a platform are candidates only when nothing matches by name:
/// their image configuration decides later. Attestations, which build tools list
/// beside the images as `unknown/unknown`, are never candidates.
pub(crate) fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor> {
    let images: Vec<_> = entries.iter().filter(|e| !is_attestation(e)).collect();
    let rank = |entry: &Descriptor| wanted.accepts(entry.platform.as_ref()?);
    let matching = images.iter().rev().filter(|entry| rank(entry).is_some());
    // Of several equal ones the last is taken, which reversed is the first.
    if let Some(entry) = matching.max_by_key(|entry| rank(entry)) {
        return Ok(entry);
    }
    let mut unnamed = images.iter().filter(|entry| entry.platform.is_none());
    let several = match (unnamed.next(), unnamed.next()) {
        (Some(entry), None) => return Ok(entry),
        (first, _) => first.is_some(),
    };
    let mut offered: Vec<_> = images
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .map(|platform| quoted(platform.to_string()))
        .collect();
    offered.dedup();
    offered.truncate(16);
    if offered.is_empty() && several {
        return Err(Error::invalid(
            "the image index lists several images and does not say which platform they are for; \
             name one, as in oci:DIR:@0",
        ));
    }
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

/// True for what a build tool says about an image, and that is none itself.
pub(crate) fn is_attestation(entry: &Descriptor) -> bool {
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
            platform: name.parse().ok(),
            annotations: std::collections::BTreeMap::default(),
        }
    }

    #[test]
    fn choice_table() {
        let wanted = Platform::new("linux", "arm64");
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
        assert_eq!(pick(&["none", "other"]), Err(ErrorKind::Invalid));
        assert_eq!(pick(&["unknown/unknown"]), Err(ErrorKind::NotAnImage));
        assert_eq!(pick(&[]), Err(ErrorKind::NotAnImage));
    }

    #[test]
    fn variants() {
        let pick = |wanted: &str, names: &[&str]| {
            let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
            let chosen = choose(&entries, &wanted.parse().unwrap()).ok()?;
            names
                .iter()
                .find(|name| Digest::of(name) == chosen.digest)
                .map(ToString::to_string)
        };
        for (wanted, offered, expected) in [
            (
                "linux/arm64",
                &["linux/arm64/v8"][..],
                Some("linux/arm64/v8"),
            ),
            ("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64")),
            ("linux/arm64/8", &["linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/arm64", &["linux/arm64/v9"], None),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            (
                "linux/arm/v6",
                &["linux/arm/v7", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v6", &["linux/arm"], None),
            (
                "linux/amd64",
                &["linux/amd64/v3", "linux/amd64"],
                Some("linux/amd64"),
            ),
            ("linux/amd64", &["linux/amd64/v2"], None),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2"],
                Some("linux/amd64/v2"),
            ),
            ("linux/riscv64", &["linux/riscv64"], Some("linux/riscv64")),
            (
                "linux/x/odd",
                &["linux/x/other", "linux/x/odd"],
                Some("linux/x/odd"),
            ),
        ] {
            assert_eq!(
                pick(wanted, offered).as_deref(),
                expected,
                "{wanted} from {offered:?}"
            );
        }
        // Of two equal ones the first.
        let mut twins = [entry("linux/amd64"), entry("linux/amd64/v1")];
        let wanted = Platform::new("linux", "amd64");
        assert_eq!(choose(&twins, &wanted).unwrap(), &twins[0]);
        twins.reverse();
        assert_eq!(choose(&twins, &wanted).unwrap(), &twins[0]);
    }

    #[test]
    fn images_of_an_unstated_variant_are_taken() {
        let image = |text: &str| text.parse::<Platform>().unwrap();
        for (platform, wanted, accepted) in [
            ("linux/arm", "linux/arm/v6", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(image(platform).require(&image(wanted)).is_ok(), accepted);
        }
    }

    #[test]
    fn platforms_as_text() {
        for (text, canonical) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), canonical);
        }
        for bad in [
            "", "linux", "/", "linux/", "/amd64", "a/b/c/d", "a/b/", "a /b", "a/\u{1b}",
        ] {
            let error = bad.parse::<Platform>().unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }
}
