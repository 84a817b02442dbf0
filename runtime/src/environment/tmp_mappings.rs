//! How much of the memory that processes have mapped is files of `/tmp`, which do
//! not count as memory of the function. The kernel tells that only mapping by
//! mapping.

use std::fs::File;
use std::io::{BufRead, BufReader};

/// Bytes of files on `device` (as in `st_dev`) that the processes have mapped and
/// in memory, shared pages counted once.
pub(super) fn mapped_bytes(processes: &[u32], device: u64) -> u64 {
    let device = device_text(device);
    processes
        .iter()
        // A process that has just ended has nothing mapped.
        .filter_map(|pid| File::open(format!("/proc/{pid}/smaps")).ok())
        .map(|smaps| mapped_of_device(BufReader::new(smaps), &device))
        .sum()
}

/// A device as `/proc/PID/maps` writes it.
fn device_text(device: u64) -> String {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    format!("{major:02x}:{minor:02x}")
}

/// The sum of `Pss` of the mappings of a device. `Pss` divides a page among the
/// processes that map it, so that the sum over processes counts it once.
fn mapped_of_device(smaps: impl BufRead, device: &str) -> u64 {
    let mut bytes = 0;
    let mut ours = false;
    for line in smaps.lines().map_while(Result::ok) {
        let mut fields = line.split_ascii_whitespace();
        match fields.next() {
            // Only the head of a mapping begins with a range of addresses.
            Some(first) if !first.ends_with(':') => ours = fields.nth(2) == Some(device),
            Some("Pss:") if ours => {
                let kilobytes: u64 = fields.next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
                bytes += kilobytes * 1024;
            }
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0021000 r--p 00000000 fe:00 1 /usr/bin/python3
Rss:                 100 kB
Pss:                  50 kB
Pss_Dirty:             1 kB
7f0000000000-7f0000100000 rw-s 00000000 07:00 12 /tmp/model.bin
Rss:                 900 kB
Pss:                 450 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
Pss:                 700 kB
7f0000400000-7f0000500000 r--s 00000000 07:00 13 /tmp/a b (deleted)
Pss:                   8 kB
VmFlags: rd mr
";

    #[test]
    fn only_mappings_of_the_device_count() {
        assert_eq!(mapped_of_device(SMAPS.as_bytes(), "07:00"), 458 * 1024);
        assert_eq!(mapped_of_device(SMAPS.as_bytes(), "fe:00"), 50 * 1024);
        assert_eq!(mapped_of_device(SMAPS.as_bytes(), "07:01"), 0);
    }

    #[test]
    fn devices_are_written_as_the_kernel_writes_them() {
        let own = std::fs::read_to_string("/proc/self/maps").unwrap();
        let program = std::fs::metadata("/proc/self/exe").unwrap();
        let device = device_text(std::os::unix::fs::MetadataExt::dev(&program));
        assert!(
            own.lines()
                .any(|line| line.split(' ').nth(3) == Some(&device)),
            "{device}: {own}"
        );
    }
}
