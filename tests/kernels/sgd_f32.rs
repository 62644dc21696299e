//! sgd_f32: tails, and a velocity that plain SGD leaves alone.

use crate::harness;
use wizen::kernels::sgd_f32::SgdF32;

#[test]
fn every_variant() {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        for weight_decay in [0.0, 0.1] {
            for len in [1, 65, 20_011] {
                harness::check(Box::new(SgdF32 {
                    len,
                    momentum,
                    weight_decay,
                    nesterov,
                }));
            }
        }
    }
}
