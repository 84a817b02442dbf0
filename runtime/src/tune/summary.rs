//! The samples of one memory size as figures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Price, Sample, Trouble};
use crate::model::{EphemeralStorage, MemorySize};
use crate::statistics::{length, mean, median, number, outliers, quantile};

/// A difference in milliseconds that makes no invocation an outlier: the host's own
/// resolution of a wake-up, and a twentieth of the duration.
const RESOLUTION_MS: f64 = 0.5;
const RESOLUTION_SHARE: f64 = 0.05;

/// What a function takes and costs at one memory size.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) memory_size_mb: u32,
    /// Not measured but worked out from smaller sizes.
    pub(crate) extrapolated: bool,
    /// Cold starts that answered, and warm invocations that count.
    pub(crate) cold_runs: usize,
    pub(crate) warm_runs: usize,
    /// Warm invocations that were left out.
    pub(crate) outliers: usize,
    pub(crate) out_of_memory: usize,
    pub(crate) timeouts: usize,
    pub(crate) errors: usize,
    /// None where nothing answered.
    pub(crate) figures: Option<Figures>,
}

/// The figures of a size at which the function answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// The median of cold starts.
    pub(crate) init_ms: Option<f64>,
    pub(crate) cold_billed_ms: Option<f64>,
    /// Of warm invocations, like everything below.
    pub(crate) duration_p50_ms: f64,
    pub(crate) duration_p95_ms: f64,
    pub(crate) billed_mean_ms: f64,
    pub(crate) cpu_used_ms: f64,
    /// The part of the duration in which the function had used its CPU, 0 to 1.
    pub(crate) throttled_share: f64,
    /// The highest of all, cold starts too.
    pub(crate) max_memory_used_mb: u64,
    /// US dollars for a million warm invocations.
    pub(crate) cost_per_million: f64,
}

impl Figures {
    /// CPUs that were busy on average.
    pub(crate) fn busy_cpus(&self) -> f64 {
        self.cpu_used_ms / self.duration_p50_ms.max(f64::MIN_POSITIVE)
    }
}

impl Summary {
    /// The size.
    pub(crate) fn size(&self) -> MemorySize {
        MemorySize::new(self.memory_size_mb).unwrap_or_default()
    }

    /// Whether every invocation was answered.
    pub(crate) fn works(&self) -> bool {
        self.figures.is_some() && self.out_of_memory + self.timeouts + self.errors == 0
    }

    /// The figures of each size that was tried, smallest first. Marks the samples that
    /// are outliers.
    pub(crate) fn of(samples: &mut [Sample], price: &Price, tmp: EphemeralStorage) -> Vec<Self> {
        let mut by_size: BTreeMap<u32, Vec<&mut Sample>> = BTreeMap::new();
        for sample in samples {
            by_size
                .entry(sample.memory_size_mb)
                .or_default()
                .push(sample);
        }
        let by_size = by_size.into_iter();
        by_size
            .map(|(size, samples)| summarise(size, samples, price, tmp))
            .collect()
    }
}

fn summarise(
    memory_size_mb: u32,
    mut samples: Vec<&mut Sample>,
    price: &Price,
    tmp: EphemeralStorage,
) -> Summary {
    let durations: Vec<_> = samples
        .iter()
        .filter(|sample| is_warm(sample))
        .map(|sample| sample.duration_ms)
        .collect();
    let resolution = RESOLUTION_MS.max(RESOLUTION_SHARE * median(&durations));
    let marks = outliers(&durations, resolution);
    let warm_samples = samples.iter_mut().filter(|sample| is_warm(sample));
    for (sample, outlier) in warm_samples.zip(marks) {
        sample.outlier = outlier;
    }
    let troubles = |kind: fn(&Trouble) -> bool| {
        let troubles = samples.iter().filter_map(|sample| sample.trouble.as_ref());
        troubles.filter(|trouble| kind(trouble)).count()
    };
    let cold: Vec<_> = samples
        .iter()
        .filter(|sample| sample.cold && sample.trouble.is_none())
        .collect();
    let warm: Vec<_> = samples
        .iter()
        .filter(|sample| is_warm(sample) && !sample.outlier)
        .collect();
    let of_warm = |figure: fn(&Sample) -> f64| -> Vec<f64> {
        warm.iter().map(|sample| figure(sample)).collect()
    };
    let durations = of_warm(|sample| sample.duration_ms);
    let total: f64 = durations.iter().sum();
    let throttled: f64 = of_warm(|sample| sample.throttled_ms).iter().sum();
    let billed_mean_ms = mean(&of_warm(|sample| number(sample.billed_ms)));
    let inits: Vec<_> = cold.iter().filter_map(|sample| sample.init_ms).collect();
    let cold_billed: Vec<_> = cold.iter().map(|sample| number(sample.billed_ms)).collect();
    let some = |values: &[f64]| (!values.is_empty()).then(|| median(values));
    let answered = samples.iter().filter(|sample| sample.trouble.is_none());
    let figures = (!warm.is_empty()).then(|| Figures {
        init_ms: some(&inits),
        cold_billed_ms: some(&cold_billed),
        duration_p50_ms: median(&durations),
        duration_p95_ms: quantile(&durations, 0.95),
        billed_mean_ms,
        cpu_used_ms: of_warm(|sample| sample.cpu_used_ms).iter().sum::<f64>() / length(&warm),
        throttled_share: (throttled / total.max(f64::MIN_POSITIVE)).min(1.0),
        max_memory_used_mb: answered
            .map(|sample| sample.max_memory_used_mb)
            .max()
            .unwrap_or(0),
        cost_per_million: price.per_million(memory_size_mb, tmp, billed_mean_ms),
    });
    Summary {
        memory_size_mb,
        extrapolated: false,
        cold_runs: cold.len(),
        warm_runs: warm.len(),
        outliers: samples.iter().filter(|sample| sample.outlier).count(),
        out_of_memory: troubles(|trouble| *trouble == Trouble::OutOfMemory),
        timeouts: troubles(|trouble| *trouble == Trouble::Timeout),
        errors: troubles(|trouble| matches!(trouble, Trouble::Error(_))),
        figures,
    }
}

fn is_warm(sample: &Sample) -> bool {
    !sample.cold && sample.trouble.is_none()
}
