//! Staging directories: where an import works until its results are renamed.
//!
//! The owner holds an exclusive lock on the directory itself, so a sweep can tell
//! a dead import from a living one without looking at process ids.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::layout::{Layout, open_dir};
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::unique::unique;

/// A directory in `tmp/`, removed with all its content when dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    fd: OwnedFd,
    /// False once it has become something else.
    temporary: bool,
}

impl Staging {
    pub(crate) fn new(layout: &Layout) -> Result<Self> {
        Self::in_directory(&layout.tmp(), "")
    }

    /// A hidden directory beside `target`, which it is to become. What killed
    /// processes left there is removed.
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::invalid(format!("{} has no name", quoted_path(target))))?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let prefix = format!(".{}.lambent-", name.to_string_lossy());
        sweep_directory(parent, &prefix)?;
        Self::in_directory(parent, &prefix)
    }

    /// Becomes the directory `target`, which may be there if it is empty.
    pub(crate) fn rename_to(mut self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).doing(|| format!("making {}", quoted_path(target)))?;
        self.temporary = false;
        Ok(())
    }

    fn in_directory(parent: &Path, prefix: &str) -> Result<Self> {
        let failed = || format!("making a working directory in {}", quoted_path(parent));
        loop {
            let path = parent.join(format!("{prefix}{}-{}", std::process::id(), unique()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.doing(failed)?,
            }
            // A sweep may lock and remove the directory before we lock it; then
            // it has no link any more, and the next name is tried.
            let Ok(fd) = open_dir(&path) else { continue };
            let locked = flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok();
            if locked && rustix::fs::fstat(&fd).doing(failed)?.st_nlink > 0 {
                return Ok(Self {
                    path,
                    fd,
                    temporary: true,
                });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = remove_tree(self.fd.as_fd(), &self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a working directory stays behind");
        }
    }
}

/// Removes what dead imports left behind.
pub(crate) fn sweep(layout: &Layout) -> Result<()> {
    sweep_directory(&layout.tmp(), "")
}

fn sweep_directory(directory: &Path, prefix: &str) -> Result<()> {
    let listing = || format!("listing {}", quoted_path(directory));
    for entry in fs::read_dir(directory).doing(listing)? {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
        {
            continue;
        }
        match open_dir(&path) {
            Ok(fd) if flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() => {
                if let Err(error) = remove_tree(fd.as_fd(), &path) {
                    tracing::warn!(path = %path.display(), %error, "a dead working directory stays behind");
                }
            }
            Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                super::remove_stale_file(&path);
            }
            // In use, or already gone.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes the directory `fd` at `path`, however deep it is.
///
/// Directories that are not empty are first moved up to the top: that needs two
/// descriptors whatever the depth, and no path longer than one name. An ordinary
/// user gets the permissions for it first, which images may have taken away.
fn remove_tree(fd: BorrowedFd<'_>, path: &Path) -> std::io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let mut again = false;
        for name in names(fd)? {
            match rustix::fs::unlinkat(fd, &name, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => {
                    again |= empty_directory(fd, &name, &mut moved)?;
                    rustix::fs::unlinkat(fd, &name, AtFlags::REMOVEDIR)?;
                }
                Err(Errno::NOENT) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !again {
            break;
        }
    }
    fs::remove_dir(path)
}

/// Empties `name` in `top`, moving its directories into `top`; true if there were any.
fn empty_directory(top: BorrowedFd<'_>, name: &[u8], moved: &mut u64) -> std::io::Result<bool> {
    let directory = open_writable(top, name)?;
    let mut any = false;
    for child in names(directory.as_fd())? {
        match rustix::fs::unlinkat(&directory, &child, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                if rustix::fs::unlinkat(&directory, &child, AtFlags::REMOVEDIR).is_err() {
                    // Moving a directory takes the permission to write it.
                    open_writable(directory.as_fd(), &child)?;
                    *moved += 1;
                    let target = format!(".removed-{}-{moved}", unique());
                    rustix::fs::renameat(&directory, &child, top, target)?;
                    any = true;
                }
            }
            Err(Errno::NOENT) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(any)
}

/// Opens a directory whose entries may then be removed.
fn open_writable(parent: BorrowedFd<'_>, name: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags | OFlags::RDONLY, Mode::empty());
    let directory = match open() {
        Err(Errno::ACCESS) => {
            let closed = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            let path = format!("/proc/self/fd/{}", closed.as_raw_fd());
            rustix::fs::chmod(path, Mode::RWXU)?;
            open()?
        }
        other => other?,
    };
    if !rustix::process::geteuid().is_root() {
        rustix::fs::fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

fn names(directory: BorrowedFd<'_>) -> std::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
