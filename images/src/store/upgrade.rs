//! From version 1 of the store's format: there the streams were in a directory of
//! their own, beside the compressed blobs that they came from.

use std::fs;
use std::io::Write;

use super::layout::{Layout, VERSION_FILE, private_file, version_text};
use super::lock::{Lock, Mode};
use crate::error::{IoContext, Result, quoted_path};
use crate::unique::unique;

/// Makes blobs of the streams. Waits until no import runs.
///
/// Every step can be done again, and the version changes last: a killed upgrade
/// goes on when the store is opened the next time. The compressed blobs stay until
/// the images are listed by their streams, which their next import does.
pub(super) fn to_streams_as_blobs(layout: &Layout) -> Result<()> {
    let _store = Lock::acquire(&layout.lock("store"), Mode::Exclusive)?;
    let failed = || format!("upgrading the image store {}", quoted_path(layout.root()));
    let old = layout.root().join("tars/sha256");
    if old.is_dir() {
        for entry in fs::read_dir(&old).doing(failed)? {
            let entry = entry.doing(failed)?;
            let blob = layout.root().join("blobs/sha256").join(entry.file_name());
            fs::rename(entry.path(), blob).doing(failed)?;
            // A rename does nothing where both names are of one file.
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other.doing(failed)?,
            }
        }
        fs::remove_dir(&old).doing(failed)?;
        fs::remove_dir(layout.root().join("tars")).doing(failed)?;
    }
    let temporary = layout.tmp().join(format!(
        ".{VERSION_FILE}-{}-{}",
        std::process::id(),
        unique()
    ));
    let mut file = private_file(&temporary).doing(failed)?;
    file.write_all(version_text().as_bytes()).doing(failed)?;
    rustix::fs::syncfs(layout.root_fd()).doing(failed)?;
    fs::rename(&temporary, layout.root().join(VERSION_FILE)).doing(failed)?;
    rustix::fs::fsync(layout.root_fd()).doing(failed)
}
