//! [`Rootfs`]: the layers of an image, leased, in the order to mount them.

mod merged;
pub mod overlay;
pub mod skeleton;

use std::fs::File;
use std::path::{Path, PathBuf};

use self::merged::Merged;
use crate::error::{Error, ErrorKind, Result};
use crate::store::lock::{Lock, Mode};
use crate::{ContentStore, Image};

/// What a path of an image is, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A regular file.
    File {
        /// Permission bits, with setuid and setgid.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Size in bytes.
        size: u64,
    },
    /// A fifo or anything else.
    Other,
}

impl FileKind {
    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// True for a regular file that this user and group may execute; for a user
    /// other than root, which Lambda's always is.
    pub fn is_executable_by(&self, user: u32, group: u32) -> bool {
        let Self::File { mode, uid, gid, .. } = *self else {
            return false;
        };
        let shift = match () {
            () if user == uid => 6,
            () if group == gid => 3,
            () => 0,
        };
        mode >> shift & 1 == 1
    }
}

impl ContentStore {
    /// Leases the unpacked layers of an image.
    ///
    /// # Errors
    ///
    /// `NotFound` when a layer is not, or no longer, in the store: import again.
    pub fn rootfs(&self, image: &Image) -> Result<Rootfs> {
        let store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let name = format!("image-{}", image.manifest_digest.hex());
        let lease = Lock::acquire(&self.layout.lock(&name), Mode::Shared)?;
        drop(store);
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter().rev() {
            let path = self.layout.layer(&layer.diff_id);
            if !path.is_dir() {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "layer {} is not in the store; import the image again",
                        layer.diff_id
                    ),
                ));
            }
            layers.push(path);
        }
        let skeleton = skeleton::ensure_in(&self.layout)?;
        Rootfs::new(skeleton, layers, lease)
    }
}

/// An image's layers under the skeleton. While it lives, nothing that it names
/// is removed from the store, by any process.
#[derive(Debug)]
pub struct Rootfs {
    lower_dirs: Vec<PathBuf>,
    merged: Merged,
    _lease: Lock,
}

impl Rootfs {
    /// `layers` are topmost first.
    pub(crate) fn new(skeleton: PathBuf, layers: Vec<PathBuf>, lease: Lock) -> Result<Self> {
        let mut lower_dirs = vec![skeleton];
        lower_dirs.extend(layers);
        let merged = Merged::open(&lower_dirs)?;
        lower_dirs.truncate(merged.depth());
        Ok(Self {
            lower_dirs,
            merged,
            _lease: lease,
        })
    }

    /// The directories to stack, topmost first; the first is the skeleton.
    ///
    /// Layers below one that replaces the whole root are left out, since
    /// overlayfs has no way to say that.
    pub fn lower_dirs(&self) -> &[PathBuf] {
        &self.lower_dirs
    }

    /// What `path` is in the image, without mounting it. Symlinks are followed
    /// inside the image; a relative path is taken from the root.
    ///
    /// # Errors
    ///
    /// `Invalid` for a loop of links, `Io` if the store cannot be read. A path
    /// that does not exist is `None`.
    pub fn lookup(&self, path: impl AsRef<Path>) -> Result<Option<FileKind>> {
        Ok(self
            .merged
            .resolve(path.as_ref(), true)?
            .map(|object| object.kind()))
    }

    /// Opens the regular file at `path` for reading, as [`Self::lookup`] finds it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Option<File>> {
        match self.merged.resolve(path.as_ref(), true)? {
            Some(object) => object.open(),
            None => Ok(None),
        }
    }
}

/// Warnings about what the image has in the skeleton's places; topmost first.
pub(crate) fn covered_by_skeleton(layers: &[PathBuf]) -> Result<Vec<String>> {
    let merged = Merged::open(layers)?;
    let mut warnings = Vec::new();
    for name in ["dev", "etc", "proc", "sys", "tmp"] {
        let object = merged.resolve(Path::new(name), false)?;
        if object.is_some_and(|object| !object.kind().is_directory()) {
            warnings.push(format!(
                "/{name} is not a directory in the image; it is replaced by a directory"
            ));
        }
    }
    Ok(warnings)
}
