//! relu_f32: sizes around the workgroup and beyond one dimension of the grid.

use crate::harness;
use wizen::kernels::relu_f32::ReluF32;

#[test]
fn tails_and_folded_grids() {
    for len in [1, 63, 64, 65, 127, 1009, 64 * 65_535 + 1] {
        harness::check(Box::new(ReluF32 { shape: vec![len] }));
    }
}
