//! [`RootMount`]: how the root file system of an image is mounted.
//!
//! Called from a single-threaded, privileged process; changes neither the
//! working directory nor anything else of the caller.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::overlay;
use crate::detached::attach;
use crate::erofs;
use crate::error::Result;

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
