//! The only unsafe code of this crate: a system call that `rustix` does not wrap.
#![expect(
    unsafe_code,
    reason = "libc's functions are unsafe to call; each call says why it is sound"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Asks the kernel to begin writing a part of a file to disk, without waiting.
///
/// # Errors
///
/// Those of `sync_file_range(2)`; the data is as safe as before.
pub(crate) fn start_writeback(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let offset = i64::try_from(offset).map_err(too_large)?;
    let length = i64::try_from(length).map_err(too_large)?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; the call
    // touches no memory of this process.
    let result = unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            length,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
