//! What became of a case.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::environment::{InvocationResult, Outcome as Answer};
use crate::suite::{Actual, Edit, Mismatch};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// It does not fit, and what it expects is to be changed.
    Updated,
}

/// All invocations of a case.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) invocations: u32,
    /// How many of them do not fit.
    pub(super) failed: u32,
    /// The longest.
    pub(super) duration: Duration,
    /// The longest.
    pub(super) init: Option<Duration>,
    pub(super) max_memory_mb: u64,
    /// The first one that does not fit.
    pub(super) failure: Option<Failure>,
    /// What would make it fit, each with the number of invocations that say so.
    edits: Vec<(Edit, u32)>,
    /// Whether there is something that no edit mends.
    has_other: bool,
    /// What this host does not enforce.
    pub(super) warnings: BTreeSet<String>,
}

/// An invocation that does not fit.
#[derive(Debug)]
pub(super) struct Failure {
    /// From 1.
    pub(super) number: u32,
    pub(super) mismatches: Vec<Mismatch>,
    pub(super) log: String,
}

impl Outcome {
    /// Adds an invocation, which was the `number`-th.
    pub(super) fn add(&mut self, number: u32, actual: Actual, mismatches: Vec<Mismatch>) {
        self.invocations += 1;
        self.duration = self.duration.max(actual.duration);
        self.init = self.init.max(actual.init);
        self.max_memory_mb = self.max_memory_mb.max(actual.max_memory_mb);
        if mismatches.is_empty() {
            return;
        }
        self.failed += 1;
        for mismatch in &mismatches {
            let Some(edit) = &mismatch.edit else {
                self.has_other = true;
                continue;
            };
            match self.edits.iter_mut().find(|(other, _)| other == edit) {
                Some((_, count)) => *count += 1,
                None => self.edits.push((edit.clone(), 1)),
            }
        }
        if self
            .failure
            .as_ref()
            .is_none_or(|failure| number < failure.number)
        {
            self.failure = Some(Failure {
                number,
                mismatches,
                log: actual.log,
            });
        }
    }

    /// The edits that make it fit, if there are such.
    pub(super) fn edits(&self) -> Option<impl Iterator<Item = &Edit>> {
        let unanimous = self
            .edits
            .iter()
            .all(|(_, count)| *count == self.invocations);
        (self.failed > 0 && !self.has_other && unanimous)
            .then(|| self.edits.iter().map(|(edit, _)| edit))
    }
}

/// What expectations are about.
pub(super) fn actual(result: &InvocationResult) -> Actual {
    let payload = result.payload();
    let parsed = serde_json::from_slice::<Value>(&payload);
    let report = &result.report;
    Actual {
        is_json: parsed.is_ok(),
        body: parsed.unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&payload))),
        is_error: !matches!(result.outcome, Answer::Response(_) | Answer::Streamed(None)),
        request_id: result.request_id.to_string(),
        duration: report.duration,
        init: report.init_duration,
        max_memory_mb: report.max_memory_used_mb(),
        throttled: report.cpu_throttled,
        cold_start: result.cold_start,
        log: String::from_utf8_lossy(&result.logs).into_owned(),
    }
}
