//! The only unsafe code of this program.

#![expect(unsafe_code, reason = "fork and unshare have no safe wrapper")]

use std::io;

use rustix::thread::UnshareFlags;

/// Duplicates the process: true in the new one. This program has one thread.
pub(crate) fn fork() -> io::Result<bool> {
    // SAFETY: there is no other thread, so no lock can be held by one.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid == 0),
    }
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: namespaces only; descriptors and memory stay shared as they are.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}
