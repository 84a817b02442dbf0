//! What the memory controller counts. Pure: file contents in, numbers out.

/// The memory of a group at one moment, in bytes, and its major faults so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MemoryReading {
    /// All that counts against the limit.
    pub(crate) charged: u64,
    /// Memory of processes that no file backs.
    pub(crate) anonymous: u64,
    /// Shared memory: charged like files, but there is no file to drop it to.
    pub(crate) shared: u64,
    /// Cached files, which the kernel drops when it needs the memory.
    pub(crate) cached: u64,
    /// What of `shared` and `cached` is mapped by a process.
    pub(crate) mapped: u64,
    /// Faults that had to read from a disk.
    pub(crate) major_faults: u64,
}

impl MemoryReading {
    /// From `memory.usage_in_bytes` and `memory.stat` of cgroup v1.
    pub(super) fn v1(usage: &str, stat: &str) -> Self {
        Self::new(usage, stat, ["rss", "cache", "mapped_file"])
    }

    /// From `memory.current` and `memory.stat` of cgroup v2.
    pub(super) fn v2(current: &str, stat: &str) -> Self {
        Self::new(current, stat, ["anon", "file", "file_mapped"])
    }

    fn new(charged: &str, stat: &str, [anonymous, file, mapped]: [&str; 3]) -> Self {
        let shared = super::field(stat, "shmem");
        Self {
            charged: charged.trim().parse().unwrap_or(0),
            anonymous: super::field(stat, anonymous),
            shared,
            // Both versions count shared memory among the files.
            cached: super::field(stat, file).saturating_sub(shared),
            mapped: super::field(stat, mapped),
            major_faults: super::field(stat, "pgmajfault"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_read_alike() {
        let expected = MemoryReading {
            charged: 1_000,
            anonymous: 500,
            shared: 100,
            cached: 200,
            mapped: 50,
            major_faults: 7,
        };
        let v1 = "cache 300\nrss 500\nrss_huge 1\nshmem 100\nmapped_file 50\npgmajfault 7\n";
        assert_eq!(MemoryReading::v1("1000\n", v1), expected);
        let v2 = "anon 500\nfile 300\nkernel 9\nshmem 100\nfile_mapped 50\npgmajfault 7\n";
        assert_eq!(MemoryReading::v2("1000\n", v2), expected);
    }
}
