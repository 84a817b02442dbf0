//! A child process of the launcher.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// A child, named by a descriptor that cannot come to mean another process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: i32,
    /// None if it has been reaped: then its pid is a name in the launcher's books.
    pidfd: Option<OwnedFd>,
}

impl Child {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let pid_checked = Pid::from_raw(pid).ok_or_else(|| io::Error::other("not a pid"))?;
        Ok(Self {
            pid,
            pidfd: Some(rustix::process::pidfd_open(
                pid_checked,
                PidfdFlags::empty(),
            )?),
        })
    }

    /// One that had been reaped when somebody told of it.
    pub(super) fn reaped(pid: i32) -> Self {
        Self { pid, pidfd: None }
    }

    /// Becomes readable when it ends.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn kill(&self) {
        if let Some(pidfd) = &self.pidfd {
            // It may be dead already, which is what we want.
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }

    /// Whether it has ended.
    pub(super) fn ended(&self) -> bool {
        self.pidfd().is_none_or(is_readable)
    }
}

/// Whether there is something to read, the end included.
pub(super) fn is_readable(descriptor: BorrowedFd<'_>) -> bool {
    let mut poll = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(rustix::event::poll(&mut poll, Some(&now)), Ok(count) if count > 0)
}
