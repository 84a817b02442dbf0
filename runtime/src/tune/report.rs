//! Everything that a sweep found out, as data and in words.

use std::fmt::Write;

use serde::Serialize;

use super::extrapolate::extrapolate;
use super::summary::Figures;
use super::{Bound, Price, Sample, Search, Summary, Verdict};
use crate::chart::thousands;
use crate::model::{EphemeralStorage, MemorySize};

/// Of the JSON document.
const VERSION: u32 = 1;
/// From this part of the host's CPU on others are worth a word.
const BUSY_HOST: f64 = 0.2;

/// What was measured, and how.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub(crate) image: String,
    pub(crate) digest: String,
    pub(crate) seed: u64,
    /// Environments for each size.
    pub(crate) rounds: u32,
    /// Warm invocations in each.
    pub(crate) warm: u32,
    pub(crate) host_cpus: usize,
    /// The part of the host's CPU that others used during warm invocations, 0 to 1.
    pub(crate) host_busy_share: f64,
    pub(crate) tmp_mb: EphemeralStorage,
    /// Ended before all was measured.
    pub(crate) interrupted: bool,
}

/// A finished sweep.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    version: u32,
    pub(crate) subject: Subject,
    pub(crate) price: Price,
    pub(crate) verdict: Option<Verdict>,
    /// The smallest size with which it works, and the largest that was too little memory.
    pub(crate) smallest_working_mb: Option<MemorySize>,
    pub(crate) out_of_memory_mb: Option<MemorySize>,
    /// The largest size above that at which it timed out or failed.
    pub(crate) timed_out_or_failed_mb: Option<MemorySize>,
    /// Sizes whose CPU this host cannot give, and that were left out.
    pub(crate) beyond_host_mb: Vec<MemorySize>,
    pub(crate) sizes: Vec<Summary>,
    /// In the order of their measurement.
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    /// Works out what the samples say. `beyond` are sizes that the host cannot give.
    pub(crate) fn new(
        subject: Subject,
        price: Price,
        mut samples: Vec<Sample>,
        search: Search,
        beyond: Vec<MemorySize>,
        extrapolating: bool,
    ) -> Self {
        let tmp = subject.tmp_mb;
        let mut sizes = Summary::of(&mut samples, &price, tmp);
        let mut left_out = beyond;
        if extrapolating {
            sizes.extend(extrapolate(&sizes, &left_out, &price, tmp));
            left_out.clear();
        }
        Self {
            version: VERSION,
            verdict: Verdict::of(&sizes),
            subject,
            price,
            smallest_working_mb: search.smallest(),
            out_of_memory_mb: search.too_small(),
            timed_out_or_failed_mb: search.unclear(),
            beyond_host_mb: left_out,
            sizes,
            samples,
        }
    }

    /// All of it.
    pub(crate) fn json(&self) -> serde_json::Value {
        // Every member has a form in JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// One line for each size, with a heading.
    pub(crate) fn csv(&self) -> String {
        let mut csv = String::from(
            "memory_mb,extrapolated,cold_runs,warm_runs,outliers,out_of_memory,timeouts,errors,\
             init_ms,cold_billed_ms,duration_p50_ms,duration_p95_ms,billed_mean_ms,cpu_used_ms,\
             throttled_share,max_memory_used_mb,usd_per_million\n",
        );
        for size in &self.sizes {
            let number = |figure: &dyn Fn(&Figures) -> Option<f64>, digits: usize| {
                let value = size.figures.as_ref().and_then(figure);
                value
                    .map(|value| format!("{value:.digits$}"))
                    .unwrap_or_default()
            };
            // A string takes all that is written to it.
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                size.memory_size_mb,
                size.extrapolated,
                size.cold_runs,
                size.warm_runs,
                size.outliers,
                size.out_of_memory,
                size.timeouts,
                size.errors,
                number(&|figures| figures.init_ms, 3),
                number(&|figures| figures.cold_billed_ms, 0),
                number(&|figures| Some(figures.duration_p50_ms), 3),
                number(&|figures| Some(figures.duration_p95_ms), 3),
                number(&|figures| Some(figures.billed_mean_ms), 2),
                number(&|figures| Some(figures.cpu_used_ms), 3),
                number(&|figures| Some(figures.throttled_share), 4),
                number(
                    &|f| Some(crate::statistics::number(f.max_memory_used_mb)),
                    0
                ),
                number(&|figures| Some(figures.cost_per_million), 4),
            );
        }
        csv
    }

    /// The table for people: a heading, and a row for each size.
    pub(crate) fn rows(&self) -> Vec<[String; 10]> {
        let heading = [
            "MEMORY MB",
            "INIT ms",
            "P50 ms",
            "P95 ms",
            "THROTTLED",
            "CPU ms",
            "PEAK MB",
            "BILLED ms",
            "USD/MILLION",
            "",
        ];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.sizes.iter().map(|size| self.row(size)));
        // Numbers are easier to compare where their digits are below each other.
        for column in 0..9 {
            let width = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            for row in &mut rows {
                row[column] = format!("{:>width$}", row[column]);
            }
        }
        rows
    }

    fn row(&self, size: &Summary) -> [String; 10] {
        let memory = thousands(&size.memory_size_mb.to_string());
        let remarks = self.remarks(size);
        let Some(figures) = &size.figures else {
            let dash = || "-".to_owned();
            return [
                memory,
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                dash(),
                remarks,
            ];
        };
        [
            memory,
            figures
                .init_ms
                .map_or_else(|| "-".to_owned(), |init| figure(init, 1)),
            figure(figures.duration_p50_ms, 2),
            figure(figures.duration_p95_ms, 2),
            format!("{:.0} %", figures.throttled_share * 100.0),
            figure(figures.cpu_used_ms, 2),
            figures.max_memory_used_mb.to_string(),
            figure(figures.billed_mean_ms, 1),
            figure(figures.cost_per_million, 3),
            remarks,
        ]
    }

    /// What is to be said of a size beside its figures.
    fn remarks(&self, size: &Summary) -> String {
        let mut remarks = vec![];
        if let Some(verdict) = &self.verdict {
            for (chosen, word) in [
                (verdict.cheapest_mb, "cheapest"),
                (verdict.fastest_mb, "fastest"),
                (verdict.balanced_mb, "balanced"),
            ] {
                if chosen == size.memory_size_mb {
                    remarks.push(word.to_owned());
                }
            }
        }
        if size.extrapolated {
            remarks.push("extrapolated".to_owned());
        }
        for (count, word) in [
            (size.out_of_memory, "out of memory"),
            (size.timeouts, "timed out"),
            (size.errors, "failed"),
            (size.outliers, "outliers left out"),
        ] {
            if count > 0 {
                remarks.push(format!("{count} {word}"));
            }
        }
        remarks.join(", ")
    }

    /// What the figures mean, a sentence each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![];
        if let Some(verdict) = &self.verdict {
            sentences.push(format!(
                "Cheapest: {} MB. Fastest: {} MB. Balanced: {} MB.",
                mb(verdict.cheapest_mb),
                mb(verdict.fastest_mb),
                mb(verdict.balanced_mb)
            ));
            sentences.push(self.bound(verdict));
        } else {
            let some = self.sizes.iter().any(|size| size.figures.is_some());
            let answered = if some {
                "Invocations failed at every size, so none is recommended"
            } else {
                "The function answered at no size, so nothing is said of any"
            };
            sentences.push(format!("{answered}; `lambent invoke` shows its log."));
            sentences.extend(self.failures());
            sentences.extend(self.interruption());
            return sentences;
        }
        sentences.extend(self.smallest());
        if !self.beyond_host_mb.is_empty() {
            let sizes = self.beyond_host_mb.iter();
            let sizes: Vec<_> = sizes.map(|size| mb(size.get())).collect();
            sentences.push(format!(
                "Left out, because this host has {} CPUs and they pay for more: {} MB \
                 (--extrapolate works them out).",
                self.subject.host_cpus,
                sizes.join(", ")
            ));
        }
        if self.sizes.iter().any(|size| size.extrapolated) {
            sentences.push(
                "Extrapolated sizes were not measured: they assume that the function has as many \
                 threads as the size has CPUs, if it was short of CPU at the largest measured one."
                    .to_owned(),
            );
        }
        let outliers: usize = self.sizes.iter().map(|size| size.outliers).sum();
        if outliers > 0 {
            sentences.push(format!(
                "Left out of the figures: {outliers} warm invocations that were far slower than \
                 the others of their size; the host must have been busy."
            ));
        }
        if self.subject.host_busy_share >= BUSY_HOST {
            sentences.push(format!(
                "This host was busy: others used {:.0} % of its CPU, so durations (and with them \
                 costs) may be longer than they are on Lambda. CPU ms and THROTTLED are the \
                 function's own.",
                self.subject.host_busy_share * 100.0
            ));
        }
        sentences.extend(self.interruption());
        sentences.push(format!(
            "Prices: {} on {}, {} USD per GB-second, {} USD per million requests ({}). Cost is \
             that of warm invocations.",
            self.price.region,
            self.price.architecture,
            self.price.gb_second,
            self.price.million_requests,
            self.price.source
        ));
        sentences
    }

    fn interruption(&self) -> Option<String> {
        let text = "Interrupted: these are the figures of what was measured.";
        self.subject.interrupted.then(|| text.to_owned())
    }

    /// What kept invocations from being answered, each with the sizes.
    fn failures(&self) -> Vec<String> {
        let mut failures: Vec<(String, Vec<u32>)> = vec![];
        for sample in &self.samples {
            let Some(trouble) = &sample.trouble else {
                continue;
            };
            let (text, size) = (trouble.to_string(), sample.memory_size_mb);
            match failures.iter_mut().find(|(other, _)| *other == text) {
                Some((_, sizes)) => sizes.push(size),
                None => failures.push((text, vec![size])),
            }
        }
        let sentence = |(text, mut sizes): (String, Vec<u32>)| {
            sizes.sort_unstable();
            sizes.dedup();
            let sizes: Vec<_> = sizes.into_iter().map(mb).collect();
            format!("With {} MB {text}.", sizes.join(", "))
        };
        failures.into_iter().map(sentence).collect()
    }

    fn bound(&self, verdict: &Verdict) -> String {
        let what = match verdict.bound {
            Bound::Cpu => "The function is CPU-bound",
            Bound::Memory => "The function is memory-bound: it nearly fills its smallest size",
            Bound::Waiting => "The function waits: it is hardly ever short of CPU",
            Bound::Mixed => "The function computes and waits",
        };
        let threads = if verdict.single_threaded {
            ", and keeps no more than one CPU busy"
        } else {
            ""
        };
        let known = self.sizes.iter().filter(|size| size.figures.is_some());
        let limit = if known.count() == 1 {
            "One size does not tell whether more memory makes it faster.".to_owned()
        } else if verdict.helps_to_the_end {
            format!(
                "More memory makes it faster up to {} MB at least, the largest size here.",
                mb(verdict.stops_helping_mb)
            )
        } else {
            format!(
                "Beyond {} MB more memory makes it hardly any faster.",
                mb(verdict.stops_helping_mb)
            )
        };
        format!("{what}{threads}. {limit}")
    }

    fn smallest(&self) -> Option<String> {
        let found = (self.smallest_working_mb, self.out_of_memory_mb);
        let unclear = self.timed_out_or_failed_mb.map(|size| {
            let size = mb(size.get());
            format!("with {size} MB it timed out or failed, which does not tell of its memory")
        });
        match found {
            (Some(smallest), Some(too_small)) => Some(format!(
                "The smallest size that it works with: {} MB ({} MB is too small{}).",
                mb(smallest.get()),
                mb(too_small.get()),
                unclear.map(|text| format!("; {text}")).unwrap_or_default()
            )),
            (None, Some(too_small)) => Some(format!(
                "It runs out of memory with {} MB, and works with no size for certain.",
                mb(too_small.get())
            )),
            (Some(smallest), None) => Some(format!(
                "It did not run out of memory, at {} MB neither{}.",
                mb(smallest.get()),
                unclear.map(|text| format!("; {text}")).unwrap_or_default()
            )),
            (None, None) => None,
        }
    }
}

fn figure(value: f64, digits: usize) -> String {
    thousands(&format!("{value:.digits$}"))
}

/// A size as texts have it.
pub(super) fn mb(size: u32) -> String {
    thousands(&size.to_string())
}
