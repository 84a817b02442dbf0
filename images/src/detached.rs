//! Mounts that have no path yet: what overlayfs and EROFS have in common.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};

use crate::error::{IoContext, Result, quoted_path};

/// Moves a detached mount to a path.
pub(crate) fn attach(tree: impl AsFd, target: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", CWD, target, flags)
        .doing(|| format!("mounting the root file system at {}", quoted_path(target)))
}

/// Moves a detached mount over an open directory.
pub(crate) fn attach_over(tree: impl AsFd, directory: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", directory, "", flags)
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
