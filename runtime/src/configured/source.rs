//! Where code is, and whether it has changed.

use std::collections::hash_map::DefaultHasher;
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lambent_images::{ContentStore, ImageReference};

use crate::configuration::{CodeSource, ConfiguredFunction, LayerSource};
use crate::control_plane::Registries;

/// A directory, an archive, or an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A directory with code, or an archive.
    Files(PathBuf),
    /// An image reference that does not depend on the directory of its file.
    Image(String),
}

/// Tells whether a source is what it was: other content is another number, and the
/// same content may be one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64);

impl Source {
    /// The code of a function; `None` for what is in the configuration file itself.
    fn of_code(code: &CodeSource, base: &Path) -> Option<Self> {
        match code {
            CodeSource::Files(path) => Some(Self::Files(base.join(path))),
            CodeSource::Image(uri) => Some(Self::Image(image(uri, base))),
            CodeSource::Inline { .. } => None,
        }
    }

    /// A layer; `None` for those that are published, which never change.
    fn of_layer(layer: &LayerSource, base: &Path) -> Option<Self> {
        match layer {
            LayerSource::Files { content, .. } => Some(Self::Files(base.join(content))),
            LayerSource::Arn(_) => None,
        }
    }

    /// All that a function is made of.
    pub(super) fn of(function: &ConfiguredFunction, base: &Path) -> Vec<Self> {
        let layers = function.layers.iter();
        let layers = layers.filter_map(|layer| Self::of_layer(layer, base));
        Self::of_code(&function.code, base)
            .into_iter()
            .chain(layers)
            .collect()
    }

    /// What it is now.
    pub(super) fn identity(&self, images: &ContentStore, registries: &Registries) -> Identity {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Files(path) => tree(path, &mut hasher),
            Self::Image(text) => {
                // What is none is said when it is to be fetched.
                if let Ok(reference) = text.parse() {
                    image_of(&reference, images, registries, &mut hasher);
                }
            }
        }
        Identity(hasher.finish())
    }
}

/// What an image is now; of one in a registry or a daemon, what was last seen of it.
pub(super) fn image_identity(
    reference: &ImageReference,
    images: &ContentStore,
    registries: &Registries,
) -> Identity {
    let mut hasher = DefaultHasher::new();
    image_of(reference, images, registries, &mut hasher);
    Identity(hasher.finish())
}

fn image_of(
    reference: &ImageReference,
    images: &ContentStore,
    registries: &Registries,
    hasher: &mut DefaultHasher,
) {
    match reference {
        ImageReference::OciLayout { path, .. } => index(path, hasher),
        ImageReference::OciArchive { path, .. } | ImageReference::DockerArchive { path, .. } => {
            one(path, hasher);
        }
        ImageReference::Path { path } if path.is_dir() => index(path, hasher),
        ImageReference::Path { path } if path.exists() => one(path, hasher),
        ImageReference::Path { path } => {
            let found = images.find(&path.to_string_lossy()).ok().flatten();
            found.map(|image| image.manifest_digest).hash(hasher);
            registries.seen(reference).hash(hasher);
        }
        ImageReference::Daemon { name } => registries.in_daemon(name).hash(hasher),
        _ => registries.seen(reference).hash(hasher),
    }
}

/// What a file is now.
pub(super) fn file_identity(path: &Path) -> Identity {
    let mut hasher = DefaultHasher::new();
    one(path, &mut hasher);
    Identity(hasher.finish())
}

/// An image reference whose path, if it has one, is relative to `base`.
pub(crate) fn image(uri: &str, base: &Path) -> String {
    for transport in ["oci:", "oci-archive:", "docker-archive:"] {
        if let Some(rest) = uri.strip_prefix(transport) {
            return format!("{transport}{}", base.join(rest).display());
        }
    }
    let path = base.join(uri);
    // Else it is the name of a stored image, or one in a registry.
    if path.exists() {
        return path.display().to_string();
    }
    uri.to_owned()
}

/// A layout's blobs have their digests as names: its index tells all.
fn index(layout: &Path, hasher: &mut DefaultHasher) {
    one(&layout.join("index.json"), hasher);
}

fn one(path: &Path, hasher: &mut DefaultHasher) {
    match path.metadata() {
        Ok(metadata) => metadata_of(&metadata, hasher),
        Err(error) => error.kind().hash(hasher),
    }
}

/// A file, or everything below a directory; links are not followed there, as they
/// are packed as links.
fn tree(path: &Path, hasher: &mut DefaultHasher) {
    one(path, hasher);
    let mut pending = vec![path.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = directory.read_dir() else {
            continue;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            entry.file_name().hash(hasher);
            // Gone in between: the next look sees that.
            if let Ok(metadata) = entry.metadata() {
                metadata_of(&metadata, hasher);
                if metadata.is_dir() {
                    pending.push(entry.path());
                }
            }
        }
    }
}

fn metadata_of(metadata: &Metadata, hasher: &mut DefaultHasher) {
    (metadata.dev(), metadata.ino(), metadata.mode()).hash(hasher);
    // The time of a directory says what its entries say, and more: a file that
    // came and went.
    if !metadata.is_dir() {
        metadata.len().hash(hasher);
        // Of the content, and of the inode, for content with a time that was set.
        (metadata.mtime(), metadata.mtime_nsec()).hash(hasher);
        (metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn references_are_relative_to_their_file() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::write(base.join("f.tar"), "").unwrap();
        let below = |text: &str| format!("{}/{text}", base.display());
        for (uri, expected) in [
            ("f.tar", below("f.tar")),
            (
                "oci-archive:f.tar:1",
                format!("oci-archive:{}", below("f.tar:1")),
            ),
            ("oci:missing", format!("oci:{}", below("missing"))),
            ("oci:/f", "oci:/f".to_owned()),
            ("my-function:1", "my-function:1".to_owned()),
            ("docker://a/b", "docker://a/b".to_owned()),
        ] {
            assert_eq!(image(uri, base), expected, "{uri}");
        }
    }

    #[test]
    fn changes_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("code");
        let look = || {
            let mut hasher = DefaultHasher::new();
            tree(&root, &mut hasher);
            hasher.finish()
        };
        let mut seen = vec![look()];
        let mut step = |what: &str, change: &dyn Fn()| {
            change();
            let now = look();
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(now, look(), "{what}");
            seen.push(now);
        };
        let path = |name: &str| root.join(name);
        step("made", &|| fs::create_dir(&root).unwrap());
        step("a file", &|| fs::write(path("a"), "1").unwrap());
        step("longer", &|| fs::write(path("a"), "12").unwrap());
        step("below", &|| {
            fs::create_dir(path("d")).unwrap();
            fs::write(path("d/b"), "1").unwrap();
        });
        step("renamed", &|| fs::rename(path("d/b"), path("d/c")).unwrap());
        step("replaced", &|| {
            fs::write(path("new"), "12").unwrap();
            fs::rename(path("new"), path("a")).unwrap();
        });
        step("a link", &|| {
            std::os::unix::fs::symlink("a", path("l")).unwrap();
        });
        step("gone", &|| fs::remove_file(path("a")).unwrap());
    }
}
