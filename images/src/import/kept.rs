//! [`KeptFile`]: a large file of the store while it is written.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::store::layout::private_file;
use crate::sys;

/// The disk is set to work whenever so many bytes have gathered, so that little
/// is left to wait for at the end.
const WRITEBACK_EVERY: u64 = 16 * 1024 * 1024;

/// Writes a new file, and has the kernel bring it to disk in the meantime.
#[derive(Debug)]
pub(super) struct KeptFile {
    file: File,
    written: u64,
    /// How far the kernel was told to write.
    started: u64,
}

impl KeptFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: private_file(path)?,
            written: 0,
            started: 0,
        })
    }

    fn start_writeback(&mut self) {
        let length = self.written - self.started;
        // Only a matter of time: the flush at the end is what counts.
        if let Err(error) = sys::start_writeback(&self.file, self.started, length) {
            tracing::debug!(%error, "cannot start writing to disk early");
        }
        self.started = self.written;
    }
}

impl Write for KeptFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        if self.written - self.started >= WRITEBACK_EVERY {
            self.start_writeback();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.start_writeback();
    }
}
