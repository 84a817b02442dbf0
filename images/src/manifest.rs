//! Descriptors, indexes and manifests: parsed once from bytes whose digest was
//! checked, into owned types that only hold what passed the rules.

use std::collections::BTreeMap;

use oci_spec::image as oci;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::{Digest, Platform};

/// Largest JSON document of an image that is read, in bytes.
pub(crate) const JSON_MAX: u64 = 4 * 1024 * 1024;
/// Most layers an image may have: overlayfs stacks 500 directories, and the
/// skeleton and the joint are two of them.
pub(crate) const LAYERS_MAX: usize = 498;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// In no specification of Docker's, but written by tools that convert.
pub(crate) const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/// The annotation that names an image in the index of a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same with its repository, as containerd and `BuildKit` write it.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// What a blob is: its type, digest and exact size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// What the blob is, without what an index says beside.
    pub(crate) fn bare(&self) -> Self {
        Self {
            media_type: self.media_type.clone(),
            digest: self.digest,
            size: self.size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

impl TryFrom<&oci::Descriptor> for Descriptor {
    type Error = Error;

    fn try_from(raw: &oci::Descriptor) -> Result<Self> {
        Ok(Self {
            media_type: raw.media_type().to_string(),
            digest: raw.digest().as_ref().parse()?,
            size: raw.size(),
            platform: raw.platform().as_ref().map(|platform| Platform {
                os: platform.os().to_string(),
                architecture: platform.architecture().to_string(),
                variant: platform
                    .variant()
                    .clone()
                    .filter(|variant| !variant.is_empty()),
            }),
            annotations: raw
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        })
    }
}

/// The document that a descriptor led to.
#[derive(Debug)]
pub(crate) enum Document {
    /// A choice between images.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// The parts of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    /// Base first; each of a media type that the unpacker reads.
    pub(crate) layers: Vec<Descriptor>,
}

/// The fields that tell the kinds of document apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

/// Parses an index or a manifest; `announced` is the media type of its descriptor.
pub(crate) fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Document> {
    let probe: Probe = json("image manifest", bytes)?;
    if probe.fs_layers.is_some() || probe.schema_version == Some(1) {
        return Err(Error::unsupported(
            "the image manifest has Docker's schema 1, which Lambda does not accept either; \
             push or save the image with a current tool",
        ));
    }
    let is_index = match (
        probe.manifests.is_some(),
        probe.layers.is_some() || probe.config.is_some(),
    ) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => {
            return Err(Error::invalid(
                "the image manifest is ambiguous: it lists both manifests and layers",
            ));
        }
        (false, false) => {
            return Err(Error::new(
                ErrorKind::NotAnImage,
                "the document is neither an image manifest nor an image index",
            ));
        }
    };
    for media_type in announced.into_iter().chain(probe.media_type.as_deref()) {
        check_media_type(media_type, is_index)?;
    }
    if is_index {
        parse_index(bytes).map(Document::Index)
    } else {
        parse_manifest(bytes).map(Document::Manifest)
    }
}

/// The media type of a manifest: the one that it states, or that fits to its
/// configuration.
pub(crate) fn media_type(bytes: &[u8], manifest: &Manifest) -> String {
    let stated: Option<Probe> = serde_json::from_slice(bytes).ok();
    let fitting = match manifest.config.media_type.as_str() {
        DOCKER_CONFIG => DOCKER_MANIFEST,
        _ => OCI_MANIFEST,
    };
    stated
        .and_then(|probe| probe.media_type)
        .unwrap_or_else(|| fitting.to_owned())
}

fn check_media_type(media_type: &str, is_index: bool) -> Result<()> {
    let says_index = match media_type {
        OCI_INDEX | DOCKER_LIST => true,
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        other => {
            return Err(Error::unsupported(format!(
                "media type {} is not that of an image manifest or index",
                quoted(other)
            )));
        }
    };
    if says_index == is_index {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the image manifest is ambiguous: its content disagrees with its media type {}",
        quoted(media_type)
    )))
}

/// Parses an index, or the `index.json` of a layout.
pub(crate) fn parse_index(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    let index: oci::ImageIndex = json("image index", bytes)?;
    if index.schema_version() != 2 {
        return Err(Error::invalid(
            "the image index has a schema version other than 2",
        ));
    }
    index.manifests().iter().map(Descriptor::try_from).collect()
}

fn parse_manifest(bytes: &[u8]) -> Result<Manifest> {
    let raw: oci::ImageManifest = json("image manifest", bytes)?;
    if raw.schema_version() != 2 {
        return Err(Error::invalid(
            "the image manifest has a schema version other than 2",
        ));
    }
    let config = Descriptor::try_from(raw.config())?;
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(Error::new(
            ErrorKind::NotAnImage,
            format!(
                "not a container image: its configuration has the media type {}",
                quoted(&config.media_type)
            ),
        ));
    }
    if raw.layers().is_empty() {
        return Err(Error::invalid(
            "the image has no layers, so there is nothing to run",
        ));
    }
    if raw.layers().len() > LAYERS_MAX {
        return Err(Error::limit(format!(
            "the image has {} layers and at most {LAYERS_MAX} can be stacked; squash it",
            raw.layers().len()
        )));
    }
    let layers = raw
        .layers()
        .iter()
        .map(|raw| {
            let layer = Descriptor::try_from(raw)?;
            check_layer_type(&layer.media_type)?;
            Ok(layer)
        })
        .collect::<Result<_>>()?;
    Ok(Manifest { config, layers })
}

/// Refuses layers that this version cannot or must not read, each by name.
fn check_layer_type(media_type: &str) -> Result<()> {
    let why = match media_type {
        OCI_LAYER | OCI_LAYER_GZIP | OCI_LAYER_ZSTD | DOCKER_LAYER | DOCKER_LAYER_GZIP
        | DOCKER_LAYER_ZSTD => return Ok(()),
        other if other.ends_with("+encrypted") => "the layer is encrypted; decrypt the image first",
        other if other.contains("nondistributable") || other.contains(".foreign.") => {
            "the layer's content is kept elsewhere and is never fetched from there"
        }
        _ => "the layer has an unknown media type",
    };
    Err(Error::unsupported(format!(
        "{why} ({})",
        quoted(media_type)
    )))
}

/// Parses a JSON document of at most [`JSON_MAX`] bytes.
pub(crate) fn json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    if bytes.len() as u64 > JSON_MAX {
        return Err(too_large(what));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Error::invalid(format!(
            "the {what} is not valid: {}",
            error.to_string().escape_debug()
        ))
    })
}

pub(crate) fn too_large(what: &str) -> Error {
    Error::limit(format!("the {what} is larger than 4 MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest(config: &str, layer: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{D}","size":0}},
                "layers":[{{"mediaType":"{layer}","digest":"{D}","size":7}}]}}"#
        )
    }

    #[test]
    fn manifests_of_both_families_are_read() {
        for (config, layer) in [
            (OCI_CONFIG, OCI_LAYER_GZIP),
            (DOCKER_CONFIG, DOCKER_LAYER_GZIP),
            (DOCKER_CONFIG, OCI_LAYER),
            (OCI_CONFIG, OCI_LAYER_ZSTD),
            (DOCKER_CONFIG, DOCKER_LAYER_ZSTD),
        ] {
            let parsed = parse(manifest(config, layer).as_bytes(), Some(OCI_MANIFEST)).unwrap();
            let Document::Manifest(parsed) = parsed else {
                panic!("{parsed:?}")
            };
            assert_eq!(parsed.layers[0].size, 7);
        }
    }

    #[test]
    fn refusals() {
        let cases = [
            (
                manifest(OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+xz"),
                ErrorKind::Unsupported,
            ),
            (
                manifest(
                    OCI_CONFIG,
                    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                ),
                ErrorKind::Unsupported,
            ),
            (
                manifest(
                    OCI_CONFIG,
                    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
                ),
                ErrorKind::Unsupported,
            ),
            (
                manifest("application/vnd.cncf.helm.config.v1+json", OCI_LAYER),
                ErrorKind::NotAnImage,
            ),
            (
                manifest("application/vnd.oci.empty.v1+json", OCI_LAYER),
                ErrorKind::NotAnImage,
            ),
            (
                format!(
                    r#"{{"schemaVersion":2,"config":{{"mediaType":"{OCI_CONFIG}","digest":"{D}","size":0}},"layers":[]}}"#
                ),
                ErrorKind::Invalid,
            ),
            (
                r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_owned(),
                ErrorKind::Invalid,
            ),
            (
                r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
                ErrorKind::Unsupported,
            ),
            (r#"{"schemaVersion":2}"#.to_owned(), ErrorKind::NotAnImage),
            (
                r#"{"schemaVersion":3,"manifests":[]}"#.to_owned(),
                ErrorKind::Invalid,
            ),
            (
                manifest(OCI_CONFIG, OCI_LAYER).replace(":7}", ":-1}"),
                ErrorKind::Invalid,
            ),
            (
                manifest(OCI_CONFIG, OCI_LAYER).replace(D, "sha256:../../etc/passwd"),
                ErrorKind::Invalid,
            ),
            (manifest(OCI_CONFIG, OCI_LAYER) + "x", ErrorKind::Invalid),
            ("\u{feff}{}".to_owned(), ErrorKind::Invalid),
            ("[".repeat(100_000), ErrorKind::Invalid),
            (" ".repeat(5 << 20), ErrorKind::LimitExceeded),
        ];
        for (text, kind) in cases {
            let error = parse(text.as_bytes(), None).unwrap_err();
            assert_eq!(
                error.kind(),
                kind,
                "{error} for {}",
                &text[..text.len().min(200)]
            );
        }
        let index_type = parse(manifest(OCI_CONFIG, OCI_LAYER).as_bytes(), Some(OCI_INDEX));
        assert_eq!(index_type.unwrap_err().kind(), ErrorKind::Invalid);
    }
}
