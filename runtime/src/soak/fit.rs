//! Growth of a series: how much for each invocation, how sure that is, and whether it
//! goes on.
//!
//! Theil and Sen's line (the median of the slopes of all pairs) is not moved by single
//! values that are far away, and its interval needs no assumption about noise. But any
//! series that is higher at its end has a slope: a cache that was filled, a buffer that
//! was enlarged once. So a growth counts only if it is found in most parts of the
//! series by themselves, the last one among them.

use serde::Serialize;

use crate::statistics::{deviation, length, median, number};

/// The part of a series at its begin that is not looked at: a function warms up.
const WARM_UP: f64 = 0.2;
/// Fewer points say nothing.
const FEWEST: usize = 12;
/// More points are thinned out: the number of pairs is their square.
const MOST: usize = 240;
/// Standard deviations of a 99 % interval.
const CONFIDENCE: f64 = 2.576;
/// Parts of a series, and in how many of them the growth must be found.
const PARTS: usize = 4;
const PARTS_AS_NUMBER: f64 = 4.0;
const GROWING_PARTS: usize = 3;
/// A part grows if it has so much of what would be its share of the whole growth.
const PART_OF_EXPECTED: f64 = 0.25;
/// No part has more of the whole growth: that would be a step.
const MOST_IN_A_PART: f64 = 0.6;
/// Growth must be so many times as much as the values scatter.
const ABOVE_NOISE: f64 = 2.0;

/// A line through a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Growth {
    /// For each invocation, with its 99 % interval.
    pub(crate) per_invocation: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The line's value at the last invocation.
    pub(crate) level: f64,
    /// The line's growth over the part of the series that was looked at.
    pub(crate) total: f64,
    /// Whether it is growth that goes on, and neither noise nor a step.
    pub(crate) steady: bool,
}

/// Fits a line to values over the number of the invocation; none for short series.
pub(crate) fn fit(points: &[(f64, f64)]) -> Option<Growth> {
    let last = points.last()?.0;
    let first = points.first()?.0;
    let begin = first + WARM_UP * (last - first);
    let points: Vec<_> = points
        .iter()
        .copied()
        .filter(|point| point.0 >= begin)
        .collect();
    if points.len() < FEWEST {
        return None;
    }
    let thinned = thin(&points);
    let slopes = slopes(&thinned);
    let slope = median(&slopes);
    let (low, high) = interval(&slopes, length(&thinned));
    let offsets: Vec<_> = points.iter().map(|(x, y)| y - slope * x).collect();
    let span = last - points[0].0;
    let total = slope * span;
    let noise = deviation(&offsets);
    let steady = low > 0.0 && total > ABOVE_NOISE * noise && goes_on(&points);
    Some(Growth {
        per_invocation: slope,
        low,
        high,
        level: median(&offsets) + slope * last,
        total,
        steady,
    })
}

/// At most [`MOST`] points, at equal distances.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(MOST).max(1);
    points.iter().step_by(step).copied().collect()
}

/// The slopes of all pairs, in order.
fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = vec![];
    for (index, one) in points.iter().enumerate() {
        for other in &points[..index] {
            if one.0 > other.0 {
                slopes.push((one.1 - other.1) / (one.0 - other.0));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// Sen's interval: how many pairs of `count` points may disagree by chance.
fn interval(slopes: &[f64], count: f64) -> (f64, f64) {
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    let share = CONFIDENCE * variance.sqrt() / length(slopes).max(1.0);
    let at = |share: f64| crate::statistics::quantile(slopes, share);
    (at(0.5 - share / 2.0), at(0.5 + share / 2.0))
}

/// Whether the growth is spread over the parts of the series, the last one included: no
/// part has most of it.
fn goes_on(points: &[(f64, f64)]) -> bool {
    let levels = levels(points);
    let total = levels[PARTS] - levels[0];
    let changes: Vec<_> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let grows = |change: &f64| *change > PART_OF_EXPECTED * total / PARTS_AS_NUMBER;
    let count = changes.iter().filter(|change| grows(change)).count();
    let most = changes.iter().copied().fold(0.0, f64::max);
    total > 0.0
        && count >= GROWING_PARTS
        && changes.last().is_some_and(grows)
        && most <= MOST_IN_A_PART * total
}

/// The level at the begin, between the parts, and at the end: medians of the points
/// around.
fn levels(points: &[(f64, f64)]) -> [f64; PARTS + 1] {
    let around = (points.len() / PARTS / 6).max(1);
    std::array::from_fn(|boundary| {
        let middle = points.len() * boundary / PARTS;
        // At the ends there is one side only: as many points, on that side.
        let begin = middle.saturating_sub(around).min(points.len() - 2 * around);
        let window = &points[begin..begin + 2 * around];
        median(&window.iter().map(|point| point.1).collect::<Vec<_>>())
    })
}

/// At which invocation `limit` is reached: as the line says, and between which by its
/// interval (`None` where that may be never).
pub(crate) fn reaches(growth: &Growth, limit: f64, last: u64) -> Option<(f64, f64, Option<f64>)> {
    let left = (limit - growth.level).max(0.0);
    let after = |slope: f64| (slope > 0.0).then(|| number(last) + left / slope);
    Some((
        after(growth.per_invocation)?,
        after(growth.high)?,
        after(growth.low),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values of 200 invocations, with noise from -1 to 1.
    fn series(noise: &[f64], scale: f64, value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let points = noise.iter().enumerate();
        points
            .map(|(index, noise)| {
                let x = number(index as u64 + 1);
                (x, value(x) + scale * noise)
            })
            .collect()
    }

    fn noise() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(-1.0_f64..1.0, 200)
    }

    fn is_steady(points: &[(f64, f64)]) -> bool {
        fit(points).unwrap().steady
    }

    proptest! {
        // Each case looks at all pairs of 200 points.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn growth_is_found_within_5_percent(
            noise in noise(),
            rate in 0.5_f64..1e5,
            from in 0.0_f64..1e8,
        ) {
            let points = series(&noise, rate * 5.0, |x| from + rate * x);
            let growth = fit(&points).unwrap();
            prop_assert!(growth.steady, "{growth:?}");
            prop_assert!((growth.per_invocation / rate - 1.0).abs() < 0.05, "{growth:?}");
            prop_assert!(growth.low <= growth.per_invocation && growth.per_invocation <= growth.high);
            let (at, soonest, latest) = reaches(&growth, from + rate * 1_000.0, 200).unwrap();
            prop_assert!((at / 1_000.0 - 1.0).abs() < 0.05, "{at}");
            prop_assert!(soonest <= at && latest.is_some_and(|latest| latest >= at));
        }

        #[test]
        fn a_page_of_memory_at_a_time_is_growth(rate in 0.4_f64..1.0) {
            let points = series(&[0.0; 200], 0.0, |x| (rate * x / 4.0).floor() * 4.0);
            let growth = fit(&points).unwrap();
            prop_assert!(growth.steady && (growth.per_invocation / rate - 1.0).abs() < 0.1, "{growth:?}");
        }

        #[test]
        fn noise_is_no_growth(noise in noise(), scale in 0.0_f64..1e6) {
            prop_assert!(!is_steady(&series(&noise, scale, |_| 1e7)));
        }

        #[test]
        fn a_step_is_no_growth(noise in noise(), at in 0.0_f64..201.0, height in 0.0_f64..1e8) {
            let points = series(&noise, 1.0, |x| if x < at { 0.0 } else { height });
            prop_assert!(!is_steady(&points));
        }

        #[test]
        fn a_cache_that_fills_is_no_growth(
            noise in noise(),
            full in 1.0_f64..150.0,
            rate in 1.0_f64..1e6,
        ) {
            prop_assert!(!is_steady(&series(&noise, 0.5, |x| rate * x.min(full))));
        }

        #[test]
        fn a_cache_that_fills_by_chance_is_no_growth(noise in noise(), keys in 3.0_f64..35.0) {
            let points = series(&noise, 0.01, |x| keys * (1.0 - (-x / keys).exp()));
            prop_assert!(!is_steady(&points));
        }

        #[test]
        fn what_falls_is_no_growth(noise in noise(), rate in 0.0_f64..100.0) {
            prop_assert!(!is_steady(&series(&noise, 1.0, |x| 1e5 - rate * x)));
        }
    }

    #[test]
    fn short_series_say_nothing() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[(1.0, 5.0); 8]), None);
    }
}
