//! From values to places along an axis, and the round numbers that label it.

/// How an axis is spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are equal distances; values are above 0.
    Logarithmic,
}

/// An axis: from which value at which place to which at which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    scale: Scale,
    values: (f64, f64),
    places: (f64, f64),
}

impl Axis {
    pub(super) fn new(scale: Scale, values: (f64, f64), places: (f64, f64)) -> Self {
        Self {
            scale,
            values,
            places,
        }
    }

    /// The place of a value; the middle if the axis has one value only.
    pub(super) fn place(&self, value: f64) -> f64 {
        let on_scale = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
        };
        let (low, high) = (on_scale(self.values.0), on_scale(self.values.1));
        let share = if high > low {
            (on_scale(value) - low) / (high - low)
        } else {
            0.5
        };
        self.places.0 + share * (self.places.1 - self.places.0)
    }
}

/// Round numbers from 0 up to the first that is not below `highest`: five to
/// eleven of them.
pub(super) fn ticks(highest: f64) -> Vec<f64> {
    let highest = if highest.is_finite() && highest > 0.0 {
        highest
    } else {
        1.0
    };
    let magnitude = 10_f64.powf((highest / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * magnitude)
        .into_iter()
        .find(|step| highest / step <= 6.0)
        .unwrap_or(10.0 * magnitude);
    let mut ticks = vec![0.0];
    let mut number = 0.0;
    while number * step < highest * (1.0 - 1e-9) {
        number += 1.0;
        ticks.push(number * step);
    }
    ticks
}

/// A number for a label: thousands apart, and as many digits behind the point as
/// `step` has.
pub(super) fn label(value: f64, step: f64) -> String {
    let mut digits = 0;
    let mut scaled = step;
    while digits < 6 && (scaled - scaled.round()).abs() > 1e-6 * scaled.abs() {
        digits += 1;
        scaled *= 10.0;
    }
    thousands(&format!("{value:.digits$}"))
}

/// A decimal number with commas between its thousands.
pub(crate) fn thousands(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, whole) = whole
        .strip_prefix('-')
        .map_or(("", whole), |whole| ("-", whole));
    let mut text = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}
