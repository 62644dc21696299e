//! cast_f32_f16: odd rows, subnormals of f16, folded grids.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Tensor};
use wizen::kernels::cast_f32_f16::CastF32F16;

#[test]
fn tails_and_folded_grids() {
    for shape in [
        vec![1],
        vec![127],
        vec![129],
        vec![3, 5, 7],
        vec![2, 64 * 65_535 + 1],
    ] {
        harness::check(Box::new(CastF32F16 { shape }));
    }
}

#[test]
fn small_large_and_halfway() {
    let x = [
        1e-7,
        -3e-6,
        6.2e-5,
        65504.0,
        -65000.0,
        1.0 + 1.0 / 2048.0,
        0.0,
        -0.0,
        2049.0,
    ];
    let args = vec![
        Tensor::from_f32(&[9], &x).expect("fits"),
        Tensor::zeros(&[9], DType::F16),
    ];
    harness::check_with(Arc::new(CastF32F16 { shape: vec![9] }), args);
}
