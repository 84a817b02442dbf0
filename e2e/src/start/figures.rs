//! What was measured.

use serde::{Deserialize, Serialize};

/// Something that is measured, of Lambent and of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    /// `ms`, `1/s` or `MB`.
    pub(super) unit: &'static str,
}

/// All samples of one figure of one program, in the order in which they were taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) figure: String,
    pub(super) unit: String,
    /// Whose figure it is.
    pub(super) of: String,
    pub(super) samples: Vec<f64>,
}

/// All of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) series: Vec<Series>,
    /// What a reader has to know, such as which peers are missing.
    pub(super) remarks: Vec<String>,
}

impl Results {
    /// Adds a sample.
    pub(super) fn add(&mut self, figure: Figure, of: &str, sample: f64) {
        let known = self
            .series
            .iter_mut()
            .find(|series| series.figure == figure.name && series.of == of);
        match known {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series {
                figure: figure.name.to_owned(),
                unit: figure.unit.to_owned(),
                of: of.to_owned(),
                samples: vec![sample],
            }),
        }
    }

    /// Adds a remark, once.
    pub(super) fn remark(&mut self, text: String) {
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// Adds all of another run, of which these series are somebody else's.
    pub(super) fn merge(&mut self, other: Self, rename: impl Fn(&str) -> String) {
        for remark in other.remarks {
            self.remark(remark);
        }
        for mut series in other.series {
            series.of = rename(&series.of);
            let known = self
                .series
                .iter_mut()
                .find(|known| known.figure == series.figure && known.of == series.of);
            match known {
                Some(known) => known.samples.append(&mut series.samples),
                None => self.series.push(series),
            }
        }
    }

    /// The samples of one figure of one program.
    pub(super) fn of(&self, figure: &str, of: &str) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.figure == figure && series.of == of)
    }
}

impl Series {
    /// The middle one; of an even number, the mean of both.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.as_slice() {
            [] => f64::NAN,
            samples if samples.len().is_multiple_of(2) => {
                f64::midpoint(samples[middle - 1], samples[middle])
            }
            samples => samples[middle],
        }
    }

    /// The least sample that 99 of 100 do not exceed: of fewer than 100, the largest.
    pub(super) fn p99(&self) -> f64 {
        let sorted = self.sorted();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut samples = self.samples.clone();
        samples.sort_by(f64::total_cmp);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURE: Figure = Figure {
        name: "f",
        unit: "ms",
    };

    fn results(of: &str, samples: &[f64]) -> Results {
        let mut results = Results::default();
        for sample in samples {
            results.add(FIGURE, of, *sample);
        }
        results
    }

    #[test]
    fn medians_and_slow_ones() {
        for (samples, median, p99) in [
            (vec![2.0], 2.0, 2.0),
            (vec![3.0, 1.0], 2.0, 3.0),
            (vec![9.0, 1.0, 2.0], 2.0, 9.0),
            ((1..=100).map(f64::from).collect(), 50.5, 99.0),
            ((1..=101).map(f64::from).collect(), 51.0, 100.0),
        ] {
            let results = results("a", &samples);
            let series = &results.series[0];
            assert_eq!(
                (series.median(), series.p99()),
                (median, p99),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn runs_are_put_together_by_figure_and_program() {
        let mut all = results("base", &[1.0]);
        all.merge(results("lambent", &[2.0, 3.0]), |_| "base".to_owned());
        all.merge(results("lambent", &[4.0]), str::to_owned);
        assert_eq!(all.of("f", "base").map(|s| s.samples.len()), Some(3));
        assert_eq!(all.of("f", "lambent").map(|s| s.samples.len()), Some(1));
        assert_eq!(all.of("f", "nobody"), None);
    }
}
