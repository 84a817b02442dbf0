//! The tree of an image seen through a mount that has no path.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::FileKind;
use crate::erofs;
use crate::error::{Error, IoContext, Result, quoted_path};

/// A mount that lives as long as this.
#[derive(Debug)]
pub(super) struct Mounted(OwnedFd);

impl Mounted {
    pub(super) fn new(image: &Path, devices: &[PathBuf]) -> Result<Self> {
        erofs::mount::detached(image, devices).map(Self)
    }

    pub(super) fn lookup(&self, path: &Path) -> Result<Option<FileKind>> {
        let Some(found) = self.resolve(path, OFlags::PATH)? else {
            return Ok(None);
        };
        let stat = fstat(&found).doing(|| looking_up(path))?;
        Ok(Some(FileKind::new(&stat)))
    }

    pub(super) fn open(&self, path: &Path) -> Result<Option<File>> {
        match self.lookup(path)? {
            Some(FileKind::File { .. }) => {
                let found = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                Ok(found.map(File::from))
            }
            _ => Ok(None),
        }
    }

    /// Follows links inside the root, as the function will.
    fn resolve(&self, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path_or_root = if path.as_os_str().is_empty() {
            Path::new("/")
        } else {
            path
        };
        match openat2(
            &self.0,
            path_or_root,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
            Err(Errno::LOOP) => Err(Error::invalid(format!(
                "{} leads through too many symbolic links in the image",
                quoted_path(path)
            ))),
            Err(error) => Err(error).doing(|| looking_up(path)),
        }
    }
}

fn looking_up(path: &Path) -> String {
    format!("looking up {} in the image", quoted_path(path))
}
