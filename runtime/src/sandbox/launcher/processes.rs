//! The processes that a container's init has started: the launcher's grandchildren.
//!
//! Init says how each of them ended, as long as it runs. In a frozen environment it
//! does not, while a process of it can be killed all the same: then only this end
//! sees it.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::child::Child;

/// Those that live, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Processes {
    living: Vec<Child>,
}

impl Processes {
    /// Watches the children of `init` that its own namespace calls `pids`, or its
    /// first if there are none; the last is the runtime, whose status file in `/proc`
    /// this is. It is init's own, whose numbers are small, if the runtime has ended
    /// already. Init is not reaped yet, so its pid still means it.
    ///
    /// # Errors
    /// Init is gone too.
    pub(super) fn watch(&mut self, init: i32, pids: &[i32]) -> io::Result<OwnedFd> {
        self.living.clear();
        let mut runtime = None;
        for child in children(init) {
            if !pids.is_empty() && !pids.contains(&child.own_pid) {
                continue;
            }
            self.living.push(child.process);
            if pids.last().is_none_or(|pid| *pid == child.own_pid) {
                runtime = Some(child.status);
                break;
            }
        }
        runtime
            .map_or_else(|| fs::File::open(format!("/proc/{init}/status")), Ok)
            .map(OwnedFd::from)
    }

    /// Descriptors that become readable when one of them dies.
    pub(super) fn deaths(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.living.iter().filter_map(Child::pidfd)
    }

    /// Whether any has died since this was asked for the last time.
    pub(super) fn take_deaths(&mut self) -> bool {
        let before = self.living.len();
        self.living.retain(|process| !process.ended());
        self.living.len() < before
    }

    /// Watches nothing any more: all of them shall end.
    pub(super) fn forget(&mut self) {
        self.living.clear();
    }
}

/// A child of a container's init.
struct OfInit {
    process: Child,
    /// As its own namespace calls it.
    own_pid: i32,
    status: fs::File,
}

/// The children of an init, the oldest first.
fn children(init: i32) -> impl Iterator<Item = OfInit> {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"));
    let pids: Vec<i32> = children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.into_iter().filter_map(|pid| {
        // The descriptor first: as long as it stands for a process that lives, what
        // is read by the number afterwards is of the same process.
        let process = Child::open(pid).ok()?;
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).ok()?;
        Some(OfInit {
            process,
            own_pid: own_pid(&status)?,
            status: fs::File::open(path).ok()?,
        })
    })
}

/// The pid in the innermost namespace of the process whose status file this is.
fn own_pid(status: &str) -> Option<i32> {
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_innermost_pid_counts() {
        let status = "Name:\tx\nPid:\t4711\nNSpid:\t4711\t12\t2\nNSpgid:\t1\n";
        assert_eq!(own_pid(status), Some(2));
        assert_eq!(own_pid("Name:\tx\nNSpid:\t7\n"), Some(7));
        assert_eq!(own_pid("Name:\tx\n"), None);
    }

    /// A shell in the place of init, which reaps nobody before it is told to.
    #[test]
    fn a_death_is_seen_before_the_parent_looks_and_told_once() {
        let mut init = Command::new("sh")
            .args(["-c", "sleep 1000 & sleep 1000 & echo; read line; kill $!"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        io::Read::read_exact(init.stdout.as_mut().unwrap(), &mut line).unwrap();
        let pid = i32::try_from(init.id()).unwrap();
        let both: Vec<i32> = children(pid).map(|child| child.own_pid).collect();
        assert_eq!(both.len(), 2);
        let mut processes = Processes::default();
        let status = processes.watch(pid, &both).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut fs::File::from(status), &mut text).unwrap();
        assert_eq!(own_pid(&text), both.last().copied());
        assert_eq!(processes.deaths().count(), 2);
        assert!(!processes.take_deaths());

        processes.living[0].kill();
        while !processes.take_deaths() {
            std::thread::yield_now();
        }
        assert!(!processes.take_deaths());
        assert_eq!(processes.deaths().count(), 1);

        // Without numbers it is the first that counts, and that one only.
        processes.watch(pid, &[]).unwrap();
        assert!(processes.deaths().count() <= 1);
        processes.forget();
        assert_eq!(processes.deaths().count(), 0);
        drop(init.stdin.take());
        init.wait().unwrap();
    }
}
