//! One environment's groups, by descriptors.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::{Hierarchies, MemoryReading, field};
use crate::model::CPU_PERIOD_US;

/// CPU time so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CpuUsage {
    pub(crate) used: Duration,
    pub(crate) throttled: Duration,
}

impl CpuUsage {
    /// What was used after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            used: self.used.saturating_sub(earlier.used),
            throttled: self.throttled.saturating_sub(earlier.throttled),
        }
    }
}

/// `cpu.shares` and `cpu.weight` of one vCPU: what a group has from the start.
const SHARES_PER_CPU: u64 = 1_024;
const WEIGHT_PER_CPU: u64 = 100;

/// The weight of a quota, if one CPU's is `per_cpu`. All quotas of Lambda's sizes
/// are in the range of both files.
const fn weight(quota_us: u64, per_cpu: u64) -> u64 {
    quota_us * per_cpu / CPU_PERIOD_US
}

/// Open files of an environment's groups. A host has either the v1 or the v2
/// form of the controllers; the freezer is v2's wherever there is a v2.
#[derive(Debug)]
pub(crate) struct Cgroup {
    controllers: Controllers,
    processes: Option<File>,
    freezer: Option<Freezer>,
}

#[derive(Debug)]
enum Controllers {
    /// An ordinary user may have none: nothing is limited, and nothing counted.
    None,
    V1 {
        quota: File,
        shares: File,
        cpu_stat: File,
        cpu_usage: File,
        memory_usage: File,
        memory_stat: File,
        oom_control: File,
    },
    V2 {
        cpu_max: File,
        cpu_weight: File,
        cpu_stat: File,
        memory_current: File,
        memory_stat: File,
        memory_events: File,
    },
}

#[derive(Debug)]
enum Freezer {
    V1(File),
    V2(File),
}

impl Cgroup {
    /// Opens the group `path` (absolute, below each hierarchy's root), which
    /// exists since the environment was started.
    pub(crate) fn open(hierarchies: &Hierarchies, path: &Path) -> io::Result<Self> {
        if hierarchies.is_empty() {
            return Ok(Self {
                controllers: Controllers::None,
                processes: None,
                freezer: None,
            });
        }
        let below = path.strip_prefix("/").unwrap_or(path);
        let open = |root: Option<&Path>, file: &str, write: bool| -> io::Result<File> {
            let path = root
                .ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("no mounted cgroup hierarchy has {file}"),
                    )
                })?
                .join(below)
                .join(file);
            File::options()
                .read(!write)
                .write(write)
                .open(&path)
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })
        };
        let controllers = if hierarchies.unified() {
            let root = hierarchies.v2();
            Controllers::V2 {
                cpu_max: open(root, "cpu.max", true)?,
                cpu_weight: open(root, "cpu.weight", true)?,
                cpu_stat: open(root, "cpu.stat", false)?,
                memory_current: open(root, "memory.current", false)?,
                memory_stat: open(root, "memory.stat", false)?,
                memory_events: open(root, "memory.events", false)?,
            }
        } else {
            let v1 = |controller| hierarchies.v1(controller);
            Controllers::V1 {
                quota: open(v1("cpu"), "cpu.cfs_quota_us", true)?,
                shares: open(v1("cpu"), "cpu.shares", true)?,
                cpu_stat: open(v1("cpu"), "cpu.stat", false)?,
                cpu_usage: open(v1("cpuacct"), "cpuacct.usage", false)?,
                memory_usage: open(v1("memory"), "memory.usage_in_bytes", false)?,
                memory_stat: open(v1("memory"), "memory.stat", false)?,
                oom_control: open(v1("memory"), "memory.oom_control", false)?,
            }
        };
        let freezer = match open(hierarchies.v2(), "cgroup.freeze", true) {
            Ok(file) => Some(Freezer::V2(file)),
            Err(_) => open(hierarchies.v1("freezer"), "freezer.state", true)
                .ok()
                .map(Freezer::V1),
        };
        let memory_root = if hierarchies.unified() {
            hierarchies.v2()
        } else {
            hierarchies.v1("memory")
        };
        Ok(Self {
            controllers,
            processes: Some(open(memory_root, "cgroup.procs", false)?),
            freezer,
        })
    }

    /// Limits the CPU time per period of 20 ms. Where environments want more than the
    /// host has, each gets of it in proportion.
    pub(crate) fn limit_cpu(&self, quota_us: u64) -> io::Result<()> {
        match &self.controllers {
            Controllers::None => Ok(()),
            Controllers::V1 { quota, shares, .. } => {
                write(shares, &weight(quota_us, SHARES_PER_CPU).to_string())?;
                write(quota, &quota_us.to_string())
            }
            Controllers::V2 {
                cpu_max,
                cpu_weight,
                ..
            } => {
                write(cpu_weight, &weight(quota_us, WEIGHT_PER_CPU).to_string())?;
                write(cpu_max, &format!("{quota_us} {CPU_PERIOD_US}"))
            }
        }
    }

    /// Stops or continues all processes. Without a freezer nothing happens, and that is
    /// what the answer says.
    pub(crate) fn set_frozen(&self, frozen: bool) -> io::Result<bool> {
        match &self.freezer {
            Some(Freezer::V1(state)) => write(state, if frozen { "FROZEN" } else { "THAWED" })?,
            Some(Freezer::V2(freeze)) => write(freeze, if frozen { "1" } else { "0" })?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// CPU time that the environment has used and been denied; `None` where nobody
    /// counts.
    pub(crate) fn cpu_usage(&self) -> io::Result<Option<CpuUsage>> {
        Ok(match &self.controllers {
            Controllers::None => None,
            Controllers::V1 {
                cpu_stat,
                cpu_usage,
                ..
            } => Some(CpuUsage {
                used: Duration::from_nanos(read(cpu_usage)?.trim().parse().unwrap_or(0)),
                throttled: Duration::from_nanos(field(&read(cpu_stat)?, "throttled_time")),
            }),
            Controllers::V2 { cpu_stat, .. } => {
                let stat = read(cpu_stat)?;
                Some(CpuUsage {
                    used: Duration::from_micros(field(&stat, "usage_usec")),
                    throttled: Duration::from_micros(field(&stat, "throttled_usec")),
                })
            }
        })
    }

    /// Whether its memory and CPU time are limited and counted.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self.controllers, Controllers::None)
    }

    /// The process ids of its members, as the reader's namespace numbers them.
    pub(crate) fn processes(&self) -> io::Result<Vec<u32>> {
        let Some(processes) = &self.processes else {
            return Ok(vec![]);
        };
        // v1 gives every read of an open file the list of its first one, unless a second
        // has passed without any.
        let fresh = File::open(format!("/proc/self/fd/{}", processes.as_raw_fd()))?;
        let list = read(&fresh)?;
        Ok(list.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// What the memory controller counts now.
    pub(crate) fn memory(&self) -> io::Result<MemoryReading> {
        Ok(match &self.controllers {
            Controllers::None => MemoryReading::default(),
            Controllers::V1 {
                memory_usage,
                memory_stat,
                ..
            } => MemoryReading::v1(&read(memory_usage)?, &read(memory_stat)?),
            Controllers::V2 {
                memory_current,
                memory_stat,
                ..
            } => MemoryReading::v2(&read(memory_current)?, &read(memory_stat)?),
        })
    }

    /// How many processes the kernel has killed because of the memory limit.
    pub(crate) fn oom_kills(&self) -> io::Result<u64> {
        let events = match &self.controllers {
            Controllers::None => return Ok(0),
            Controllers::V1 { oom_control, .. } => read(oom_control)?,
            Controllers::V2 { memory_events, .. } => read(memory_events)?,
        };
        Ok(field(&events, "oom_kill"))
    }
}

/// Takes all swap from the group `path` (absolute, below the root) where the
/// controllers are v2's. The group exists, and nothing of the image runs in it yet.
///
/// The spec asks for it by a limit for memory with swap that equals the one for
/// memory: v1's terms. For v2 libcontainer takes the difference, and does not
/// write a difference of 0, which leaves a group all of the host's swap.
pub(crate) fn deny_swap(hierarchies: &Hierarchies, path: &Path) -> io::Result<()> {
    let Some(root) = hierarchies.v2().filter(|_| hierarchies.unified()) else {
        return Ok(());
    };
    let file = root
        .join(path.strip_prefix("/").unwrap_or(path))
        .join("memory.swap.max");
    match std::fs::write(&file, "0") {
        // A kernel without swap has no limit for it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

fn write(file: &File, text: &str) -> io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)
}

fn read(file: &File) -> io::Result<String> {
    let mut buffer = [0; 8192];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemorySize;

    #[test]
    fn weights_are_in_the_range_of_their_files() {
        for (size, shares, weight_v2) in [
            (MemorySize::MIN, 74, 7),
            (MemorySize::new(1_769).unwrap(), 1_024, 100),
            (MemorySize::MAX, 5_927, 578),
        ] {
            let quota = size.cpu_quota_us();
            assert_eq!(weight(quota, SHARES_PER_CPU), shares);
            assert_eq!(weight(quota, WEIGHT_PER_CPU), weight_v2);
            assert!((2..=262_144).contains(&shares) && (1..=10_000).contains(&weight_v2));
        }
    }
}
