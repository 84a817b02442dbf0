//! What an environment uses: CPU between two points, memory at its highest.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::tmp_mappings;
use crate::sandbox::cgroup::{Cgroup, CpuUsage, MemoryReading};

/// Meters of a running environment.
#[derive(Debug)]
pub(super) struct Meter {
    cgroup: Cgroup,
    /// The runtime process's status file in `/proc`, once it runs.
    status: Option<File>,
    /// Its times, for where no cgroup counts them.
    stat: Option<File>,
    tmp: Tmp,
    oom_kills: u64,
    cpu_baseline: CpuUsage,
    /// What had been used when the last count ended.
    cpu_counted: Option<CpuUsage>,
    /// A file of `/tmp` has been mapped.
    maps_tmp: bool,
}

/// `/tmp` of an environment.
#[derive(Debug)]
pub(super) struct Tmp {
    pub(super) directory: TmpDirectory,
    /// Bytes that its file system takes for itself.
    pub(super) empty: u64,
    /// Its files are charged to the function's memory.
    pub(super) charged: bool,
}

impl Tmp {
    /// Bytes in it.
    pub(super) fn used(&self) -> u64 {
        occupied(self.directory.as_fd()).saturating_sub(self.empty)
    }
}

/// The directory of it. Whoever closes it last takes the file system down, for seconds
/// where there are many files: that is never the thread that answers.
#[derive(Debug)]
pub(super) struct TmpDirectory(Option<OwnedFd>);

impl From<OwnedFd> for TmpDirectory {
    fn from(directory: OwnedFd) -> Self {
        Self(Some(directory))
    }
}

impl AsFd for TmpDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("open until it is dropped").as_fd()
    }
}

impl Drop for TmpDirectory {
    fn drop(&mut self) {
        let directory = self.0.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(directory));
        }
    }
}

/// Bytes of a file system that are not free.
pub(super) fn occupied(directory: BorrowedFd<'_>) -> u64 {
    rustix::fs::fstatfs(directory).map_or(0, |stat| {
        let block = u64::try_from(stat.f_bsize).unwrap_or(0);
        stat.f_blocks.saturating_sub(stat.f_bfree) * block
    })
}

impl Meter {
    pub(super) fn new(cgroup: Cgroup, tmp: Tmp) -> Self {
        let oom_kills = cgroup.oom_kills().unwrap_or(0);
        Self {
            cgroup,
            status: None,
            stat: None,
            tmp,
            oom_kills,
            cpu_baseline: CpuUsage::default(),
            cpu_counted: None,
            maps_tmp: false,
        }
    }

    /// The runtime runs, and this is its status file in `/proc`.
    pub(super) fn watch(&mut self, status: OwnedFd) {
        self.stat = sibling(&status, "stat");
        self.status = Some(status.into());
    }

    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// What the memory controller counts now.
    pub(super) fn memory(&self) -> MemoryReading {
        self.cgroup.memory().unwrap_or_default()
    }

    /// The highest memory use in bytes, `peak` being that of earlier readings.
    ///
    /// The kernel keeps a peak for each group, but it counts cached files, those
    /// of `/tmp` among them. So this is the largest of what the group's processes
    /// have in a reading, and of the peak that the kernel keeps for the runtime
    /// process, which misses nothing however short.
    pub(super) fn memory_peak(&mut self, peak: u64, reading: &MemoryReading) -> u64 {
        let tmp_used = self.tmp.used();
        let shared = reading
            .shared
            .saturating_sub(if self.tmp.charged { tmp_used } else { 0 });
        let group = |mapped: u64| reading.anonymous + mapped.max(shared);
        let (mut now, process) = (group(reading.mapped), self.process_peak().unwrap_or(0));
        if now.max(process) <= peak {
            return peak;
        }
        // Who has mapped files of /tmp is found out only when it matters.
        if tmp_used > 0 {
            let mapped_tmp = self.mapped_tmp();
            self.maps_tmp |= mapped_tmp > 0;
            now = group(reading.mapped.saturating_sub(mapped_tmp));
        }
        let process = if self.maps_tmp { 0 } else { process };
        peak.max(now).max(process)
    }

    fn mapped_tmp(&self) -> u64 {
        let processes = self.cgroup.processes().unwrap_or_default();
        rustix::fs::fstat(&self.tmp.directory).map_or(0, |stat| {
            tmp_mappings::mapped_bytes(&processes, stat.st_dev)
        })
    }

    fn process_peak(&self) -> Option<u64> {
        self.process_memory("VmHWM:")
    }

    /// A line of the runtime process's status, in bytes.
    fn process_memory(&self, name: &str) -> Option<u64> {
        let mut buffer = [0; 4096];
        // A process that is gone has no status; its last sample counts.
        let length = self.status.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Memory in bytes that cannot be dropped and that no limit of the kernel's is right
    /// for; 0 where there is one. Never more than what Lambda would count.
    ///
    /// Where files of `/tmp` are charged, the limit is too high by their size. Without
    /// cgroups there is none, and only the runtime's own process is known; of its
    /// memory, what is shared may be files of `/tmp`.
    pub(super) fn unlimited_memory(&self, reading: &MemoryReading) -> u64 {
        if !self.cgroup.counts() {
            return self.process_memory("RssAnon:").unwrap_or(0);
        }
        if !self.tmp.charged {
            return 0;
        }
        let files = self.tmp.used();
        reading.anonymous + reading.shared.saturating_sub(files)
    }

    /// Whether the kernel has killed for memory since this runtime started.
    pub(super) fn out_of_memory(&self) -> bool {
        self.cgroup
            .oom_kills()
            .is_ok_and(|kills| kills > self.oom_kills)
    }

    /// CPU counts from here, or from the end of the last count if hardly anything can
    /// have run since then.
    pub(super) fn reset_cpu(&mut self) {
        self.cpu_baseline = self.cpu_counted.take().unwrap_or_else(|| self.cpu());
    }

    /// CPU used and throttled since [`Meter::reset_cpu`]; the count ends.
    pub(super) fn count_cpu(&mut self) -> CpuUsage {
        let used = self.cpu();
        self.cpu_counted = Some(used);
        used.since(self.cpu_baseline)
    }

    /// Much may run until the next count.
    pub(super) fn forget_count(&mut self) {
        self.cpu_counted = None;
    }

    fn cpu(&self) -> CpuUsage {
        let counted = self.cgroup.cpu_usage().unwrap_or_default();
        counted.or_else(|| self.process_cpu()).unwrap_or_default()
    }

    /// What the runtime and the children that it has waited for have used.
    fn process_cpu(&self) -> Option<CpuUsage> {
        let mut buffer = [0; 1024];
        let length = self.stat.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let used = process_times(&String::from_utf8_lossy(&buffer[..length]))?;
        Some(CpuUsage {
            used,
            throttled: Duration::ZERO,
        })
    }

    pub(super) fn tmp(&self) -> &Tmp {
        &self.tmp
    }
}

/// Another file of the directory in `/proc` that a file is from.
fn sibling(file: &OwnedFd, name: &str) -> Option<File> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = std::fs::read_link(link).ok()?;
    File::open(path.parent()?.join(name)).ok()
}

/// User's and system's time of a process and of its children that have ended, from
/// `/proc/PID/stat`.
fn process_times(stat: &str) -> Option<Duration> {
    // The name, which may have blanks and brackets in it, comes second; the times
    // are the fields 14 to 17, in ticks.
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(4)
        .filter_map(|time| time.parse::<u64>().ok())
        .sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1_000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 30 20 7 3 20 0 1 0 5 1 1\n";
        let per_second = rustix::param::clock_ticks_per_second();
        let expected = Duration::from_millis(60_000 / per_second);
        assert_eq!(process_times(stat), Some(expected));
        assert_eq!(process_times(""), None);
    }

    #[test]
    fn files_of_a_process_are_found_by_one_of_them() {
        let status = File::open("/proc/self/status").unwrap();
        let mut stat = sibling(&status.into(), "stat").unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stat, &mut text).unwrap();
        assert!(process_times(&text).is_some(), "{text}");
    }
}
