//! Owner, permissions, times and attributes, set through descriptors or without
//! following links.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, utimensat,
};
use rustix::io::Errno;

use super::entry::Metadata;

/// The user and group that new files get; their `chown` can be saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Creator {
    uid: u32,
    gid: u32,
}

impl Creator {
    pub(crate) fn current() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    fn already_owns(self, metadata: &Metadata) -> bool {
        (self.uid, self.gid) == (metadata.uid, metadata.gid)
    }
}

/// Applies everything to an open file or directory; returns how many extended
/// attributes the file system did not take.
pub(crate) fn apply(
    object: impl AsFd,
    metadata: &Metadata,
    creator: Option<Creator>,
) -> rustix::io::Result<usize> {
    if !creator.is_some_and(|creator| creator.already_owns(metadata)) {
        fchown(
            &object,
            Some(Uid::from_raw(metadata.uid)),
            Some(Gid::from_raw(metadata.gid)),
        )?;
    }
    // After the change of owner, which clears setuid and setgid.
    fchmod(&object, Mode::from_raw_mode(metadata.mode))?;
    let mut refused = 0;
    for (name, value) in &metadata.xattrs {
        match fsetxattr(&object, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // Too many or too large for this file system, or none at all there.
            Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::NOTSUP | Errno::PERM) => {
                refused += 1;
            }
            Err(error) => return Err(error),
        }
    }
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
    if !creator.already_owns(metadata) {
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        chownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
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
