//! One invocation, as it was measured.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Step;
use crate::model;

/// Why an invocation has no answer of the function's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "message")]
pub(crate) enum Trouble {
    /// It ran out of memory.
    OutOfMemory,
    /// It took longer than its timeout.
    Timeout,
    /// The function returned an error, or Lambda would.
    Error(String),
}

impl fmt::Display for Trouble {
    /// As the end of a sentence that begins with when.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => formatter.write_str("it ran out of memory"),
            Self::Timeout => formatter.write_str("it timed out"),
            Self::Error(message) => write!(formatter, "it failed: {message}"),
        }
    }
}

/// The REPORT of an invocation, and where it stands in the sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    pub(crate) memory_size_mb: u32,
    /// The environment among those of its size, from 0.
    pub(crate) round: u32,
    pub(crate) cold: bool,
    pub(crate) duration_ms: f64,
    /// Of a cold start.
    pub(crate) init_ms: Option<f64>,
    pub(crate) billed_ms: u64,
    pub(crate) cpu_used_ms: f64,
    /// Time in which the function wanted CPU and had used its share. Several threads
    /// count several times.
    pub(crate) throttled_ms: f64,
    pub(crate) max_memory_used_mb: u64,
    pub(crate) trouble: Option<Trouble>,
    /// Whether it is left out of the figures, because something else than the function
    /// must have made it slow.
    pub(crate) outlier: bool,
}

impl Sample {
    /// What a REPORT says.
    pub(crate) fn new(
        step: Step,
        cold: bool,
        report: &model::Report,
        trouble: Option<Trouble>,
    ) -> Self {
        Self {
            memory_size_mb: step.size.get(),
            round: step.round,
            cold,
            duration_ms: ms(report.duration),
            init_ms: report.init_duration.map(ms),
            billed_ms: report.billed_duration_ms(),
            cpu_used_ms: ms(report.cpu_used),
            throttled_ms: ms(report.cpu_throttled),
            max_memory_used_mb: report.max_memory_used_mb(),
            trouble,
            outlier: false,
        }
    }
}

/// A duration in milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
