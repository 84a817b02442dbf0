//! Everything that a soak found out, as data and in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::finding::Course;
use super::resource::{Limits, Resource};
use super::sample::crossing;
use super::{Held, Sample, Tally};
use crate::chart::thousands;

/// Of the JSON document.
const VERSION: u32 = 1;

/// What was measured, and how.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) image: String,
    pub(crate) digest: String,
    pub(crate) environments: u32,
    /// Invocations in each that were asked for, and the fewest that were done.
    pub(crate) invocations: u64,
    pub(crate) done: u64,
    pub(crate) limits: Limits,
    /// What runs out after so many invocations is no finding.
    pub(crate) horizon: u64,
    pub(crate) seed: u64,
    /// Ended before all was done.
    pub(crate) interrupted: bool,
    /// Why it ended early: what the function returned at which invocation.
    pub(crate) failure: Option<String>,
}

/// A finished soak.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    version: u32,
    pub(crate) subject: Subject,
    pub(crate) courses: Vec<Course>,
    /// Files in `/tmp` that were there before the last invocation.
    pub(crate) crossing: BTreeMap<String, Tally>,
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    /// Judges samples. `last` is what an environment held after the last two
    /// invocations.
    pub(crate) fn new(subject: Subject, samples: Vec<Sample>, last: Option<(Held, Held)>) -> Self {
        let environments = by_environment(&samples);
        let course = |resource: Resource| {
            Course::of(resource, &environments, &subject.limits, subject.horizon)
        };
        Self {
            version: VERSION,
            courses: Resource::ALL.map(course).to_vec(),
            crossing: last
                .map(|(before, now)| crossing(&before, &now))
                .unwrap_or_default(),
            subject,
            samples,
        }
    }

    /// Whether something runs out within the horizon, or the function failed.
    pub(crate) fn fails(&self) -> bool {
        self.subject.failure.is_some() || self.courses.iter().any(Course::fails)
    }

    /// The samples of each environment.
    pub(crate) fn environments(&self) -> Vec<Vec<&Sample>> {
        by_environment(&self.samples)
    }

    /// All of it.
    pub(crate) fn json(&self) -> serde_json::Value {
        // Every member has a form in JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// A line for each sample, with a heading.
    pub(crate) fn csv(&self) -> String {
        let mut csv = String::from(
            "environment,invocation,duration_ms,memory_bytes,tmp_bytes,tmp_files,descriptors,\
             sockets,threads,processes\n",
        );
        for sample in &self.samples {
            // A string takes all that is written to it.
            let _ = writeln!(
                csv,
                "{},{},{:.3},{},{},{},{},{},{},{}",
                sample.environment,
                sample.invocation,
                sample.duration_ms,
                sample.memory_bytes,
                sample.tmp_bytes,
                sample.tmp_files,
                sample.descriptors,
                sample.sockets,
                sample.threads,
                sample.processes
            );
        }
        csv
    }

    /// The table for people: a heading, and a row for each resource.
    pub(crate) fn rows(&self) -> Vec<[String; 6]> {
        let heading = [
            "RESOURCE",
            "BEGIN",
            "END",
            "LIMIT",
            "PER 1,000 INVOCATIONS",
            "",
        ];
        let mut rows = vec![heading.map(str::to_owned)];
        for course in &self.courses {
            let digits = usize::from(!course.resource.unit().is_empty());
            let value = |value: f64| thousands(&format!("{value:.digits$}"));
            let name = match course.resource.unit() {
                "" => course.resource.title().to_owned(),
                unit => format!("{}, {unit}", course.resource.title()),
            };
            rows.push([
                name,
                value(course.first),
                value(course.last),
                course
                    .limit
                    .map_or_else(|| "-".to_owned(), |limit| thousands(&format!("{limit:.0}"))),
                course.growth.map_or_else(
                    || "-".to_owned(),
                    |growth| {
                        let per = |slope: f64| format!("{:+.2}", tidy(slope * 1_000.0));
                        format!(
                            "{} ({} to {})",
                            per(growth.per_invocation),
                            per(growth.low),
                            per(growth.high)
                        )
                    },
                ),
                match &course.finding {
                    Some(_) if course.fails() => "grows".to_owned(),
                    Some(_) => "grows, beyond the horizon".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        rows
    }

    /// What the figures mean, a sentence each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let subject = &self.subject;
        let mut sentences: Vec<_> = self
            .courses
            .iter()
            .filter_map(|course| self.finding(course))
            .collect();
        if sentences.is_empty() {
            let enough = self.courses.iter().any(|course| course.growth.is_some());
            sentences.push(if enough {
                format!(
                    "Nothing grows from invocation to invocation, as far as {} of them show.",
                    thousands(&subject.done.to_string())
                )
            } else {
                "Too few invocations to tell whether anything grows.".to_owned()
            });
        }
        if !self.crossing.is_empty() {
            let names: Vec<_> = self
                .crossing
                .iter()
                .take(3)
                .map(|(pattern, tally)| described(pattern, tally))
                .collect();
            sentences.push(format!(
                "State crosses invocations: files of earlier requests are in /tmp: {}.",
                names.join("; ")
            ));
        }
        if let Some(failure) = &subject.failure {
            sentences.push(format!("The function failed: {failure}."));
        }
        if subject.interrupted {
            sentences.push(format!(
                "Interrupted after {} of {} invocations.",
                thousands(&subject.done.to_string()),
                thousands(&subject.invocations.to_string())
            ));
        }
        sentences
    }

    fn finding(&self, course: &Course) -> Option<String> {
        let (finding, growth) = (course.finding.as_ref()?, course.growth?);
        let title = course.resource.title();
        let (rate, unit) = match course.resource.unit() {
            "MB" => (growth.per_invocation * 1_024.0, " KB"),
            "" => (growth.per_invocation, ""),
            unit => (growth.per_invocation, unit),
        };
        let mut text = format!("Grows: {title}, by {rate:.3}{unit} an invocation");
        if self.subject.environments > 1 {
            let _ = write!(
                text,
                " (in {} of {} environments)",
                course.growing_environments, self.subject.environments
            );
        }
        if let (Some(at), Some(soonest)) = (finding.runs_out_at, finding.soonest) {
            let round = |value: f64| thousands(&format!("{value:.0}"));
            let latest = finding.latest.map_or_else(|| "never".to_owned(), round);
            let _ = write!(
                text,
                "; it runs out at invocation {} ({} to {latest})",
                round(at),
                round(soonest)
            );
        }
        if !finding.growing.is_empty() {
            let names = finding
                .growing
                .iter()
                .map(|(name, tally)| described(name, tally));
            let _ = write!(text, ": {}", names.collect::<Vec<_>>().join("; "));
        }
        text.push('.');
        Some(text)
    }
}

fn by_environment(samples: &[Sample]) -> Vec<Vec<&Sample>> {
    let mut environments: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        environments
            .entry(sample.environment)
            .or_default()
            .push(sample);
    }
    environments.into_values().collect()
}

/// Without the sign of a zero.
fn tidy(value: f64) -> f64 {
    if value.abs() < 0.005 { 0.0 } else { value }
}

fn described(pattern: &str, tally: &Tally) -> String {
    let mut text = format!("{} × {pattern}", thousands(&tally.count.to_string()));
    if tally.bytes > 0 {
        let _ = write!(
            text,
            " of {} KB{}",
            thousands(&tally.bytes.div_ceil(1_024).to_string()),
            if tally.count > 1 { " in all" } else { "" }
        );
    }
    if tally.example != pattern {
        let _ = write!(text, " (such as {})", tally.example.escape_debug());
    }
    text
}
