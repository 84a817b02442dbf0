//! Results as one JSON object.

use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::Verdict;
use super::results::{Finished, Results};

pub(super) fn document(results: &Results) -> Value {
    let suites = results.suites().map(|(name, cases)| {
        let cases: Vec<_> = cases.into_iter().map(case).collect();
        json!({"suite": name, "cases": cases})
    });
    json!({
        "passed": results.count(Verdict::Passed),
        "failed": results.count(Verdict::Failed),
        "updated": results.count(Verdict::Updated),
        "durationMs": ms(results.elapsed()),
        "suites": suites.collect::<Vec<_>>(),
    })
}

fn case(finished: &Finished) -> Value {
    let outcome = &finished.outcome;
    let mut case = json!({
        "name": finished.name,
        "status": match finished.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Updated => "updated",
        },
        "invocations": outcome.invocations,
        "failedInvocations": outcome.failed,
        "durationMs": ms(outcome.duration),
        "initDurationMs": outcome.init.map(ms),
        "maxMemoryUsedMb": outcome.max_memory_mb,
    });
    if let Some(failure) = &outcome.failure {
        let mismatches = failure.mismatches.iter().map(|mismatch| {
            json!({
                "line": mismatch.place.line,
                "expectation": mismatch.place.path,
                "message": mismatch.message,
                "diff": mismatch.changes,
            })
        });
        case["failure"] = json!({
            "invocation": failure.number,
            "mismatches": mismatches.collect::<Vec<_>>(),
            "log": failure.log,
        });
    }
    case
}

/// Hundredths of a millisecond, as in the REPORT line.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}
