//! The sizes that a function configures, checked once where they enter.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Lambda's MB are mebibytes.
const MEBIBYTE: u64 = 1024 * 1024;

/// A configured value outside of what Lambda accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}, but Lambda accepts {lowest} to {highest} {unit} in steps of 1")]
pub struct LimitError {
    setting: &'static str,
    value: String,
    lowest: u32,
    highest: u32,
    unit: &'static str,
}

/// Parses a whole number in `lowest..=highest`.
fn parse(
    setting: &'static str,
    unit: &'static str,
    lowest: u32,
    highest: u32,
    text: &str,
) -> Result<u32, LimitError> {
    text.parse()
        .ok()
        .filter(|value| (lowest..=highest).contains(value))
        .ok_or_else(|| LimitError {
            setting,
            value: text.escape_debug().to_string(),
            lowest,
            highest,
            unit,
        })
}

macro_rules! limit {
    ($(#[$doc:meta])* $name:ident, $setting:literal, $unit:literal, $lowest:literal, $highest:literal, $default:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The smallest value that Lambda accepts.
            pub const MIN: Self = Self($lowest);
            /// The largest value that Lambda accepts.
            pub const MAX: Self = Self($highest);

            /// Checks `value` against Lambda's range.
            ///
            /// # Errors
            /// The value is out of range.
            pub fn new(value: u32) -> Result<Self, LimitError> {
                value.to_string().parse()
            }

            /// The number as Lambda writes it.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl FromStr for $name {
            type Err = LimitError;

            fn from_str(text: &str) -> Result<Self, LimitError> {
                parse($setting, $unit, $lowest, $highest, text).map(Self)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = LimitError;

            fn try_from(value: u32) -> Result<Self, LimitError> {
                Self::new(value)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

limit!(
    /// `MemorySize` in MB: the memory limit, and with it the share of CPU.
    MemorySize, "memory size", "MB", 128, 10_240, 128
);
limit!(
    /// `Timeout` of one invocation in seconds.
    Timeout, "timeout", "seconds", 1, 900, 3
);
limit!(
    /// `EphemeralStorage.Size` in MB: the size of `/tmp`.
    EphemeralStorage, "ephemeral storage (/tmp)", "MB", 512, 10_240, 512
);

/// Executions that an account may have at once, without asking AWS for more.
pub const ACCOUNT_CONCURRENCY: u16 = 1_000;

/// Memory that buys one vCPU, in MB (Lambda's documentation).
pub(crate) const MB_PER_VCPU: u32 = 1_769;

/// The CFS period that Lambda's behaviour matches, in microseconds.
pub(crate) const CPU_PERIOD_US: u64 = 20_000;

impl MemorySize {
    /// The memory limit in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64 * MEBIBYTE
    }

    /// CPU time per [`CPU_PERIOD_US`] in microseconds.
    pub const fn cpu_quota_us(self) -> u64 {
        self.0 as u64 * CPU_PERIOD_US / MB_PER_VCPU as u64
    }

    /// CPU time per period during INIT: a full vCPU whatever the memory size.
    pub const fn init_cpu_quota_us(self) -> u64 {
        let quota = self.cpu_quota_us();
        if quota > CPU_PERIOD_US {
            quota
        } else {
            CPU_PERIOD_US
        }
    }

    /// How many CPUs the function sees, which is more than it pays for (measured
    /// on Lambda by its users in 2020 and 2021; AWS promises 6 at the top).
    pub const fn visible_cpus(self) -> u8 {
        match self.0 {
            ..=3_008 => 2,
            3_009..=5_307 => 3,
            5_308..=7_076 => 4,
            7_077..=8_845 => 5,
            _ => 6,
        }
    }

    /// By how many nanoseconds the scheduler's time slice of a function exceeds the usual
    /// one. Who wakes up comes before whoever has a longer slice (from Linux 6.12 on), so
    /// programs of the host come before functions, and large functions before small ones,
    /// which burn their quota in one go. Too little to change how long anything runs.
    pub const fn slice_excess_ns(self) -> u64 {
        (Self::MAX.0 - self.0 + 1) as u64 * 100
    }

    /// The share of CPU that the size pays for, in vCPUs.
    pub fn vcpus(self) -> f64 {
        f64::from(self.0) / f64::from(MB_PER_VCPU)
    }
}

impl EphemeralStorage {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64 * MEBIBYTE
    }
}

impl Timeout {
    /// The timeout as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_each_range() {
        for (good, bad) in [("128", "127"), ("10240", "10241"), ("1769", "1769.0")] {
            assert!(good.parse::<MemorySize>().is_ok(), "{good}");
            let error = bad.parse::<MemorySize>().unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
            assert!(error.contains("128 to 10240 MB"), "{error}");
        }
        for bad in [
            "511",
            "10241",
            "-1",
            "",
            "1e3",
            "512MB",
            " 512",
            "+512x",
            "4294967808",
        ] {
            assert!(bad.parse::<EphemeralStorage>().is_err(), "{bad}");
        }
        for bad in ["0", "901"] {
            assert!(bad.parse::<Timeout>().is_err(), "{bad}");
        }
    }

    #[test]
    fn cpu_quotas_are_those_measured_on_lambda() {
        for (memory, quota) in [
            (128, 1_447),
            (442, 4_997),
            (884, 9_994),
            (1_769, 20_000),
            (10_240, 115_771),
        ] {
            assert_eq!(
                MemorySize::new(memory).unwrap().cpu_quota_us(),
                quota,
                "{memory} MB"
            );
        }
        assert_eq!(MemorySize::MIN.init_cpu_quota_us(), 20_000);
        assert_eq!(MemorySize::MAX.init_cpu_quota_us(), 115_771);
    }

    #[test]
    fn visible_cpus_are_never_fewer_than_paid_for() {
        for (memory, cpus) in [
            (128, 2),
            (3_008, 2),
            (3_009, 3),
            (7_076, 4),
            (8_845, 5),
            (10_240, 6),
        ] {
            let size = MemorySize::new(memory).unwrap();
            assert_eq!(size.visible_cpus(), cpus, "{memory} MB");
        }
        for memory in 128..=10_240 {
            let size = MemorySize::new(memory).unwrap();
            let visible = f64::from(size.visible_cpus());
            assert!(visible + 1e-9 >= size.vcpus(), "{memory} MB");
        }
    }

    #[test]
    fn every_function_has_a_longer_slice_than_larger_ones_and_the_host() {
        let excess = |memory| MemorySize::new(memory).unwrap().slice_excess_ns();
        assert!((128..10_240).all(|memory| excess(memory) > excess(memory + 1)));
        assert!(excess(10_240) > 0);
        // The kernel's own slices have 0.7 ms and more.
        assert!(excess(128) < 1_100_000);
    }

    #[test]
    fn the_wire_form_is_the_number() {
        assert_eq!(serde_json::to_string(&MemorySize::MIN).unwrap(), "128");
        assert!(serde_json::from_str::<MemorySize>("127").is_err());
    }
}
