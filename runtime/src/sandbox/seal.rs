//! This program, sealed, for the launcher to run from.
//!
//! Until a container's entry point is executed, `/proc/<pid>/exe` of its init
//! is the launcher's program, and libcontainer does nothing about that. Where it
//! is sealed there is nothing to overwrite (CVE-2019-5736), and the link shows no
//! path of the host.
//!
//! It is seen through an overlay without an upper layer, as runc does it: one that
//! can never be written to, unlike a read-only bind mount, and has no path. Where
//! there is no such mount to be had it is copied into a sealed memory file, which
//! takes about 10 ms and the program's size in memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

/// What the kernel calls the running program.
const SELF: &str = "/proc/self/exe";

/// How often sealing is tried where the kernel is busy with the file.
const SEAL_ATTEMPTS: u32 = 20;

/// How long between two attempts.
const SEAL_PAUSE: Duration = Duration::from_millis(10);

/// The running program, where nobody can change it. `other` is a directory apart
/// from the program's, whatever is in it.
///
/// # Errors
/// There is no memory for a copy.
pub(crate) fn sealed_self(other: &Path) -> io::Result<OwnedFd> {
    through_overlay(other).or_else(|_| copy())
}

/// Opens the running program through an overlay of its directory.
fn through_overlay(other: &Path) -> io::Result<OwnedFd> {
    let path = std::fs::read_link(SELF)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::NotFound.into());
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // A single layer would ask for one to write to. The topmost is the one whose
    // names count.
    fsconfig_set_string(&context, "lowerdir", stacked(&[directory, other]))?;
    // Files are not told apart by their numbers here; where the two directories are in
    // different file systems the kernel would log that it has none for both.
    fsconfig_set_string(&context, "xino", "off")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let program = rustix::fs::openat(&tree, name, flags, Mode::empty())?;
    // The file may have been replaced, by a newer version for one.
    let (running, named) = (std::fs::metadata(SELF)?, std::fs::metadata(&path)?);
    if (running.dev(), running.ino()) == (named.dev(), named.ino()) {
        Ok(program)
    } else {
        Err(ErrorKind::NotFound.into())
    }
}

/// The directories as overlayfs's option has them, topmost first.
fn stacked(directories: &[&Path]) -> OsString {
    let mut option = Vec::new();
    for (index, directory) in directories.iter().enumerate() {
        if index > 0 {
            option.push(b':');
        }
        for &byte in directory.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\') {
                option.push(b'\\');
            }
            option.push(byte);
        }
    }
    OsString::from_vec(option)
}

/// Copies the running program into a sealed memory file.
fn copy() -> io::Result<OwnedFd> {
    let mut program = File::open(SELF)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 want to be told that the file will be executed.
    let copy = rustix::fs::memfd_create("lambent", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("lambent", flags))?;
    let mut copy = File::from(copy);
    io::copy(&mut program, &mut copy)?;
    seal(&copy)?;
    Ok(copy.into())
}

/// Makes it unchangeable. The kernel's own housekeeping may hold a page of it for a
/// moment, which looks as if somebody might still write.
fn seal(copy: &File) -> io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 1..SEAL_ATTEMPTS {
        match rustix::fs::fcntl_add_seals(copy, seals) {
            Err(Errno::BUSY) => std::thread::sleep(SEAL_PAUSE),
            other => return Ok(other?),
        }
    }
    Ok(rustix::fs::fcntl_add_seals(copy, seals)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    use super::*;

    fn contents(file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn the_copy_cannot_be_changed() {
        let copy = File::from(copy().unwrap());
        assert!(contents(&copy) == std::fs::read(SELF).unwrap());
        assert!((&copy).write_all(b"x").is_err());
        assert!(copy.set_len(0).is_err());
    }

    #[test]
    fn privileged_what_the_overlay_shows_cannot_be_opened_to_write() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let other = tempfile::tempdir().unwrap();
        let seen = File::from(through_overlay(other.path()).unwrap());
        assert!(contents(&seen) == std::fs::read(SELF).unwrap());
        let link = format!("/proc/self/fd/{}", seen.as_raw_fd());
        let opened = File::options().write(true).open(&link);
        let error = opened.unwrap_err().raw_os_error();
        assert_eq!(error, Some(libc::EROFS));
        let name = std::fs::read_link(SELF).unwrap();
        let shown = Path::new("/").join(name.file_name().unwrap());
        assert_eq!(std::fs::read_link(&link).unwrap(), shown);
    }

    #[test]
    fn a_directory_that_cannot_be_stacked_is_no_obstacle() {
        let missing = Path::new("/nonexistent");
        assert!(through_overlay(missing).is_err());
        sealed_self(missing).unwrap();
    }

    #[test]
    fn directories_are_told_apart_whatever_is_in_their_names() {
        let directories = [Path::new("/a:b\\c"), Path::new("/d")];
        assert_eq!(stacked(&directories), r"/a\:b\\c:/d");
    }
}
