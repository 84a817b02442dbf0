//! [`Special`]: a fifo or a device node that was just made, held by a descriptor.
//!
//! Its name may have come to lead somewhere else in the meantime, and no system call
//! that Linux 5.6 has changes a mode without following a link.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, chmod, fstat, mknodat, openat};
use rustix::io::Errno;

use super::entry::Metadata;
use super::metadata::{Creator, mode, set_owner_at};

/// A special file, whatever becomes of its name.
#[derive(Debug)]
pub(super) struct Special(OwnedFd);

impl Special {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// `STALE` if something else has its name before it can be held.
    pub(super) fn make(
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
        number: u64,
        metadata: &Metadata,
    ) -> rustix::io::Result<Self> {
        mknodat(parent, name, kind, mode(metadata), number)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = openat(parent, name, flags, Mode::empty())?;
        let stat = fstat(&node)?;
        // Of a new file no other name leads elsewhere.
        if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_nlink != 1 {
            return Err(Errno::STALE);
        }
        Ok(Self(node))
    }

    pub(super) fn set_owner(
        &self,
        metadata: &Metadata,
        creator: Creator,
    ) -> rustix::io::Result<()> {
        set_owner_at(&self.0, b"", AtFlags::EMPTY_PATH, metadata, creator)
    }

    /// Sets the mode, of which making it has left out what the umask says; after the
    /// owner, whose change clears bits.
    pub(super) fn set_mode(&self, metadata: &Metadata) -> rustix::io::Result<()> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        chmod(path, mode(metadata))
    }
}
