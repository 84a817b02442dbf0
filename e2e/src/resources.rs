//! What a process holds.

use std::fs;

/// Descriptors and memory of a process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory.
    pub resident_kb: usize,
}

impl Resources {
    /// Of this process; nothing if it has ended.
    pub fn of(pid: u32) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Self {
            descriptors,
            resident_kb: resident
                .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
                .unwrap_or(0),
        }
    }

    /// The larger one of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            resident_kb: self.resident_kb.max(other.resident_kb),
        }
    }
}
