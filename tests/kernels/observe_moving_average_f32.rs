//! observe_moving_average_f32: the ends of the constant.

use crate::harness;
use wizen::kernels::observe_moving_average_f32::ObserveMovingAverageF32;

#[test]
fn constants_and_sizes() {
    for constant in [0.0, 0.01, 0.5, 1.0] {
        for channels in [1, 64, 65, 513] {
            harness::check(Box::new(ObserveMovingAverageF32 { channels, constant }));
        }
    }
}
