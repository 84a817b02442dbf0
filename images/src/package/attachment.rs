//! [`Attachment`]: directories over one directory of a mounted root.
//!
//! An overlay whatever their number, and whatever the root is made of: it is
//! mounted over a directory that the root has, so the root itself stays as it is,
//! an EROFS or an overlay, and overlays are not stacked on it.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use serde::{Deserialize, Serialize};

use crate::error::{IoContext, Result, quoted_path};
use crate::rootfs::overlay;

/// Directories, topmost first, that are seen as one at a path of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    target: PathBuf,
    directories: Vec<PathBuf>,
}

impl Attachment {
    pub(super) fn new(target: PathBuf, directories: Vec<PathBuf>) -> Self {
        Self {
            target,
            directories,
        }
    }

    /// Mounts it, read-only, without devices and without setuid, over the directory
    /// that its path leads to inside of the root at `root`: a link there cannot lead
    /// to the host.
    ///
    /// Called from a single-threaded, privileged process.
    ///
    /// # Errors
    ///
    /// `Io` when there is no such directory or the kernel refuses the mount.
    pub fn mount(&self, root: &Path) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opening = || format!("opening {} of the image", quoted_path(&self.target));
        let root = openat(CWD, root, flags, Mode::empty()).doing(opening)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let directory =
            openat2(root, &self.target, flags, Mode::empty(), resolve).doing(opening)?;
        overlay::mount_over(&self.directories, &directory)
    }
}
