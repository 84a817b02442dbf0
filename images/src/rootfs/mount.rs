//! [`RootMount`]: how the root file system of an image is mounted.
//!
//! Called from a single-threaded, privileged process; changes neither the
//! working directory nor anything else of the caller.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use serde::{Deserialize, Serialize};

use super::overlay;
use crate::erofs;
use crate::error::{IoContext, Result, quoted_path};

/// What there is to mount for the root file system of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RootMount {
    /// Directories to stack by overlayfs, topmost first; the first is the
    /// skeleton.
    Overlay {
        /// The directories.
        lower_dirs: Vec<PathBuf>,
    },
    /// An EROFS image of metadata, and the tar streams with the content.
    Erofs {
        /// The image.
        image: PathBuf,
        /// The devices that the image names, in its order.
        devices: Vec<PathBuf>,
    },
}

impl RootMount {
    /// Mounts the tree at the directory `target`: read-only, without devices and
    /// without setuid.
    ///
    /// # Errors
    ///
    /// `Unsupported` when this kernel lacks what it takes, `Io` when it refuses
    /// the mount.
    pub fn mount(&self, target: &Path) -> Result<()> {
        match self {
            Self::Overlay { lower_dirs } => overlay::mount(lower_dirs, target),
            Self::Erofs { image, devices } => {
                attach(erofs::mount::detached(image, devices)?, target)
            }
        }
    }
}

/// Moves a detached mount to a path.
pub(super) fn attach(tree: impl AsFd, target: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", CWD, target, flags)
        .doing(|| format!("mounting the root file system at {}", quoted_path(target)))
}

/// The error with the reason that the kernel left on the context, if any.
pub(crate) fn explained(context: impl AsFd, error: Errno) -> std::io::Error {
    let mut message = [0; 512];
    let text = match rustix::io::read(context, &mut message) {
        Ok(length) => String::from_utf8_lossy(&message[..length])
            .trim()
            .to_owned(),
        Err(_) => return error.into(),
    };
    std::io::Error::other(format!("{error}: {}", text.escape_debug()))
}
