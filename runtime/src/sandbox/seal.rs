//! A sealed copy of this program, for the launcher to run from.
//!
//! Until a container's entry point is executed, `/proc/<pid>/exe` of its init
//! is the launcher's program, and libcontainer does nothing about that. From a
//! sealed memory file there is nothing to overwrite (CVE-2019-5736), and the
//! link shows no path of the host.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

/// Copies the running program into a sealed memory file.
pub(crate) fn sealed_copy_of_self() -> io::Result<OwnedFd> {
    let mut program = File::open("/proc/self/exe")?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 want to be told that the file will be executed.
    let copy = rustix::fs::memfd_create("lambent", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("lambent", flags))?;
    let mut copy = File::from(copy);
    io::copy(&mut program, &mut copy)?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_copy_cannot_be_changed() {
        let copy = File::from(sealed_copy_of_self().unwrap());
        assert_eq!(
            copy.metadata().unwrap().len(),
            std::fs::metadata("/proc/self/exe").unwrap().len()
        );
        assert!((&copy).write_all(b"x").is_err());
        assert!(copy.set_len(0).is_err());
    }
}
