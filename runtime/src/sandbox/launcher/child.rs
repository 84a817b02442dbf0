//! A child process of the launcher.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal};

/// A child, named by a descriptor that cannot come to mean another process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

impl Child {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let pid_checked = Pid::from_raw(pid).ok_or_else(|| io::Error::other("not a pid"))?;
        Ok(Self {
            pid,
            pidfd: rustix::process::pidfd_open(pid_checked, PidfdFlags::empty())?,
        })
    }

    pub(super) fn kill(&self) {
        // It may be dead already, which is what we want.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}
