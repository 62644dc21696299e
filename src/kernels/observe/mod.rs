//! What calibration sees of values: minima, maxima, their moving average, histograms.

mod float_bits;
mod histogram;
mod histogram_range;
mod min_max;
mod moving_average;

pub use histogram::ObserveHistogram;
pub use histogram_range::{HistogramState, ObserveHistogramRange};
pub use min_max::{MinMaxState, ObserveMinMax};
pub use moving_average::ObserveMovingAverage;

use super::Kernel;

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    histogram::samples()
        .into_iter()
        .chain(histogram_range::samples())
        .chain(min_max::samples())
        .chain(moving_average::samples())
        .collect()
}
