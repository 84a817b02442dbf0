//! What a figure depends on beside the program: the host, as it is now.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::{milliseconds, now_ns};
use crate::fixtures::{Error, at};

/// The host of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) kernel: String,
    pub(super) cpus: usize,
    pub(super) cpu: String,
    pub(super) memory_mb: u64,
    /// Mounted hierarchies that favour dynamic modifications, as this process sees.
    pub(super) favordynmods: Vec<String>,
    /// What it takes to move a process into a group after 120 ms of quiet: some tens
    /// of microseconds where anything on this host favours them, else a grace period.
    pub(super) move_ms: f64,
    /// Processes that wanted a CPU in the last minute.
    pub(super) load: f64,
}

/// Moves whose median is taken.
const MOVES: usize = 5;
/// As long as benches are quiet before a sporadic request.
pub(super) const QUIET: Duration = Duration::from_millis(120);

impl Host {
    /// Looks.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read, or no group be made.
    pub(super) fn look() -> Result<Self, Error> {
        let mounts = read("/proc/self/mounts")?;
        let cpus = read("/proc/cpuinfo")?;
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split(": ").nth(1));
        Ok(Self {
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            cpus: std::thread::available_parallelism()?.into(),
            cpu: model.unwrap_or("unknown").to_owned(),
            memory_mb: memory_kb("MemTotal")? / 1024,
            favordynmods: favoured(&mounts),
            move_ms: move_ms()?,
            load: load()?,
        })
    }

    /// For the head of a table.
    pub(super) fn show(&self) -> String {
        let favoured = if self.favordynmods.is_empty() {
            "not seen".to_owned()
        } else {
            format!("on for {}", self.favordynmods.join(", "))
        };
        format!(
            "kernel {}, {} CPUs ({}), {} MB, load {:.2}\n\
             favordynmods {favoured}; a move into a group after {} ms of quiet takes {:.3} ms",
            self.kernel,
            self.cpus,
            self.cpu,
            self.memory_mb,
            self.load,
            QUIET.as_millis(),
            self.move_ms
        )
    }
}

/// A line of `/proc/meminfo`.
///
/// # Errors
/// There is none.
pub(super) fn memory_kb(name: &str) -> Result<u64, Error> {
    let text = read("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    number.ok_or_else(|| format!("/proc/meminfo has no {name}").into())
}

/// Processes that wanted a CPU in the last minute.
fn load() -> Result<f64, Error> {
    let text = read("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(at(Path::new(path)))
}

fn favoured(mounts: &str) -> Vec<String> {
    let lines = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    lines
        .filter(|words| words.get(2).is_some_and(|kind| kind.starts_with("cgroup")))
        .filter(|words| {
            let options = words.get(3).unwrap_or(&"");
            options.split(',').any(|option| option == "favordynmods")
        })
        .map(|words| words[1].to_owned())
        .collect()
}

/// The median of some moves of a process into a group of its own.
fn move_ms() -> Result<f64, Error> {
    let mounts = read("/proc/self/mounts")?;
    let hierarchy = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words.get(2).is_some_and(|kind| kind.starts_with("cgroup")))
        .ok_or("no control groups are mounted")?[1]
        .to_owned();
    let group = Path::new(&hierarchy).join(format!("lambent-bench-{}", std::process::id()));
    fs::create_dir(&group).map_err(at(&group))?;
    let moves: Result<Vec<f64>, Error> = (0..MOVES).map(|_| move_once(&group)).collect();
    let removed = remove(&group);
    let mut moves = moves?;
    removed?;
    moves.sort_by(f64::total_cmp);
    Ok(moves[MOVES / 2])
}

/// Removes a group whose processes have ended: the kernel lets go of them a little
/// later than of their parent.
fn remove(group: &Path) -> Result<(), Error> {
    for _ in 0..100 {
        if fs::remove_dir(group).is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(1));
    }
    fs::remove_dir(group).map_err(at(group))
}

fn move_once(group: &Path) -> Result<f64, Error> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
    sleep(QUIET);
    let started = now_ns();
    let moved = fs::write(group.join("cgroup.procs"), child.id().to_string());
    let took = milliseconds(started, now_ns());
    // It ends with its standard input.
    drop(child.stdin.take());
    child.wait()?;
    moved.map_err(at(group))?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_that_favour_moves_are_found() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate,favordynmods 0 0\n\
                      tmpfs /favordynmods tmpfs rw,favordynmods 0 0\n";
        assert_eq!(favoured(mounts), ["/sys/fs/cgroup"]);
    }
}
