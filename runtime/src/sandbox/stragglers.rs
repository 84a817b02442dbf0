//! What a worker has started and not come to report, where no cgroup holds it.
//!
//! The children of a worker are the launcher's, like those of all other workers.
//! What tells them apart is the network namespace that each worker makes: until a
//! container runs, nothing else is in there.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Signal};

/// The children of the launcher that one worker has made.
#[derive(Debug)]
pub(super) struct Stragglers {
    launcher: i32,
    worker: i32,
    network: PathBuf,
}

impl Stragglers {
    /// Those of a child of this process.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn of(worker: i32) -> io::Result<Self> {
        let launcher = std::process::id().cast_signed();
        let network = network(worker)?;
        if network == self::network(launcher)? {
            return Err(io::Error::other("it has not made anything yet"));
        }
        Ok(Self {
            launcher,
            worker,
            network,
        })
    }

    /// Those of this process, a worker.
    ///
    /// # Errors
    /// It has no parent to which they belong.
    pub(super) fn of_this_worker() -> io::Result<Self> {
        let launcher = rustix::process::getppid()
            .ok_or_else(|| io::Error::other("the launcher is gone"))?
            .as_raw_nonzero()
            .get();
        let worker = std::process::id().cast_signed();
        let network = network(worker)?;
        if network == self::network(launcher)? {
            return Err(io::Error::other("nothing has been made yet"));
        }
        Ok(Self {
            launcher,
            worker,
            network,
        })
    }

    /// Kills them, and those that they make meanwhile: the process that makes
    /// another one ends itself then, and is found again until it does.
    pub(super) fn kill(&self) {
        const LOOKS: usize = 3;
        for _ in 0..LOOKS {
            for pid in self.found() {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    fn found(&self) -> impl Iterator<Item = Pid> {
        children(self.launcher)
            .filter(|pid| *pid != self.worker)
            .filter(|pid| network(*pid).is_ok_and(|network| network == self.network))
            .filter_map(Pid::from_raw)
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// Kills what workers that are dead have left with this process, the launcher: children
/// of which it does not know, and that no living worker shares its network with.
pub(super) fn kill_orphans(known: &[i32]) {
    let launcher = std::process::id().cast_signed();
    let living: Vec<_> = known.iter().filter_map(|pid| network(*pid).ok()).collect();
    children(launcher)
        .filter(|pid| !known.contains(pid))
        .filter(|pid| network(*pid).is_ok_and(|network| !living.contains(&network)))
        .filter_map(Pid::from_raw)
        .for_each(|pid| {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        });
}

fn children(process: i32) -> impl Iterator<Item = i32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let pids: Vec<i32> = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.into_iter()
}

fn network(pid: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net"))
}
