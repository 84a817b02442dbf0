//! What can run out.

use serde::Serialize;

use super::Sample;
use crate::model::{EphemeralStorage, MemorySize, Timeout};
use crate::statistics::number;

/// Descriptors of a process, and processes with threads of an environment, on Lambda.
const DESCRIPTORS: u32 = 1_024;
const THREADS: u32 = 1_024;

const MB: f64 = 1_048_576.0;

/// Something that an environment holds, or that an invocation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Resource {
    Memory,
    Tmp,
    TmpFiles,
    Descriptors,
    Threads,
    Processes,
    Sockets,
    Duration,
}

/// The limits of the function.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    pub(crate) memory_size: MemorySize,
    pub(crate) tmp: EphemeralStorage,
    pub(crate) timeout: Timeout,
}

impl Resource {
    pub(crate) const ALL: [Self; 8] = [
        Self::Memory,
        Self::Tmp,
        Self::TmpFiles,
        Self::Descriptors,
        Self::Threads,
        Self::Processes,
        Self::Sockets,
        Self::Duration,
    ];

    /// In file names and CSV.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tmp => "tmp",
            Self::TmpFiles => "tmp-files",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::Duration => "duration",
        }
    }

    /// In sentences.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tmp => "/tmp",
            Self::TmpFiles => "files in /tmp",
            Self::Descriptors => "file descriptors",
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::Duration => "duration",
        }
    }

    /// What its values are counted in, by [`Resource::value`].
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Memory | Self::Tmp => "MB",
            Self::Duration => "ms",
            _ => "",
        }
    }

    /// The value in a sample.
    pub(crate) fn value(self, sample: &Sample) -> f64 {
        match self {
            Self::Memory => number(sample.memory_bytes) / MB,
            Self::Tmp => number(sample.tmp_bytes) / MB,
            Self::TmpFiles => number(sample.tmp_files),
            Self::Descriptors => number(sample.descriptors),
            Self::Threads => number(sample.threads),
            Self::Processes => number(sample.processes),
            Self::Sockets => number(sample.sockets),
            Self::Duration => sample.duration_ms,
        }
    }

    /// Where it ends; none if nothing ends it but what others count.
    pub(crate) fn limit(self, limits: &Limits) -> Option<f64> {
        match self {
            Self::Memory => Some(f64::from(limits.memory_size.get())),
            Self::Tmp => Some(f64::from(limits.tmp.get())),
            Self::Descriptors => Some(f64::from(DESCRIPTORS)),
            Self::Threads => Some(f64::from(THREADS)),
            Self::Duration => Some(f64::from(limits.timeout.get()) * 1_000.0),
            Self::TmpFiles | Self::Processes | Self::Sockets => None,
        }
    }

    /// Growth over the whole soak that is too little to be called a leak: what
    /// allocators and file systems do by themselves.
    pub(crate) fn negligible(self) -> f64 {
        match self {
            Self::Memory => 1.0,
            Self::Tmp => 0.1,
            // What else the host does moves it too.
            Self::Duration => f64::INFINITY,
            _ => 2.5,
        }
    }
}
