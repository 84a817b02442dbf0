//! [`Rootfs`]: the layers of an image, leased, in the order to mount them.

pub(crate) mod built;
mod merged;
pub(crate) mod mount;
mod mounted;
pub(crate) mod overlay;
pub mod skeleton;

use std::fs::File;
use std::path::Path;

use rustix::fs::FileType;

use self::merged::Merged;
pub use self::mount::RootMount;
use self::mounted::Mounted;
use crate::error::{Error, ErrorKind, Result};
use crate::store::chain::Chain;
use crate::store::lock::{Lock, Mode};
use crate::{ContentStore, Digest, Form, Image, Permission};

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
    pub(crate) fn new(stat: &rustix::fs::Stat) -> Self {
        let mode = stat.st_mode & 0o7777;
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory { mode, uid, gid },
            FileType::RegularFile => Self::File {
                mode,
                uid,
                gid,
                size: u64::try_from(stat.st_size).unwrap_or_default(),
            },
            _ => Self::Other,
        }
    }

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
        Permission::Execute.is_in(mode, (uid, gid), (user, group))
    }
}

impl ContentStore {
    /// Leases the layers of an image, in the form that this store keeps.
    ///
    /// # Errors
    ///
    /// `NotFound` when a layer is not, or no longer, in the store: import again.
    pub fn rootfs(&self, image: &Image) -> Result<Rootfs> {
        let lease = self.lease(image)?;
        match self.form() {
            Form::Directory => self.directories(image, lease),
            Form::Erofs => self.erofs(image, lease),
        }
    }

    /// Keeps the layers of an image in the store while the lease lives.
    pub(crate) fn lease(&self, image: &Image) -> Result<Lock> {
        let _store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let name = format!("image-{}", image.manifest_digest.hex());
        Lock::acquire(&self.layout.lock(&name), Mode::Shared)
    }

    fn directories(&self, image: &Image, lease: Lock) -> Result<Rootfs> {
        let mut lower_dirs = vec![skeleton::ensure_in(&self.layout)?];
        let chain = chain(image);
        let joint = chain
            .joint(&self.layout)
            .ok_or_else(|| not_stored(&image.manifest_digest))?;
        if joint.has_directory {
            lower_dirs.push(self.layout.joint(chain.digest()));
        }
        for diff_id in chain.diff_ids().iter().rev() {
            let path = self.layout.layer(diff_id);
            if !path.is_dir() {
                return Err(not_stored(diff_id));
            }
            // overlayfs takes no directory twice. A layer has nothing to show through
            // itself.
            if !lower_dirs.contains(&path) {
                lower_dirs.push(path);
            }
        }
        let merged = Merged::open(&lower_dirs)?;
        // overlayfs has no way to say that a layer replaces the whole root.
        lower_dirs.truncate(merged.depth());
        Ok(Rootfs {
            mount: RootMount::Overlay { lower_dirs },
            view: View::Merged(merged),
            _lease: lease,
        })
    }

    fn erofs(&self, image: &Image, lease: Lock) -> Result<Rootfs> {
        let chain = chain(image);
        let record = chain
            .erofs(&self.layout)
            .ok_or_else(|| not_stored(&image.manifest_digest))?;
        let mut devices = Vec::with_capacity(record.devices.len());
        for diff_id in &record.devices {
            let path = self.layout.stream(diff_id);
            if !path.is_file() {
                return Err(not_stored(diff_id));
            }
            devices.push(path);
        }
        let image = self.layout.erofs(chain.digest());
        Ok(Rootfs {
            view: View::Mounted(Mounted::new(&image, &devices)?),
            mount: RootMount::Erofs { image, devices },
            _lease: lease,
        })
    }
}

fn chain(image: &Image) -> Chain {
    let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
    Chain::new(&diff_ids)
}

pub(crate) fn not_stored(digest: &Digest) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("layer {digest} is not in the store; import the image again"),
    )
}

/// An image's layers under the skeleton. While it lives, nothing that it names
/// is removed from the store, by any process.
#[derive(Debug)]
pub struct Rootfs {
    mount: RootMount,
    view: View,
    _lease: Lock,
}

/// How the tree is looked at.
#[derive(Debug)]
enum View {
    Merged(Merged),
    Mounted(Mounted),
}

impl Rootfs {
    /// How to mount the tree.
    pub fn mount(&self) -> &RootMount {
        &self.mount
    }

    /// What `path` is in the image. Symlinks are followed inside the image; a
    /// relative path is taken from the root.
    ///
    /// # Errors
    ///
    /// `Invalid` for a loop of links, `Io` if the store cannot be read. A path
    /// that does not exist is `None`.
    pub fn lookup(&self, path: impl AsRef<Path>) -> Result<Option<FileKind>> {
        match &self.view {
            View::Merged(merged) => Ok(merged
                .resolve(path.as_ref(), true)?
                .map(|object| object.kind())),
            View::Mounted(mounted) => mounted.lookup(path.as_ref()),
        }
    }

    /// Opens the regular file at `path` for reading, as [`Self::lookup`] finds it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Option<File>> {
        match &self.view {
            View::Merged(merged) => match merged.resolve(path.as_ref(), true)? {
                Some(object) => object.open(),
                None => Ok(None),
            },
            View::Mounted(mounted) => mounted.open(path.as_ref()),
        }
    }
}
