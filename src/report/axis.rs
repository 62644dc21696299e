//! An axis that is told where its ticks are.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;

/// A linear axis with given ticks, all of them major.
pub(super) struct Axis {
    linear: RangedCoordf64,
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Axis {
    /// The axis over `range`; ticks outside are left out.
    pub(super) fn new(range: Range<f64>, ticks: &[f64]) -> Self {
        let inside = |&tick: &f64| range.start <= tick && tick <= range.end;
        Self {
            ticks: ticks.iter().copied().filter(inside).collect(),
            linear: range.clone().into(),
            range,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.linear.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Plotters asks for minor ticks too; there are none.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Round positions in `low ..= high`: at most `count` of them.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    RangedCoordf64::from(low..high).key_points(count)
}

/// A formatter with as many decimals as tell the ticks apart.
pub(super) fn decimals(ticks: &[f64], unit: &'static str) -> impl Fn(&f64) -> String + use<> {
    let step = match ticks {
        [a, b, ..] => (b - a).abs(),
        _ => 0.1,
    };
    // A hair above a power of ten is that power: 0.01 has two decimals, not three.
    let places = (-step.log10() - 1e-6).ceil().clamp(0.0, 9.0) as usize;
    move |x: &f64| {
        // Ticks are sums of steps: what should be 0 may be −1e−17.
        let x = if x.abs() < 1e-9 * step { 0.0 } else { *x };
        format!("{x:.places$}{unit}").replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_labels_tell_ticks_apart() {
        let format = |ticks: &[f64]| ticks.iter().map(decimals(ticks, "%")).collect::<Vec<_>>();
        assert_eq!(format(&[97.5, 98.0, 98.5]), ["97.5%", "98.0%", "98.5%"]);
        assert_eq!(format(&[-20.0, 0.0, 20.0]), ["−20%", "0%", "20%"]);
        assert_eq!(format(&[-0.01, -1e-17, 0.01]), ["−0.01%", "0.00%", "0.01%"]);
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = ticks(0.0, 9.7, 6);
        assert!((3..=6).contains(&ticks.len()), "{ticks:?}");
        assert_eq!(Axis::new(0.0..1.0, &[-1.0, 0.5, 2.0]).ticks, [0.5]);
    }
}
