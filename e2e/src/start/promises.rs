//! What Lambent promises of its speed, and the figures that show it.

use super::figures::{Figure, Results, Series};

/// Lambent's own name in all figures.
pub(super) const LAMBENT: &str = "lambent";
/// Lambda's runtime interface emulator, in a container of runc.
pub(super) const EMULATOR: &str = "RIE in runc";

const fn figure(name: &'static str, unit: &'static str) -> Figure {
    Figure { name, unit }
}

/// From the request to the entry point's first instruction, after 120 ms of quiet.
pub(super) const COLD: Figure = figure("cold start, sporadic", "ms");
/// The same of a larger image.
pub(super) const COLD_LARGE: Figure = figure("cold start of a large image, sporadic", "ms");
/// The same, one after the other.
pub(super) const COLD_BUSY: Figure = figure("cold start, back to back", "ms");
/// From the client to the answer.
pub(super) const INVOKE: Figure = figure("cold invoke", "ms");
/// One client, as fast as it can: the environment may not be frozen yet.
pub(super) const WARM: Figure = figure("warm invoke, back to back", "ms");
/// One client that waits for 5 ms in between: the environment is frozen.
pub(super) const WARM_FROZEN: Figure = figure("warm invoke, every 5 ms", "ms");
/// The same two for Python.
pub(super) const PYTHON: Figure = figure("warm invoke of Python, back to back", "ms");
/// See [`PYTHON`].
pub(super) const PYTHON_FROZEN: Figure = figure("warm invoke of Python, every 5 ms", "ms");
/// Answers of 8 environments.
pub(super) const THROUGHPUT: Figure = figure("warm throughput, 8 environments", "1/s");
/// Cold starts at once: how many are answered in a second.
pub(super) const BURST: Figure = figure("cold starts at once", "1/s");
/// Memory of a frozen environment beside the function's own.
pub(super) const DENSITY: Figure = figure("memory of a frozen environment", "MB");
/// The whole process of `lambent invoke`.
pub(super) const COMMAND: Figure = figure("lambent invoke, whole process", "ms");

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    MedianAtMost(f64),
    SlowAtMost(f64),
    MedianAtLeast(f64),
    /// Compared with the median of somebody else.
    TimesAtMost(f64, &'static str),
    TimesAtLeast(f64, &'static str),
}

/// All promises, in the order of the table.
pub(super) const PROMISES: [(Figure, Rule); 18] = [
    (COLD, Rule::MedianAtMost(3.0)),
    (COLD, Rule::SlowAtMost(10.0)),
    (COLD_LARGE, Rule::MedianAtMost(3.0)),
    (COLD_LARGE, Rule::SlowAtMost(10.0)),
    (COLD_BUSY, Rule::MedianAtMost(3.0)),
    (COLD_BUSY, Rule::SlowAtMost(10.0)),
    (INVOKE, Rule::MedianAtMost(8.0)),
    (WARM, Rule::MedianAtMost(0.2)),
    (WARM, Rule::SlowAtMost(1.0)),
    (WARM_FROZEN, Rule::MedianAtMost(0.2)),
    (WARM_FROZEN, Rule::SlowAtMost(1.0)),
    (PYTHON, Rule::TimesAtMost(0.6, EMULATOR)),
    (PYTHON_FROZEN, Rule::TimesAtMost(0.6, EMULATOR)),
    (THROUGHPUT, Rule::TimesAtLeast(5.0, EMULATOR)),
    (BURST, Rule::MedianAtLeast(100.0)),
    (DENSITY, Rule::MedianAtMost(1.0)),
    (COMMAND, Rule::TimesAtMost(1.3, COLD_INVOKE)),
    (COMMAND, Rule::MedianAtMost(8.0 * 1.3)),
];

/// What [`COMMAND`] is compared with.
pub(super) const COLD_INVOKE: &str = "cold invoke of lambent serve";

/// Whether a promise is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    Missed,
    /// The one that it is compared with was not measured.
    Unknown,
}

impl Rule {
    /// What the results say of it; `None` if the figure was not measured.
    pub(super) fn judge(self, figure: Figure, results: &Results) -> Option<Verdict> {
        let own = results.of(figure.name, LAMBENT)?;
        let times = |peer| Some(own.median() / results.of(figure.name, peer)?.median());
        let kept = match self {
            Self::MedianAtMost(limit) => Some(own.median() <= limit),
            Self::SlowAtMost(limit) => Some(own.p99() <= limit),
            Self::MedianAtLeast(limit) => Some(own.median() >= limit),
            Self::TimesAtMost(limit, peer) => times(peer).map(|times| times <= limit),
            Self::TimesAtLeast(limit, peer) => times(peer).map(|times| times >= limit),
        };
        Some(match kept {
            None => Verdict::Unknown,
            Some(true) => Verdict::Kept,
            Some(false) => Verdict::Missed,
        })
    }

    /// The rule and what there is of it, for people.
    pub(super) fn show(self, figure: Figure, results: &Results) -> String {
        let unit = figure.unit;
        let own = results.of(figure.name, LAMBENT);
        let number =
            |of: fn(&Series) -> f64| own.map_or_else(String::new, |own| format!("{:.3}", of(own)));
        let times = |peer| {
            let own = own.map(Series::median);
            let peer = results.of(figure.name, peer).map(Series::median);
            match (own, peer) {
                (Some(own), Some(peer)) => format!("{:.2} times", own / peer),
                _ => "not compared".to_owned(),
            }
        };
        match self {
            Self::MedianAtMost(limit) => {
                format!("p50 at most {limit} {unit}: {}", number(Series::median))
            }
            Self::SlowAtMost(limit) => {
                format!("p99 at most {limit} {unit}: {}", number(Series::p99))
            }
            Self::MedianAtLeast(limit) => {
                format!("p50 at least {limit} {unit}: {}", number(Series::median))
            }
            Self::TimesAtMost(limit, peer) => {
                format!("at most {limit} of {peer}: {}", times(peer))
            }
            Self::TimesAtLeast(limit, peer) => {
                format!("at least {limit} times {peer}: {}", times(peer))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_judged_by_what_they_name() {
        let mut results = Results::default();
        for sample in [1.0, 2.0, 9.0] {
            results.add(COLD, LAMBENT, sample);
        }
        results.add(COLD, "peer", 4.0);
        for (rule, verdict) in [
            (Rule::MedianAtMost(2.0), Verdict::Kept),
            (Rule::MedianAtMost(1.9), Verdict::Missed),
            (Rule::SlowAtMost(9.0), Verdict::Kept),
            (Rule::SlowAtMost(8.9), Verdict::Missed),
            (Rule::MedianAtLeast(2.0), Verdict::Kept),
            (Rule::MedianAtLeast(2.1), Verdict::Missed),
            (Rule::TimesAtMost(0.5, "peer"), Verdict::Kept),
            (Rule::TimesAtMost(0.4, "peer"), Verdict::Missed),
            (Rule::TimesAtLeast(0.5, "peer"), Verdict::Kept),
            (Rule::TimesAtLeast(0.6, "peer"), Verdict::Missed),
            (Rule::TimesAtLeast(0.5, "nobody"), Verdict::Unknown),
        ] {
            assert_eq!(rule.judge(COLD, &results), Some(verdict), "{rule:?}");
        }
        assert_eq!(Rule::MedianAtMost(1.0).judge(WARM, &results), None);
    }
}
