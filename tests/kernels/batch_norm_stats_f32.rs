//! batch_norm_stats_f32: tails of rows and channels, a real layer.

use crate::harness;
use std::sync::Arc;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::batch_norm_stats_f32::BatchNormStatsF32;

#[test]
fn tails_of_rows_and_channels() {
    for (rows, channels) in [(1, 1), (31, 7), (33, 9), (8, 64), (257, 17), (1568, 70)] {
        harness::check(Box::new(BatchNormStatsF32 {
            rows,
            channels,
            eps: 1e-5,
            momentum: 0.1,
        }));
    }
}

#[test]
fn a_mean_far_from_zero_does_not_swallow_the_variance() {
    let kernel = BatchNormStatsF32 {
        rows: 200,
        channels: 3,
        eps: 1e-5,
        momentum: 0.1,
    };
    let mut rng = Rng::new(harness::seed());
    let mut args = kernel.example_args(&mut rng);
    let x: Vec<f32> = (0..600).map(|_| 100.0 + rng.normal()).collect();
    args[0] = Tensor::from_f32(&[200, 3], &x).expect("fits");
    harness::check_with(Arc::new(kernel), args);
}
