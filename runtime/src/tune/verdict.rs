//! Which size is best for what, and what bounds the function.

use serde::Serialize;

use super::Summary;
use super::summary::Figures;

/// Durations that differ by less are the same.
const SAME_DURATION: f64 = 0.02;
/// More memory helps if it makes the function faster by so much.
const HELPS: f64 = 0.05;
/// From this share of throttled time on, CPU is what the function lacks.
const CPU_BOUND: f64 = 0.25;
/// And from this one on it lacks some.
const THROTTLED: f64 = 0.05;
/// A function that has so much of its memory in use may be slow for want of it.
const NEARLY_FULL: f64 = 0.9;

/// What a function's duration depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// The CPU that its size pays for.
    Cpu,
    /// The memory itself: it nearly fills it, and is faster with more.
    Memory,
    /// Neither: it waits for something.
    Waiting,
    /// It waits and computes: CPU is part of it.
    Mixed,
}

/// The answer to which size to choose, in MB. Measured sizes at which every invocation
/// was answered count, and extrapolated ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// The lowest cost.
    pub(crate) cheapest_mb: u32,
    /// The lowest median duration; of sizes within 2 % of it the smallest.
    pub(crate) fastest_mb: u32,
    /// The lowest sum of cost and duration, each as a part of the highest.
    pub(crate) balanced_mb: u32,
    /// The smallest size that no larger one makes faster by more than 5 %.
    pub(crate) stops_helping_mb: u32,
    /// Whether that is the largest size: more may help still.
    pub(crate) helps_to_the_end: bool,
    pub(crate) bound: Bound,
    /// It keeps one CPU busy where it has more than one.
    pub(crate) single_threaded: bool,
}

impl Verdict {
    /// Judges sizes, smallest first; none if the function worked at none.
    pub(crate) fn of(summaries: &[Summary]) -> Option<Self> {
        let working: Vec<_> = summaries
            .iter()
            .filter(|summary| summary.works())
            .filter_map(|summary| Some((summary, summary.figures.as_ref()?)))
            .collect();
        let first = *working.first()?;
        let lowest = |figure: &dyn Fn(&Figures) -> f64| {
            let values = working.iter().map(|(_, figures)| figure(figures));
            values.fold(f64::INFINITY, f64::min)
        };
        let highest = |figure: &dyn Fn(&Figures) -> f64| {
            let values = working.iter().map(|(_, figures)| figure(figures));
            values.fold(0.0, f64::max)
        };
        let first_with = |accept: &dyn Fn(&Figures) -> bool| {
            let found = working.iter().find(|(_, figures)| accept(figures));
            found.map_or(first.0.memory_size_mb, |(summary, _)| {
                summary.memory_size_mb
            })
        };
        let cost = |figures: &Figures| figures.cost_per_million;
        let duration = |figures: &Figures| figures.duration_p50_ms;
        let (most, longest) = (highest(&cost), highest(&duration));
        let sum = |figures: &Figures| cost(figures) / most + duration(figures) / longest;
        let (least_cost, shortest, least_sum) = (lowest(&cost), lowest(&duration), lowest(&sum));
        let stops_helping_mb = first_with(&|figures| duration(figures) <= shortest * (1.0 + HELPS));
        let largest = working
            .last()
            .map_or(0, |(summary, _)| summary.memory_size_mb);
        Some(Self {
            cheapest_mb: first_with(&|figures| cost(figures) <= least_cost),
            fastest_mb: first_with(&|figures| {
                duration(figures) <= shortest * (1.0 + SAME_DURATION)
            }),
            balanced_mb: first_with(&|figures| sum(figures) <= least_sum),
            stops_helping_mb,
            helps_to_the_end: stops_helping_mb == largest,
            bound: bound(first, shortest),
            single_threaded: working.iter().any(|(summary, figures)| {
                !summary.extrapolated
                    && summary.size().vcpus() >= 1.2
                    && figures.throttled_share < THROTTLED
                    && (0.85..=1.1).contains(&figures.busy_cpus())
            }),
        })
    }
}

/// Judged at the smallest size at which it works: there it lacks most.
fn bound((smallest, figures): (&Summary, &Figures), shortest: f64) -> Bound {
    let (filled, throttled) = (
        crate::statistics::number(figures.max_memory_used_mb) / f64::from(smallest.memory_size_mb),
        figures.throttled_share,
    );
    let gains = figures.duration_p50_ms > shortest * (1.0 + HELPS);
    // One that fits into whole CPUs is never throttled, and computes all the same. With
    // less than one, who is not throttled was done before it mattered.
    let computes = smallest.size().vcpus() >= 1.0 && figures.busy_cpus() >= 0.9;
    if throttled >= CPU_BOUND || computes {
        Bound::Cpu
    } else if filled >= NEARLY_FULL && gains {
        Bound::Memory
    } else if throttled >= THROTTLED && gains {
        Bound::Mixed
    } else {
        Bound::Waiting
    }
}
