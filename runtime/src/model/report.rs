//! What one invocation cost: the numbers of the REPORT line.

use std::time::Duration;

use super::MemorySize;

/// How the invoke phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The function answered (with a result or an error of its own).
    Success,
    /// The function timeout passed.
    Timeout,
    /// The environment failed, with Lambda's error type.
    Error(String),
}

/// The figures of one invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// From handing out the event until the runtime, and every extension that was
    /// told, asked for the next one.
    pub duration: Duration,
    /// The INIT phase, on a cold start only.
    pub init_duration: Option<Duration>,
    /// The configured memory.
    pub memory_size: MemorySize,
    /// High-water mark of the environment in bytes, without `/tmp`.
    pub max_memory_used: u64,
    /// CPU time used in the invocation.
    pub cpu_used: Duration,
    /// Time in which the environment wanted CPU and had used its share.
    pub cpu_throttled: Duration,
    /// Bytes in `/tmp` at the end.
    pub tmp_used: u64,
    /// How the phase ended.
    pub status: Status,
}

impl Report {
    /// Lambda bills whole milliseconds of init and duration together.
    pub fn billed_duration_ms(&self) -> u64 {
        let billed = self.duration + self.init_duration.unwrap_or_default();
        let ms = billed.as_nanos().div_ceil(1_000_000);
        u64::try_from(ms).unwrap_or(u64::MAX).max(1)
    }

    /// The high-water mark in MB as Lambda rounds it, never above the size.
    pub fn max_memory_used_mb(&self) -> u64 {
        self.max_memory_used
            .div_ceil(1024 * 1024)
            .min(self.memory_size.get().into())
    }

    /// What is in `/tmp`, in MB, to the nearest: a file system needs some KB to
    /// describe files of exactly so many MB.
    pub fn tmp_used_mb(&self) -> u64 {
        (self.tmp_used + 512 * 1024) / (1024 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(duration_us: u64, init_us: Option<u64>) -> Report {
        Report {
            duration: Duration::from_micros(duration_us),
            init_duration: init_us.map(Duration::from_micros),
            memory_size: MemorySize::MIN,
            max_memory_used: 1,
            cpu_used: Duration::ZERO,
            cpu_throttled: Duration::ZERO,
            tmp_used: 0,
            status: Status::Success,
        }
    }

    #[test]
    fn billing_rounds_the_sum_up() {
        // From public log lines of October 2026.
        assert_eq!(report(2_460, Some(413_610)).billed_duration_ms(), 417);
        assert_eq!(
            report(600_000_000, Some(516_310)).billed_duration_ms(),
            600_517
        );
        assert_eq!(report(2_460, None).billed_duration_ms(), 3);
        assert_eq!(report(0, None).billed_duration_ms(), 1);
    }

    #[test]
    fn memory_is_whole_megabytes_up_to_the_limit() {
        let mut report = report(1, None);
        assert_eq!(report.max_memory_used_mb(), 1);
        report.max_memory_used = 129 * 1024 * 1024;
        assert_eq!(report.max_memory_used_mb(), 128);
    }
}
