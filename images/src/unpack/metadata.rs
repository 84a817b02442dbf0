//! Owner, permissions, times and attributes, set through descriptors or without
//! following links.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    fstat, futimens, utimensat,
};
use rustix::io::Errno;

use super::entry::Metadata;
use crate::owners::owners;

/// The user and group that new files get; their `chown` can be saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Creator {
    uid: u32,
    gid: u32,
}

impl Creator {
    /// Who owns what is made below the directory `root`, which was just made: not
    /// always this process's group, which a setgid bit further up overrules.
    pub(crate) fn below(root: impl AsFd) -> rustix::io::Result<Self> {
        let stat = fstat(root)?;
        Ok(Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    }

    fn already_owns(self, metadata: &Metadata) -> bool {
        (self.uid, self.gid) == owner(metadata)
    }
}

/// What overlayfs would take for its own in a user namespace.
const OVERLAY_XATTRS: &[u8] = b"user.overlay.";

/// The owner that an object gets, of those that there are.
fn owner(metadata: &Metadata) -> (u32, u32) {
    owners().owner(metadata.uid, metadata.gid)
}

/// The same, for system calls.
fn ids(metadata: &Metadata) -> (Uid, Gid) {
    let (uid, gid) = owner(metadata);
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

/// The mode that it gets.
pub(crate) fn mode(metadata: &Metadata) -> Mode {
    Mode::from_raw_mode(owners().mode(metadata.mode, metadata.uid, metadata.gid))
}

/// Applies everything to an open file or directory; returns how many extended
/// attributes the file system did not take.
pub(crate) fn apply(
    object: impl AsFd,
    metadata: &Metadata,
    creator: Option<Creator>,
) -> rustix::io::Result<usize> {
    set_owner(&object, metadata, creator)?;
    describe(object, metadata)
}

/// Gives an open file or directory its owner.
pub(crate) fn set_owner(
    object: impl AsFd,
    metadata: &Metadata,
    creator: Option<Creator>,
) -> rustix::io::Result<()> {
    if creator.is_some_and(|creator| creator.already_owns(metadata)) {
        return Ok(());
    }
    let (uid, gid) = ids(metadata);
    fchown(object, Some(uid), Some(gid))
}

/// Applies all but the owner, after which it has to come: a change of owner clears
/// setuid, setgid and capabilities. Returns what [`apply`] does.
pub(crate) fn describe(object: impl AsFd, metadata: &Metadata) -> rustix::io::Result<usize> {
    let mut refused = 0;
    // Before the mode, which may forbid an ordinary user to set attributes.
    for (name, value) in metadata.xattrs.iter() {
        if !owners().are_all() && name.starts_with(OVERLAY_XATTRS) {
            refused += 1;
            continue;
        }
        match fsetxattr(&object, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // Too many or too large for this file system, or none at all there.
            Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::NOTSUP | Errno::PERM) => {
                refused += 1;
            }
            Err(error) => return Err(error),
        }
    }
    fchmod(&object, mode(metadata))?;
    futimens(&object, &times(metadata))?;
    Ok(refused)
}

/// Applies what a symlink has: owner and times.
pub(crate) fn apply_to_link(
    directory: BorrowedFd<'_>,
    name: &[u8],
    metadata: &Metadata,
    creator: Creator,
) -> rustix::io::Result<()> {
    set_link_owner(directory, name, metadata, creator)?;
    set_link_times(directory, name, metadata)
}

/// Gives anything its owner, by name and not through a link.
pub(crate) fn set_link_owner(
    directory: BorrowedFd<'_>,
    name: &[u8],
    metadata: &Metadata,
    creator: Creator,
) -> rustix::io::Result<()> {
    set_owner_at(
        directory,
        name,
        AtFlags::SYMLINK_NOFOLLOW,
        metadata,
        creator,
    )
}

/// Gives what a directory and a name lead to its owner.
pub(super) fn set_owner_at(
    directory: impl AsFd,
    name: &[u8],
    flags: AtFlags,
    metadata: &Metadata,
    creator: Creator,
) -> rustix::io::Result<()> {
    if creator.already_owns(metadata) {
        return Ok(());
    }
    let (uid, gid) = ids(metadata);
    chownat(directory, name, Some(uid), Some(gid), flags)
}

/// Sets times by name and not through a link.
pub(crate) fn set_link_times(
    directory: BorrowedFd<'_>,
    name: &[u8],
    metadata: &Metadata,
) -> rustix::io::Result<()> {
    utimensat(directory, name, &times(metadata), AtFlags::SYMLINK_NOFOLLOW)
}

/// The kernel clamps times to what the file system can hold.
fn times(metadata: &Metadata) -> Timestamps {
    let time = Timespec {
        tv_sec: metadata.mtime.seconds,
        tv_nsec: metadata.mtime.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
