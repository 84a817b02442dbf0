//! How far a measurement is, and when it will be done.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shown on standard error: a bar on a terminal, else a line now and then, nothing with
/// `--quiet`.
#[derive(Debug)]
pub(in crate::cli) struct MeasuringProgress {
    total: u64,
    begun: Instant,
    bar: Option<ProgressBar>,
    /// When the last line was written, if lines are.
    line: Option<Cell<Option<Instant>>>,
}

impl MeasuringProgress {
    /// Progress of `total` steps.
    pub(in crate::cli) fn new(total: u64, quiet: bool) -> Self {
        let terminal = output::stderr_is_terminal();
        Self {
            total,
            begun: Instant::now(),
            bar: (!quiet && terminal).then(|| ProgressBar::new(total).with_style(style())),
            line: (!quiet && !terminal).then(|| Cell::new(None)),
        }
    }

    /// So many steps are done, the last of which was `what`.
    pub(in crate::cli) fn done(&self, done: u64, what: &str) {
        let left = match time_left(self.begun.elapsed(), done, self.total) {
            Some(left) => format!("about {} left", in_words(left)),
            None => "time left unknown".to_owned(),
        };
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{what}, {left}"));
        }
        if let Some(line) = &self.line
            && line.get().is_none_or(|at| at.elapsed() >= LINE_INTERVAL)
        {
            line.set(Some(Instant::now()));
            let total = self.total;
            output::progress(&format!("{done} of {total}: {what}, {left}"));
        }
    }

    /// All steps are done, and something is to follow of which nobody knows how long it
    /// takes.
    pub(in crate::cli) fn beyond(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.total);
            bar.set_message(what.to_owned());
        }
        if let Some(line) = &self.line
            && line.get().is_none_or(|at| at.elapsed() >= LINE_INTERVAL)
        {
            line.set(Some(Instant::now()));
            output::progress(what);
        }
    }

    /// A sentence, above the bar.
    pub(in crate::cli) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::diagnostic(message)),
            None => output::diagnostic(message),
        }
    }

    /// Takes the bar away.
    pub(in crate::cli) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("[{bar:24}] {pos} of {len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// As long as the rest takes if it goes on as so far; none before the first step.
fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let done = u32::try_from(done).ok().filter(|done| *done > 0)?;
    let left = u32::try_from(total).ok()?.saturating_sub(done);
    elapsed.checked_mul(left).map(|product| product / done)
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_was() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(10), 0, 5), None);
        assert_eq!(time_left(seconds(10), 2, 5), Some(seconds(15)));
        assert_eq!(time_left(seconds(10), 5, 5), Some(seconds(0)));
        assert_eq!(in_words(seconds(99)), "99 s");
        assert_eq!(in_words(seconds(150)), "3 min");
        assert_eq!(in_words(seconds(7_260)), "2 h 1 min");
    }
}
