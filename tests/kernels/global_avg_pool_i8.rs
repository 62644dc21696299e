//! global_avg_pool_i8: odd channels and images, extreme zero points.

use crate::harness;
use wizen::base::{Range, Requant};
use wizen::kernels::OutI8;
use wizen::kernels::global_avg_pool_i8::GlobalAvgPoolI8;

#[test]
fn channels_pixels_and_zero_points() {
    for (i, x) in [[1, 1, 1, 7], [5, 3, 4, 1], [1, 56, 56, 9], [70, 2, 2, 3]]
        .into_iter()
        .enumerate()
    {
        for x_zero_point in [-128, 0, 127] {
            let out = OutI8 {
                requant: [Requant::Float, Requant::Fixed][i % 2],
                zero_point: x_zero_point,
                range: Range::affine(8),
            };
            harness::check(Box::new(GlobalAvgPoolI8 {
                x,
                x_zero_point,
                multiplier: out.multiplier(1.0 / (x[1] * x[2]) as f64),
                out,
            }));
        }
    }
}
