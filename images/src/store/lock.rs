//! Kernel locks between processes and threads; see the rules in `layout`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{IoContext, Result, quoted_path};

/// A lock on a file under `locks/`, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

impl Lock {
    /// Waits for the lock.
    pub(crate) fn acquire(path: &Path, mode: Mode) -> Result<Self> {
        let failed = || format!("locking {}", quoted_path(path));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .doing(failed)?;
        let (at_once, patiently) = match mode {
            Mode::Shared => (
                FlockOperation::NonBlockingLockShared,
                FlockOperation::LockShared,
            ),
            Mode::Exclusive => (
                FlockOperation::NonBlockingLockExclusive,
                FlockOperation::LockExclusive,
            ),
        };
        match flock(&file, at_once) {
            Err(Errno::WOULDBLOCK) => {
                tracing::info!(lock = %path.display(), "waiting for another process");
                retry(|| flock(&file, patiently)).doing(failed)?;
            }
            other => other.doing(failed)?,
        }
        Ok(Self { _file: file })
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
