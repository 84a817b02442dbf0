//! Records to files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::model::Destination;

const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Appends a line to a file, which is made if it is not there. Off the event loop:
/// a disk may be slow.
pub(super) async fn append(path: PathBuf, line: String) -> io::Result<()> {
    let written = tokio::task::spawn_blocking(move || append_now(&path, &line)).await;
    written.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// Tries what can be tried before the first record: that a file can be written. It
/// is made if it is not there.
///
/// # Errors
/// Why not.
pub fn check_destination(destination: &Destination) -> io::Result<()> {
    match destination {
        Destination::File(path) => open(path).map(drop),
        Destination::Function(_) => Ok(()),
    }
}

/// Opens a file to append to it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        // Payloads may hold secrets.
        .mode(0o600)
        // A FIFO without a reader is refused, instead of waited for.
        .custom_flags(NONBLOCK)
        .open(path)
}

fn append_now(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open(path)?;
    // In one call, so that lines of several writers do not mix.
    file.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        append_now(&path, "one").unwrap();
        append_now(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert!(append_now(directory.path(), "x").is_err());
    }
}
