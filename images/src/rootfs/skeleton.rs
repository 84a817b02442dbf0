//! The skeleton: the topmost layer over every image.
//!
//! Container runtimes create, mount on and write into `/dev`, `/proc`, `/sys`,
//! `/tmp` and `/etc` while the host is still within reach. An image that makes
//! one of them a symlink turns that into writes on the host. The skeleton has
//! real directories in these places; all but `/etc` hide whatever the image has
//! there, and `/etc` has real files for the names that a runtime writes.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags, fchmod, futimens, mkdirat, openat, renameat_with};
use rustix::io::Errno;

use crate::ContentStore;
use crate::error::{IoContext, Result};
use crate::store::layout::{Layout, open_dir};
use crate::store::staging::Staging;
use crate::tree::skeleton::{ETC, HIDDEN};
use crate::unpack::path::make_opaque;

/// The skeleton of a store, made when it is first asked for.
pub fn ensure(store: &ContentStore) -> Result<PathBuf> {
    ensure_in(&store.layout)
}

pub(crate) fn ensure_in(layout: &Layout) -> Result<PathBuf> {
    let path = layout.skeleton();
    if path.is_dir() {
        return Ok(path);
    }
    let failed = || "making the skeleton layer".to_owned();
    let staging = Staging::new(layout)?;
    let temporary = staging.path().join("skeleton");
    build(&temporary).doing(failed)?;
    rustix::fs::syncfs(layout.root_fd()).doing(failed)?;
    // Another process may have been faster; its skeleton is the same.
    match renameat_with(
        staging.fd(),
        "skeleton",
        rustix::fs::CWD,
        &path,
        RenameFlags::NOREPLACE,
    ) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(Errno::INVAL) => {
            if let Err(error) = std::fs::rename(&temporary, &path)
                && !path.is_dir()
            {
                return Err(error).doing(failed);
            }
        }
        Err(error) => return Err(error).doing(failed),
    }
    Ok(path)
}

pub(crate) fn build(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    let root = open_dir(path)?;
    for (name, mode) in HIDDEN {
        let directory = make_dir(&root, name)?;
        make_opaque(&directory)?;
        finish(&directory, mode)?;
    }
    let etc = make_dir(&root, "etc")?;
    for (name, text) in ETC {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(&etc, name, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(text.as_bytes())?;
        finish(&file, 0o644)?;
    }
    finish(&etc, 0o755)?;
    finish(&root, 0o755)
}

fn make_dir(parent: &OwnedFd, name: &str) -> std::io::Result<OwnedFd> {
    mkdirat(parent, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Exact modes, whatever the umask, and the same times on every machine.
fn finish(object: impl AsFd, mode: u32) -> std::io::Result<()> {
    fchmod(&object, Mode::from_raw_mode(mode))?;
    let epoch = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: epoch,
        last_modification: epoch,
    };
    Ok(futimens(&object, &times)?)
}
