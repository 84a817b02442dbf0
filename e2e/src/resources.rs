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
        Self {
            descriptors,
            resident_kb: memory_kb(pid, "VmRSS:"),
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

/// The most resident memory that a process has had; 0 if it has ended.
pub fn peak_kb(pid: u32) -> usize {
    memory_kb(pid, "VmHWM:")
}

fn memory_kb(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    size.and_then(|size| size.trim().parse().ok()).unwrap_or(0)
}
