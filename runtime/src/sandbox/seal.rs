//! A sealed copy of this program, for the launcher to run from.
//!
//! Until a container's entry point is executed, `/proc/<pid>/exe` of its init
//! is the launcher's program, and libcontainer does nothing about that. From a
//! sealed memory file there is nothing to overwrite (CVE-2019-5736), and the
//! link shows no path of the host.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

/// How often sealing is tried where the kernel is busy with the file.
const SEAL_ATTEMPTS: u32 = 20;

/// How long between two attempts.
const SEAL_PAUSE: Duration = Duration::from_millis(10);

/// Copies the running program into a sealed memory file.
pub(crate) fn sealed_copy_of_self() -> io::Result<OwnedFd> {
    let mut program = File::open("/proc/self/exe")?;
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
