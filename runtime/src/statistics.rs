//! Figures of series of measurements, and chance that can be repeated. Pure.

/// How many of its usual deviations a measurement has to be away from the median to
/// be an outlier. Of a million measurements with a normal distribution one is.
const OUTLIER_DEVIATIONS: f64 = 5.0;

/// From the median of deviations to the standard deviation of a normal distribution.
const MEDIAN_DEVIATION: f64 = 1.4826;

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts, and bytes of memory and files, are far below 2^53"
)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// The same for a length.
pub(crate) fn length<T>(values: &[T]) -> f64 {
    number(values.len() as u64)
}

/// A quantile with `share` of the values below it, between neighbours in proportion;
/// NaN without values.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share.clamp(0.0, 1.0) * number(last as u64);
    let low = index(place).min(last);
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (place - number(low as u64))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a vector"
)]
fn index(place: f64) -> usize {
    place.max(0.0) as usize
}

/// The value in the middle; NaN without values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The mean; NaN without values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / length(values)
}

/// The usual deviation from the median, as the standard deviation of a normal
/// distribution, and not moved by a few values that are far away.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let median = median(values);
    let deviations: Vec<_> = values.iter().map(|value| (value - median).abs()).collect();
    median_of_deviations(&deviations)
}

fn median_of_deviations(deviations: &[f64]) -> f64 {
    MEDIAN_DEVIATION * median(deviations)
}

/// Which values are outliers: slower than the rest can explain. Nothing that a
/// function does makes it faster than it is, so low values are none.
///
/// A distance of less than `resolution` is none either. Where more than a fifth of the
/// values would be outliers they are what the function does, and none is.
pub(crate) fn outliers(values: &[f64], resolution: f64) -> Vec<bool> {
    let limit = median(values) + (OUTLIER_DEVIATIONS * deviation(values)).max(resolution);
    let marked: Vec<_> = values.iter().map(|value| *value > limit).collect();
    let count = marked.iter().filter(|outlier| **outlier).count();
    if count * 5 > values.len() {
        return vec![false; values.len()];
    }
    marked
}

/// `SplitMix64`: the order must be the same for a seed in every version, which
/// libraries do not promise.
#[derive(Debug)]
pub(crate) struct Generator(u64);

impl Generator {
    /// The same order for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Puts items into an order by chance: Fisher and Yates's. A list has a few dozen items, for which the remainder of 64
    /// bits is as good as fair.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_between_neighbours() {
        let values = [40.0, 10.0, 30.0, 20.0];
        for (share, expected) in [(0.0, 10.0), (0.5, 25.0), (0.95, 38.5), (1.0, 40.0)] {
            assert!(
                (quantile(&values, share) - expected).abs() < 1e-9,
                "{share}"
            );
        }
        assert!(median(&[]).is_nan());
        assert!((median(&[7.0]) - 7.0).abs() < 1e-9);
        assert!((mean(&values) - 25.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_few_slow_values_among_many_are_found(
            usual in proptest::collection::vec(100.0_f64..102.0, 20..60),
            slow in proptest::collection::vec(150.0_f64..1e6, 0..4),
        ) {
            let values: Vec<_> = usual.iter().chain(&slow).copied().collect();
            let marked = outliers(&values, 0.5);
            for (value, outlier) in values.iter().zip(marked) {
                prop_assert_eq!(outlier, *value >= 150.0, "{}", value);
            }
        }

        #[test]
        fn two_ways_of_a_function_are_no_outliers(
            fast in proptest::collection::vec(10.0_f64..10.5, 20..40),
            slow in proptest::collection::vec(100.0_f64..101.0, 11..20),
        ) {
            let values: Vec<_> = fast.iter().chain(&slow).copied().collect();
            prop_assert!(!outliers(&values, 0.5).contains(&true));
        }
    }
}
