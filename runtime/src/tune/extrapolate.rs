//! What a size would take whose CPUs this host does not have.
//!
//! The duration at the largest size that was measured has a part that waits and a
//! part that computes. If the function was held back by its share there, the computing
//! part shrinks with more of it, as far as the function has threads: that it has
//! enough is an assumption, which the report says. If it was not, it uses as many CPUs
//! as it can already, and nothing changes.

use super::summary::Figures;
use super::{Price, Summary};
use crate::model::{EphemeralStorage, MemorySize};

/// A share of throttled time from which a function is held back.
const HELD_BACK: f64 = 0.05;

/// The figures of sizes beyond the host, from those of the largest measured one.
pub(super) fn extrapolate(
    measured: &[Summary],
    beyond: &[MemorySize],
    price: &Price,
    tmp: EphemeralStorage,
) -> Vec<Summary> {
    let working = measured.iter().rev().find(|summary| summary.works());
    let Some((largest, figures)) =
        working.and_then(|summary| summary.figures.as_ref().map(|figures| (summary, figures)))
    else {
        return vec![];
    };
    let beyond = beyond.iter().filter(|size| **size > largest.size());
    beyond
        .map(|size| at(*size, largest, figures, price, tmp))
        .collect()
}

fn at(
    size: MemorySize,
    largest: &Summary,
    figures: &Figures,
    price: &Price,
    tmp: EphemeralStorage,
) -> Summary {
    let share = largest.size().vcpus();
    let faster = if figures.throttled_share < HELD_BACK {
        0.0
    } else {
        figures.cpu_used_ms / share - figures.cpu_used_ms / size.vcpus()
    };
    let shrink = |duration: f64| (duration - faster).max(figures.cpu_used_ms / size.vcpus());
    let shrink = |duration: f64| {
        if faster > 0.0 {
            shrink(duration).min(duration)
        } else {
            duration
        }
    };
    let billed_mean_ms = shrink(figures.billed_mean_ms).ceil();
    Summary {
        memory_size_mb: size.get(),
        extrapolated: true,
        cold_runs: 0,
        warm_runs: 0,
        outliers: 0,
        out_of_memory: 0,
        timeouts: 0,
        errors: 0,
        figures: Some(Figures {
            // INIT has a whole vCPU at every size, and more of them beyond.
            init_ms: None,
            cold_billed_ms: None,
            duration_p50_ms: shrink(figures.duration_p50_ms),
            duration_p95_ms: shrink(figures.duration_p95_ms),
            billed_mean_ms,
            cost_per_million: price.per_million(size.get(), tmp, billed_mean_ms),
            ..figures.clone()
        }),
    }
}
