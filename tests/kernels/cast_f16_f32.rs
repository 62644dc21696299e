//! cast_f16_f32: odd rows, folded grids.

use crate::harness;
use wizen::kernels::cast_f16_f32::CastF16F32;

#[test]
fn tails_and_folded_grids() {
    for shape in [
        vec![1],
        vec![127],
        vec![129],
        vec![3, 5, 7],
        vec![2, 64 * 65_535 + 1],
    ] {
        harness::check(Box::new(CastF16F32 { shape }));
    }
}
