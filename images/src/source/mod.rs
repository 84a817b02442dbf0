//! Sources: where an image's blobs come from, one file each.
//!
//! A source only finds bytes. Whether they are the right ones is decided by
//! [`read_json`] for documents and by the import for layers.

mod advice;
mod archive;
mod daemon;
mod detect;
mod docker_archive;
pub mod http;
mod oci_archive;
mod oci_layout;
mod presence;
mod registry;
mod spool;

use std::io::Read;
use std::path::Path;

use rustix::io::Errno;

pub use self::presence::missing;
use crate::error::{Error, ErrorKind, IoContext, Result, quoted, quoted_path};
use crate::manifest::{
    CONTAINERD_NAME, Descriptor, Document, JSON_MAX, Manifest, REF_NAME, parse, parse_index,
    too_large,
};
use crate::platform::choose;
use crate::reference::{RegistryReference, registry_reference};
use crate::{Digest, ImageIndex, ImageReference, Platform, config};

/// Deepest nesting of indexes; real images have two levels.
const INDEX_DEPTH_MAX: usize = 8;

/// Somewhere that an image can be read from.
pub(crate) trait Source: Send + Sync {
    /// The manifest of the image, or an index that leads to it.
    fn root(&self, platform: &Platform) -> Result<Descriptor>;

    /// The bytes that claim to be this blob.
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;

    /// True if bytes come over a network, and are worth keeping when it fails.
    fn is_remote(&self) -> bool {
        false
    }

    /// The same as [`Self::open`], without so many bytes at the beginning, which are
    /// known already.
    fn open_from(&self, blob: &Descriptor, known: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut reader = self.open(blob)?;
        std::io::copy(&mut reader.by_ref().take(known), &mut std::io::sink())
            .doing(|| format!("reading blob {}", blob.digest))?;
        Ok(reader)
    }
}

impl Source for &dyn Source {
    fn root(&self, platform: &Platform) -> Result<Descriptor> {
        (**self).root(platform)
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        (**self).open(blob)
    }

    fn is_remote(&self) -> bool {
        (**self).is_remote()
    }

    fn open_from(&self, blob: &Descriptor, known: u64) -> Result<Box<dyn Read + Send + '_>> {
        (**self).open_from(blob, known)
    }
}

/// An image before any of its layers was read.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) descriptor: Descriptor,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) config: crate::ImageConfig,
    /// As many as layers in the manifest, base first.
    pub(crate) diff_ids: Vec<Digest>,
    /// What Lambda would mind although it can be read here, one line each.
    pub(crate) index: Option<ImageIndex>,
    pub(crate) warnings: Vec<String>,
}

/// Opens what a reference names.
pub(crate) fn open(reference: &ImageReference) -> Result<Box<dyn Source>> {
    let opened: Box<dyn Source> = match reference {
        ImageReference::OciLayout { path, tag } => {
            Box::new(oci_layout::OciLayout::open(path, tag.clone())?)
        }
        ImageReference::OciArchive { path, tag } => {
            Box::new(oci_archive::OciArchive::open(path, tag.clone())?)
        }
        ImageReference::DockerArchive { path, reference } => Box::new(
            docker_archive::DockerArchive::open(path, reference.as_deref())?,
        ),
        ImageReference::Registry(reference) => Box::new(registry::Registry::open(reference)?),
        ImageReference::Daemon { name } => return daemon::open(name),
        ImageReference::Path { path } => return open_path(path),
    };
    Ok(opened)
}

/// The digest of the manifest or index that a registry has under a name now, for one
/// small request: tags move. Blocks.
///
/// # Errors
/// The registry cannot be reached, refuses, or has nothing of that name.
pub fn registry_digest(reference: &RegistryReference) -> Result<Digest> {
    registry::digest(reference)
}

/// The ID of the image that Docker or Podman on this machine has under a name now, for
/// one small request. Blocks.
///
/// # Errors
/// None of them can be reached, or has an image of that name.
pub fn daemon_image_id(name: &str) -> Result<String> {
    daemon::id(name)
}

/// Opens what is at a path, or, if nothing is there, the image in a registry that
/// it names.
fn open_path(path: &Path) -> Result<Box<dyn Source>> {
    match taken_for_registry(path) {
        Some(reference) => {
            let source = registry::Registry::open(&reference).map_err(|error| {
                error.within(&format!(
                    "there is no file {}, so it was taken for an image in a registry",
                    quoted_path(path)
                ))
            })?;
            Ok(Box::new(source))
        }
        None => detect::open(path),
    }
}

/// The image in a registry that a path names, if nothing is there.
fn taken_for_registry(path: &Path) -> Option<RegistryReference> {
    let reference = path.to_str().and_then(registry_reference)?;
    let found = path.symlink_metadata();
    let is_missing = found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    // In a directory that exists, a file that does not is a typing error.
    let in_directory = path.components().next().is_some_and(|first| {
        let first: &Path = first.as_ref();
        first.is_dir()
    });
    (is_missing && !in_directory).then_some(reference)
}

/// Follows indexes to the manifest for `platform` and reads the configuration.
pub(crate) fn resolve(source: &dyn Source, platform: &Platform) -> Result<Resolved> {
    let mut descriptor = source.root(platform)?;
    let mut warnings = Vec::new();
    let mut index = None;
    for _ in 0..INDEX_DEPTH_MAX {
        let manifest_bytes = read_json(source, &descriptor, "image manifest")?;
        let manifest = match parse(&manifest_bytes, Some(&descriptor.media_type))? {
            Document::Index(entries) => {
                let offered = *index.get_or_insert_with(|| advice::count(&entries));
                if warnings.is_empty() {
                    warnings.push(advice::about_index(offered, platform));
                }
                descriptor = choose(&entries, platform)?.clone();
                continue;
            }
            Document::Manifest(manifest) => manifest,
        };
        let config_bytes = read_json(source, &manifest.config, "image configuration")?;
        let (config, diff_ids) = config::parse(&config_bytes)?;
        config.platform().require(platform)?;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::invalid(format!(
                "the image manifest lists {} layers and its configuration {}",
                manifest.layers.len(),
                diff_ids.len()
            )));
        }
        warnings.extend(advice::about_layers(&manifest));
        return Ok(Resolved {
            descriptor,
            manifest_bytes,
            manifest,
            config_bytes,
            config,
            diff_ids,
            index,
            warnings,
        });
    }
    Err(Error::limit(format!(
        "the image index is nested more than {INDEX_DEPTH_MAX} levels deep"
    )))
}

/// Reads a whole JSON blob and checks its size and digest.
fn read_json(source: &dyn Source, blob: &Descriptor, what: &str) -> Result<Vec<u8>> {
    if blob.size > JSON_MAX {
        return Err(too_large(what));
    }
    let mut bytes = Vec::new();
    source
        .open(blob)?
        .take(blob.size + 1)
        .read_to_end(&mut bytes)
        .doing(|| format!("reading the {what} {}", blob.digest))?;
    if bytes.len() as u64 != blob.size {
        return Err(wrong_size(&blob.digest, bytes.len() as u64, blob.size));
    }
    let found = Digest::of(&bytes);
    if found != blob.digest {
        return Err(mismatch(&blob.digest, &found));
    }
    Ok(bytes)
}

pub(crate) fn mismatch(expected: &Digest, found: &Digest) -> Error {
    Error::new(
        ErrorKind::DigestMismatch,
        format!("blob {expected} is damaged: its content has the digest {found}"),
    )
    .of_file()
}

pub(crate) fn wrong_size(digest: &Digest, found: u64, expected: u64) -> Error {
    Error::invalid(format!(
        "blob {digest} has {found} bytes and not the {expected} that its descriptor states; \
         the image is truncated or damaged"
    ))
    .of_file()
}

fn missing_blob(digest: &Digest) -> Error {
    Error::invalid(format!(
        "blob {digest} is missing from the image; it is incomplete or truncated"
    ))
    .of_file()
}

/// Checks the `oci-layout` file of a layout.
fn check_layout_version(bytes: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OciLayoutFile {
        image_layout_version: String,
    }
    let file: OciLayoutFile = crate::manifest::json("oci-layout file", bytes)?;
    if file.image_layout_version != "1.0.0" {
        return Err(Error::unsupported(format!(
            "the OCI image layout has version {}, and 1.0.0 is the only one that is defined",
            quoted(&file.image_layout_version)
        )));
    }
    Ok(())
}

/// Picks from the `index.json` of a layout: by name, or the only one there is.
fn choose_tagged(index: &[u8], tag: Option<&str>, platform: &Platform) -> Result<Descriptor> {
    let entries = parse_index(index)?;
    let names = |entry: &Descriptor| {
        [REF_NAME, CONTAINERD_NAME].map(|key| entry.annotation(key).map(str::to_owned))
    };
    let mut known: Vec<_> = entries.iter().flat_map(names).flatten().collect();
    known.sort();
    known.dedup();
    let listed = listed(entries.iter().map(|entry| {
        let names = names(entry);
        names.into_iter().flatten().take(1)
    }));
    if let Some(position) = tag.and_then(by_position) {
        return entries.get(position).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "the image layout has no image {}; it has {listed}",
                    quoted(tag.unwrap_or_default())
                ),
            )
        });
    }
    if let Some(tag) = tag {
        let tagged: Vec<_> = entries
            .iter()
            .filter(|entry| names(entry).iter().flatten().any(|name| name == tag))
            .cloned()
            .collect();
        return match tagged.as_slice() {
            [] => Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "the image layout has no image named {}; it has {listed}",
                    quoted(tag)
                ),
            )),
            [one] => Ok(one.clone()),
            several => choose(several, platform).cloned(),
        };
    }
    match entries.as_slice() {
        [] => Err(Error::new(
            ErrorKind::NotAnImage,
            "the image layout holds no image",
        )),
        [one] => Ok(one.clone()),
        // One name for all: platforms of one image, side by side.
        several if known.len() <= 1 => choose(several, platform).cloned(),
        _ => Err(Error::new(
            ErrorKind::Ambiguous,
            format!(
                "the image layout holds {} images; name one, as in oci:DIR:NAME or \
                 oci-archive:FILE:@0: {listed}",
                entries.len()
            ),
        )),
    }
}

/// The position that `@N` stands for, as in skopeo: for images without names.
fn by_position(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('@')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// The names of images, or the positions of those without any, for messages.
fn listed<N: IntoIterator<Item = String>>(images: impl Iterator<Item = N>) -> String {
    /// Most names that a message has room for.
    const LISTED_MAX: usize = 16;
    let mut all: Vec<_> = images
        .enumerate()
        .flat_map(|(position, names)| {
            let mut names: Vec<_> = names.into_iter().map(quoted).collect();
            if names.is_empty() {
                names.push(format!("@{position} (without a name)"));
            }
            names
        })
        .take(LISTED_MAX + 1)
        .collect();
    if all.len() > LISTED_MAX {
        all.truncate(LISTED_MAX);
        all.push("…".to_owned());
    }
    all.join(", ")
}

/// A file that does not exist, or that cannot be opened.
fn cannot_open(path: &Path, error: impl Into<std::io::Error>) -> Error {
    let error = error.into();
    let name = quoted_path(path);
    // What the name says, and not what this machine lacks.
    let reason = match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => format!(
            "there is no file or directory {name}; for an image in a registry name its host, as in \
             docker://docker.io/NAME, and for one of a local Docker or Podman docker-daemon:NAME"
        ),
        Some(Errno::LOOP) => format!(
            "{name} leads nowhere: its symbolic links go round in a circle; name the file itself"
        ),
        Some(Errno::NOTDIR) => format!("there is no {name}: a part of that path is no directory"),
        Some(Errno::NAMETOOLONG) => {
            format!("there is no {name}: no path may be so long, nor a part of one")
        }
        _ => return Error::io(|| format!("opening {name}"), error),
    };
    Error::new(ErrorKind::NotFound, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_needed_only_when_there_is_a_choice() {
        let d = Digest::of("x");
        let entry = |name: &str, arch: &str| {
            format!(
                r#"{{"mediaType":"m","digest":"{d}","size":1,"annotations":{{"{REF_NAME}":"{name}"}},
                    "platform":{{"os":"linux","architecture":"{arch}"}}}}"#
            )
        };
        let index = |entries: &[String]| {
            format!(
                r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
                entries.join(",")
            )
        };
        let wanted = Platform::new("linux", "arm64");
        let pick = |entries: &[String], tag| {
            choose_tagged(index(entries).as_bytes(), tag, &wanted)
                .map(|d| d.platform.unwrap().architecture)
                .map_err(|e| e.kind())
        };
        let (a, b) = (entry("a", "amd64"), entry("b", "arm64"));
        assert_eq!(pick(&[], None), Err(ErrorKind::NotAnImage));
        assert_eq!(pick(std::slice::from_ref(&a), None).unwrap(), "amd64");
        assert_eq!(
            pick(&[a.clone(), b.clone()], None),
            Err(ErrorKind::Ambiguous)
        );
        assert_eq!(pick(&[a.clone(), b.clone()], Some("b")).unwrap(), "arm64");
        assert_eq!(pick(&[a.clone(), b], Some("c")), Err(ErrorKind::NotFound));
        assert_eq!(
            pick(&[a.clone(), entry("a", "arm64")], None).unwrap(),
            "arm64"
        );
        assert_eq!(pick(&[a, entry("a", "arm64")], Some("a")).unwrap(), "arm64");
    }
}
