//! batch_norm_f32: tails of rows and channels, a real layer.

use crate::harness;
use wizen::kernels::batch_norm_f32::BatchNormF32;

#[test]
fn tails_of_rows_and_channels() {
    for (rows, channels) in [(1, 1), (31, 7), (33, 9), (8, 64), (257, 17), (1568, 70)] {
        harness::check(Box::new(BatchNormF32 {
            rows,
            channels,
            eps: 1e-5,
        }));
    }
}
