//! What an environment uses: CPU between two points, memory at its highest.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::sandbox::cgroup::Cgroup;

/// Meters of a running environment.
#[derive(Debug)]
pub(super) struct Meter {
    cgroup: Cgroup,
    /// `/proc/<init>/status`.
    status: File,
    /// `/tmp`.
    tmp: OwnedFd,
    memory_peak: u64,
    oom_kills: u64,
    cpu_baseline: (Duration, Duration),
}

impl Meter {
    pub(super) fn new(cgroup: Cgroup, status: OwnedFd, tmp: OwnedFd, memory_peak: u64) -> Self {
        let oom_kills = cgroup.oom_kills().unwrap_or(0);
        Self {
            cgroup,
            status: status.into(),
            tmp,
            memory_peak,
            oom_kills,
            cpu_baseline: Default::default(),
        }
    }

    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Looks at the memory in use. The kernel keeps a peak per group, but it
    /// counts cached files, those of `/tmp` among them; so this is the largest
    /// of what was seen in the group and of the peak that the kernel keeps for
    /// the runtime process, which misses nothing however short it was.
    pub(super) fn sample_memory(&mut self) {
        let group = self.cgroup.memory_used().unwrap_or(0);
        let process = self.process_peak().unwrap_or(0);
        self.memory_peak = self.memory_peak.max(group).max(process);
    }

    fn process_peak(&self) -> Option<u64> {
        let mut buffer = [0; 4096];
        // A process that is gone has no status; its last sample counts.
        let length = self.status.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    pub(super) fn memory_peak(&self) -> u64 {
        self.memory_peak
    }

    /// Whether the kernel has killed for memory since this runtime started.
    pub(super) fn out_of_memory(&self) -> bool {
        self.cgroup
            .oom_kills()
            .is_ok_and(|kills| kills > self.oom_kills)
    }

    /// CPU counts from here.
    pub(super) fn reset_cpu(&mut self) {
        self.cpu_baseline = self.cpu();
    }

    /// CPU used and throttled since [`Meter::reset_cpu`].
    pub(super) fn cpu_since(&self) -> (Duration, Duration) {
        let (used, throttled) = self.cpu();
        (
            used.saturating_sub(self.cpu_baseline.0),
            throttled.saturating_sub(self.cpu_baseline.1),
        )
    }

    fn cpu(&self) -> (Duration, Duration) {
        let usage = self.cgroup.cpu_usage().unwrap_or_default();
        (usage.used, usage.throttled)
    }

    /// Bytes in `/tmp`.
    pub(super) fn tmp_used(&self) -> u64 {
        rustix::fs::fstatfs(&self.tmp).map_or(0, |stat| {
            let block = u64::try_from(stat.f_bsize).unwrap_or(0);
            stat.f_blocks.saturating_sub(stat.f_bfree) * block
        })
    }
}
