//! What an environment uses: CPU between two points, memory at its highest.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::sandbox::cgroup::{Cgroup, CpuUsage};

/// Meters of a running environment.
#[derive(Debug)]
pub(super) struct Meter {
    cgroup: Cgroup,
    /// The runtime process's status file in `/proc`.
    status: File,
    /// `/tmp`.
    tmp: OwnedFd,
    oom_kills: u64,
    cpu_baseline: CpuUsage,
}

impl Meter {
    pub(super) fn new(cgroup: Cgroup, status: OwnedFd, tmp: OwnedFd) -> Self {
        let oom_kills = cgroup.oom_kills().unwrap_or(0);
        Self {
            cgroup,
            status: status.into(),
            tmp,
            oom_kills,
            cpu_baseline: CpuUsage::default(),
        }
    }

    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// A lower bound of the highest memory use so far, in bytes. The kernel keeps
    /// a peak per group, but it counts cached files, those of `/tmp` among them;
    /// so this is the larger of what is in the group now and of the peak that the
    /// kernel keeps for the runtime process, which misses nothing however short.
    pub(super) fn memory_sample(&self) -> u64 {
        let group = self.cgroup.memory_used().unwrap_or(0);
        let process = self.process_peak().unwrap_or(0);
        group.max(process)
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
    pub(super) fn cpu_since(&self) -> CpuUsage {
        self.cpu().since(self.cpu_baseline)
    }

    fn cpu(&self) -> CpuUsage {
        self.cgroup.cpu_usage().unwrap_or_default()
    }

    /// Bytes in `/tmp`.
    pub(super) fn tmp_used(&self) -> u64 {
        rustix::fs::fstatfs(&self.tmp).map_or(0, |stat| {
            let block = u64::try_from(stat.f_bsize).unwrap_or(0);
            stat.f_blocks.saturating_sub(stat.f_bfree) * block
        })
    }
}
