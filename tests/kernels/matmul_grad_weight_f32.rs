//! matmul_grad_weight_f32: sizes around both tiles, long sums.

use crate::harness;
use wizen::kernels::matmul_grad_weight_f32::MatmulGradWeightF32;

#[test]
fn tails_of_both_tiles() {
    for (m, n, k) in [
        (1, 1, 1),
        (67, 33, 13),
        (129, 5, 31),
        (2, 1000, 65),
        (64, 10, 84),
    ] {
        harness::check(Box::new(MatmulGradWeightF32 { m, n, k }));
    }
}

#[test]
fn long_sums() {
    let (m, n) = (10_007, 3);
    harness::check(Box::new(MatmulGradWeightF32 { m, n, k: 5 }));
}
