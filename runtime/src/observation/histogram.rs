//! Durations in classes, as Prometheus wants them.

use std::time::Duration;

/// Upper bounds of the classes in milliseconds: Lambda's durations go from under a
/// millisecond to 15 minutes.
const BOUNDS_MS: [u64; 16] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 300_000, 900_000,
];

/// How often durations fell into which class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    classes: [u64; BOUNDS_MS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let class = BOUNDS_MS
            .iter()
            .position(|bound| duration <= Duration::from_millis(*bound));
        if let Some(class) = class {
            self.classes[class] += 1;
        }
        self.count += 1;
        self.sum += duration;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// For each upper bound, how many were not longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0;
        BOUNDS_MS
            .iter()
            .zip(self.classes)
            .map(move |(bound, class)| {
                below += class;
                (Duration::from_millis(*bound), below)
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_its_class() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_millis(5));
        let below = |ms| {
            let bound = Duration::from_millis(ms);
            let mut classes = histogram.cumulative();
            classes.find(|(upper, _)| *upper == bound).unwrap().1
        };
        assert_eq!((below(2), below(5), below(900_000)), (0, 1, 1));
    }

    proptest! {
        #[test]
        fn classes_count_what_is_not_longer(
            durations in prop::collection::vec(0_u64..2_000_000_000, 0..50),
        ) {
            let mut histogram = Histogram::default();
            let durations: Vec<_> = durations.into_iter().map(Duration::from_micros).collect();
            for duration in &durations {
                histogram.observe(*duration);
            }
            prop_assert_eq!(histogram.count(), durations.len() as u64);
            prop_assert_eq!(histogram.sum(), durations.iter().sum::<Duration>());
            for (bound, count) in histogram.cumulative() {
                let expected = durations.iter().filter(|duration| **duration <= bound).count();
                prop_assert_eq!(count, expected as u64);
            }
        }
    }
}
