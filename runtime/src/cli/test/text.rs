//! Results for people.

use super::outcome::{Failure, Verdict};
use super::results::{Finished, Results};
use crate::suite::Mismatch;

/// Lines of a log that are shown; its end says most.
const LOG_LINES: usize = 40;

/// A case: one line if it fits, else also what differs, and the log.
pub(super) fn case(suite: &str, finished: &Finished) -> Vec<String> {
    let outcome = &finished.outcome;
    let word = match finished.verdict {
        Verdict::Passed => "ok     ",
        Verdict::Failed => "FAILED ",
        Verdict::Updated => "update ",
    };
    let ms = |duration: std::time::Duration| format!("{:.2} ms", duration.as_secs_f64() * 1000.0);
    let mut figures = vec![ms(outcome.duration)];
    if let Some(init) = outcome.init {
        figures.push(format!("init {}", ms(init)));
    }
    figures.push(format!("{} MB", outcome.max_memory_mb));
    if outcome.invocations > 1 {
        figures.push(format!("{} invocations", outcome.invocations));
    }
    let name = finished.name.escape_debug();
    let mut lines = vec![format!("{word}{suite}: {name} ({})", figures.join(", "))];
    let Some(failure) = &outcome.failure else {
        return lines;
    };
    if outcome.invocations > 1 {
        lines.push(format!(
            "  {} of {} invocations do not fit; the first is number {}:",
            outcome.failed, outcome.invocations, failure.number
        ));
    }
    lines.extend(
        failure
            .mismatches
            .iter()
            .flat_map(|one| mismatch(suite, one)),
    );
    if finished.verdict == Verdict::Failed {
        lines.extend(log(failure));
    }
    lines
}

/// What differs, and where it is written.
fn mismatch(suite: &str, mismatch: &Mismatch) -> Vec<String> {
    let mut lines = vec![format!("  {}", sentence(suite, mismatch))];
    if let Some(changes) = &mismatch.changes {
        lines.extend(changes.lines().map(|line| format!("    {line}")));
    }
    lines
}

/// The place and what is wrong there.
pub(super) fn sentence(suite: &str, mismatch: &Mismatch) -> String {
    let line = mismatch.place.line.unwrap_or_default();
    format!(
        "{suite}:{line}: {}: {}",
        mismatch.place.path, mismatch.message
    )
}

fn log(failure: &Failure) -> Vec<String> {
    // Python's client writes a traceback as one line, with CR between its lines.
    let all: Vec<&str> = failure
        .log
        .lines()
        .flat_map(|line| line.split('\r'))
        .collect();
    let left_out = all.len().saturating_sub(LOG_LINES);
    let mut lines = vec!["  log:".to_owned()];
    if left_out > 0 {
        lines.push(format!("    ({left_out} lines before these)"));
    }
    lines.extend(all[left_out..].iter().map(|line| format!("    {line}")));
    lines
}

/// The last line.
pub(super) fn summary(results: &Results) -> String {
    let updated = match results.count(Verdict::Updated) {
        0 => String::new(),
        count => format!("{count} updated, "),
    };
    format!(
        "{} passed, {updated}{} failed in {:.2} s",
        results.count(Verdict::Passed),
        results.count(Verdict::Failed),
        results.elapsed().as_secs_f64()
    )
}

/// A number of things.
pub(super) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}
