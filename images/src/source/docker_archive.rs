//! What `docker save`, `podman save` and `skopeo copy docker-archive:` write.
//!
//! Such an archive has a configuration and layers but no OCI manifest, so one is
//! made up here; it depends on the archive's content only, and importing the
//! archive again gives the same image.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::archive::{Archive, not_an_archive};
use super::{Source, by_position, listed, missing_blob};
use crate::digest::Hasher;
use crate::error::{Error, ErrorKind, IoContext, Result, quoted, quoted_path};
use crate::manifest::{
    Descriptor, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::unpack::decompress::Format;
use crate::{Digest, Platform, config, manifest};

pub(super) struct DockerArchive {
    archive: Archive,
    root: Descriptor,
    /// The manifest and the configuration.
    documents: HashMap<Digest, Vec<u8>>,
    layers: HashMap<Digest, String>,
}

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl DockerArchive {
    pub(super) fn open(path: &Path, reference: Option<&str>) -> Result<Self> {
        Self::new(Archive::open(path)?, reference)
    }

    pub(super) fn new(archive: Archive, reference: Option<&str>) -> Result<Self> {
        let index = archive.json("manifest.json")?.ok_or_else(|| {
            not_an_archive(
                archive.path(),
                "it has no manifest.json, so it is no Docker archive, or truncated; give the path \
                 alone to have the kind found out",
            )
        })?;
        let entries: Option<Vec<Entry>> = manifest::json("manifest.json", &index)?;
        let entry = choose_entry(entries.unwrap_or_default(), reference)?;
        let config_bytes = archive.json(&entry.config)?.ok_or_else(|| {
            Error::invalid(format!(
                "{} lacks the configuration {} that its manifest.json names",
                quoted_path(archive.path()),
                quoted(&entry.config)
            ))
        })?;
        let (_, diff_ids) = config::parse(&config_bytes)?;
        if diff_ids.len() != entry.layers.len() {
            return Err(Error::invalid(format!(
                "manifest.json lists {} layers and the image configuration {}",
                entry.layers.len(),
                diff_ids.len()
            )));
        }
        let mut layers = HashMap::new();
        let mut descriptors = Vec::new();
        for (name, diff_id) in entry.layers.iter().zip(diff_ids) {
            let (digest, media_type, size) = describe(&archive, name, diff_id)?;
            descriptors.push(json!({ "mediaType": media_type, "digest": digest, "size": size }));
            layers.insert(digest, name.clone());
        }
        let config = Digest::of(&config_bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config, "size": config_bytes.len() },
            "layers": descriptors,
        });
        let manifest = manifest.to_string().into_bytes();
        let root = Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: Digest::of(&manifest),
            size: manifest.len() as u64,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        Ok(Self {
            archive,
            documents: HashMap::from([(root.digest, manifest), (config, config_bytes)]),
            root,
            layers,
        })
    }
}

impl Source for DockerArchive {
    fn root(&self, _: &Platform) -> Result<Descriptor> {
        Ok(self.root.clone())
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        if let Some(bytes) = self.documents.get(&blob.digest) {
            return Ok(Box::new(Cursor::new(bytes)));
        }
        let member = match self.layers.get(&blob.digest) {
            Some(name) => self.archive.member(name)?,
            None => None,
        };
        match member {
            Some((reader, _)) => Ok(Box::new(reader)),
            None => Err(missing_blob(&blob.digest)),
        }
    }
}

/// Digest, media type and size of a layer in the archive.
///
/// A plain layer is its own diff ID. A compressed one is named by its digest in
/// the format of Docker 25 and later; otherwise it has to be hashed now.
fn describe(archive: &Archive, name: &str, diff_id: Digest) -> Result<(Digest, &'static str, u64)> {
    let open = || {
        archive.member(name)?.ok_or_else(|| {
            Error::invalid(format!(
                "{} lacks the layer {} that its manifest.json names; it is truncated or damaged",
                quoted_path(archive.path()),
                quoted(name)
            ))
            .of_file()
        })
    };
    let reading = || format!("reading layer {}", quoted(name));
    let (mut reader, size) = open()?;
    let mut magic = Vec::new();
    reader
        .by_ref()
        .take(6)
        .read_to_end(&mut magic)
        .doing(reading)?;
    let media_type = match Format::of(&magic) {
        Ok(Format::Plain) => return Ok((diff_id, OCI_LAYER, size)),
        Ok(Format::Gzip) => OCI_LAYER_GZIP,
        Ok(Format::Zstd) => OCI_LAYER_ZSTD,
        Err(format) => {
            return Err(Error::unsupported(format!(
                "layer {} is compressed with {format}; save the image with gzip layers",
                quoted(name)
            )));
        }
    };
    if let Some(hex) = name.strip_prefix("blobs/sha256/")
        && let Ok(digest) = format!("sha256:{hex}").parse()
    {
        return Ok((digest, media_type, size));
    }
    let (mut reader, _) = open()?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match reader.read(&mut buffer).doing(reading)? {
            0 => return Ok((hasher.finish(), media_type, size)),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The only image of the archive, or the one that goes by `reference`.
fn choose_entry(mut entries: Vec<Entry>, reference: Option<&str>) -> Result<Entry> {
    if entries.is_empty() {
        return Err(Error::new(
            ErrorKind::NotAnImage,
            "the archive's manifest.json lists no image",
        ));
    }
    let names = |entry: &Entry| entry.repo_tags.clone().unwrap_or_default();
    let listed = listed(entries.iter().map(names));
    let Some(reference) = reference else {
        if entries.len() > 1 {
            return Err(Error::new(
                ErrorKind::Ambiguous,
                format!(
                    "the archive holds {} images; name one, as in docker-archive:FILE:NAME or \
                     docker-archive:FILE:@0: {listed}",
                    entries.len()
                ),
            ));
        }
        return Ok(entries.remove(0));
    };
    let position = if let Some(position) = by_position(reference) {
        (position < entries.len()).then_some(position)
    } else {
        let wanted = full_name(reference);
        entries
            .iter()
            .position(|entry| names(entry).iter().any(|name| full_name(name) == wanted))
    };
    match position {
        Some(position) => Ok(entries.swap_remove(position)),
        None => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "the archive has no image named {}; it has {listed}",
                quoted(reference)
            ),
        )),
    }
}

/// An image name with the registry, namespace and tag that Docker implies.
fn full_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let tagged = if last.contains([':', '@']) {
        name.to_owned()
    } else {
        format!("{name}:latest")
    };
    match tagged.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tagged,
        Some(_) => format!("docker.io/{tagged}"),
        None => format!("docker.io/library/{tagged}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implied_parts_of_a_name() {
        for (name, full) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3", "docker.io/library/alpine:3"),
            ("me/alpine", "docker.io/me/alpine:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("host:5000/x", "host:5000/x:latest"),
            ("docker.io/library/alpine:3", "docker.io/library/alpine:3"),
        ] {
            assert_eq!(full_name(name), full);
        }
    }

    #[test]
    fn choice_between_images() {
        let entries = |tags: &[Option<&[&str]>]| -> Vec<Entry> {
            let one = |tags: Option<&[&str]>| Entry {
                config: "c".to_owned(),
                repo_tags: tags.map(|tags| tags.iter().map(ToString::to_string).collect()),
                layers: Vec::new(),
            };
            tags.iter().copied().map(one).collect()
        };
        let kind = |list, reference| choose_entry(list, reference).err().map(|e| e.kind());
        assert_eq!(kind(entries(&[]), None), Some(ErrorKind::NotAnImage));
        assert_eq!(kind(entries(&[None]), None), None);
        assert_eq!(
            kind(entries(&[Some(&["a:1"]), Some(&["b:1"])]), None),
            Some(ErrorKind::Ambiguous)
        );
        assert_eq!(
            kind(entries(&[Some(&["a:1"]), Some(&["b:1"])]), Some("b:1")),
            None
        );
        assert_eq!(
            kind(entries(&[Some(&["a:1"])]), Some("a")),
            Some(ErrorKind::NotFound)
        );
        let nameless = || entries(&[None, Some(&[])]);
        assert_eq!(kind(nameless(), None), Some(ErrorKind::Ambiguous));
        assert_eq!(kind(nameless(), Some("@1")), None);
        assert_eq!(kind(nameless(), Some("@2")), Some(ErrorKind::NotFound));
    }
}
