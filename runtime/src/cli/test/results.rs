//! [`Results`]: outcomes as they come, shown in the order of the suites.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::args::{Test, TestFormat};
use super::super::exit_status::CommandError;
use super::super::output;
use super::files::SelectedCase;
use super::outcome::{Outcome, Verdict};
use super::text;
use crate::suite::Edit;

/// A case with its outcome.
#[derive(Debug)]
pub(super) struct Finished {
    /// The number of its suite.
    suite: usize,
    pub(super) name: String,
    pub(super) outcome: Outcome,
    pub(super) verdict: Verdict,
}

/// What there is so far.
#[derive(Debug)]
pub(super) struct Results {
    /// Names of suites.
    suites: Vec<String>,
    /// Suite and name of each case, by its number.
    cases: Vec<(usize, String)>,
    /// By the numbers of cases.
    finished: BTreeMap<usize, Finished>,
    /// How many have been printed.
    printed: usize,
    warned: Vec<String>,
    update: bool,
    prints: bool,
    begin: Instant,
    bar: Option<ProgressBar>,
}

impl Results {
    pub(super) fn new(suites: Vec<String>, cases: &[SelectedCase], command: &Test) -> Self {
        let named = cases
            .iter()
            .map(|case| (case.suite, case.case.name.clone()));
        let bar = (!command.choice.quiet && output::stderr_is_terminal()).then(|| {
            let style = ProgressStyle::with_template("[{bar:24}] {pos} of {len} cases");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(cases.len() as u64).with_style(style.progress_chars("=> "))
        });
        Self {
            suites,
            cases: named.collect(),
            finished: BTreeMap::new(),
            printed: 0,
            warned: vec![],
            update: command.update,
            prints: command.output == TestFormat::Text,
            begin: Instant::now(),
            bar,
        }
    }

    /// Adds the outcome of a case, and prints what is now in order.
    pub(super) fn add(&mut self, number: usize, outcome: Outcome) -> Result<(), CommandError> {
        let Some((suite, name)) = self.cases.get(number).cloned() else {
            return Err(CommandError::Internal("a case was not selected".to_owned()));
        };
        for warning in &outcome.warnings {
            if !self.warned.contains(warning) {
                self.beside_the_bar(|| output::diagnostic(&format!("warning: {warning}")));
                self.warned.push(warning.clone());
            }
        }
        let verdict = match outcome.edits() {
            _ if outcome.failed == 0 => Verdict::Passed,
            Some(_) if self.update => Verdict::Updated,
            _ => Verdict::Failed,
        };
        let finished = Finished {
            suite,
            name,
            outcome,
            verdict,
        };
        self.finished.insert(number, finished);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        while let Some(finished) = self.finished.get(&self.printed) {
            if self.prints {
                let lines = text::case(&self.suites[finished.suite], finished);
                self.beside_the_bar(|| {
                    lines
                        .iter()
                        .try_for_each(|line| output::log_line(line.as_bytes()))
                })?;
            }
            self.printed += 1;
        }
        Ok(())
    }

    fn beside_the_bar<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// What is to be changed in a suite.
    pub(super) fn edits(&self, suite: usize) -> Vec<Edit> {
        let updated = self
            .of_suite(suite)
            .filter(|finished| finished.verdict == Verdict::Updated);
        updated
            .filter_map(|finished| finished.outcome.edits())
            .flatten()
            .cloned()
            .collect()
    }

    /// Says that a suite could not be changed.
    pub(super) fn not_updated(&mut self, suite: usize) {
        for finished in self.finished.values_mut() {
            if finished.suite == suite && finished.verdict == Verdict::Updated {
                finished.verdict = Verdict::Failed;
            }
        }
    }

    /// Suites with their names and cases; those without a selected case are not there.
    pub(super) fn suites(&self) -> impl Iterator<Item = (&str, Vec<&Finished>)> {
        let suites = self.suites.iter().enumerate();
        suites
            .map(|(number, name)| (name.as_str(), self.of_suite(number).collect::<Vec<_>>()))
            .filter(|(_, cases)| !cases.is_empty())
    }

    fn of_suite(&self, suite: usize) -> impl Iterator<Item = &Finished> {
        let finished = self.finished.values();
        finished.filter(move |finished| finished.suite == suite)
    }

    /// How many cases ended so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        let finished = self.finished.values();
        finished.filter(|one| one.verdict == verdict).count()
    }

    /// Since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}
