//! Kernel locks between processes and threads; see the rules in `layout`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{IoContext, Result, quoted_path};
use crate::{NoProgress, Progress};

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

/// Longest pause between two tries at a lock that another process holds; the
/// first ones are shorter, for the index is held for a moment only.
const POLL: Duration = Duration::from_millis(16);
/// How long that goes on before the caller hears of it.
const QUIET: Duration = Duration::from_millis(500);

impl Lock {
    /// Waits for the lock, for as long as it takes.
    pub(crate) fn acquire(path: &Path, mode: Mode) -> Result<Self> {
        Self::acquire_for(path, mode, &NoProgress)
    }

    /// Waits for the lock until the caller's interrupt is raised.
    ///
    /// A blocked `flock` could not be ended from another thread, so it is tried
    /// again and again.
    pub(crate) fn acquire_for(path: &Path, mode: Mode, progress: &dyn Progress) -> Result<Self> {
        let interrupt = progress.interrupt();
        let started = Instant::now();
        let (mut told, mut pause) = (false, Duration::from_millis(1));
        loop {
            if let Some(lock) = Self::try_acquire(path, mode)? {
                return Ok(lock);
            }
            interrupt.check()?;
            if !told && started.elapsed() > QUIET {
                tracing::info!(lock = %path.display(), "waiting for another process");
                progress.waiting();
                told = true;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        }
    }

    /// Takes the lock if nobody holds it in a way that excludes that.
    pub(crate) fn try_acquire(path: &Path, mode: Mode) -> Result<Option<Self>> {
        let failed = || format!("locking {}", quoted_path(path));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .doing(failed)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match retry(|| flock(&file, operation)) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            other => other.doing(failed).map(|()| Some(Self { _file: file })),
        }
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
