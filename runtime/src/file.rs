//! Files that keep state: small, replaced as a whole, each with one writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::service_error::ServiceError;

/// A lock on a directory's file `lock`, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `directory`, which is made if need be; waits for it.
    pub(crate) fn wait(directory: &Path) -> Result<Self, ServiceError> {
        let file = lock_file(directory)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", directory, error))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock unless another process has it.
    pub(crate) fn take(directory: &Path) -> Result<Option<Self>, ServiceError> {
        let file = lock_file(directory)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed("lock", directory, error)),
        }
    }
}

fn lock_file(directory: &Path) -> Result<File, ServiceError> {
    let opened = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(directory.join("lock"))
        });
    opened.map_err(|error| failed("open", directory, error))
}

/// Reads a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, ServiceError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Replaces a file: whoever reads it sees the old or the new content, also after a
/// power cut. Only with the lock of its directory held.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ServiceError> {
    replace_from(path, bytes)
}

/// The same, with what `source` has.
pub(crate) fn replace_from(path: &Path, mut source: impl Read) -> Result<(), ServiceError> {
    let part = PathBuf::from(format!("{}.part", path.display()));
    let mut write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        io::copy(&mut source, &mut file)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    write().map_err(|error| failed("write", path, error))
}

pub(crate) fn failed(what: &str, path: &Path, error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Host(format!("cannot {what} {}: {error}", path.display()))
}
