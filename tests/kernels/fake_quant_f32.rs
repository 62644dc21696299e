//! fake_quant_f32: exact ties, values that are not finite, channels narrower and wider than a strip.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Tensor};
use wizen::kernels::fake_quant_f32::FakeQuantF32;

/// Ties of a product that is exact are no excuse: zero points of either parity, no step allowed.
#[test]
fn exact_ties_and_not_finite_values() {
    let mut x: Vec<f32> = (-600..600).map(|i| i as f32 / 8.0).collect();
    x.extend([
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        -f32::MAX,
    ]);
    let shape = [x.len()];
    for zero_point in [-7, 0, 3, 127, -128] {
        let args = vec![
            Tensor::from_f32(&shape, &x).expect("fits"),
            Tensor::from_f32(&[1], &[0.25]).expect("fits"),
            Tensor::from_f32(&[1], &[4.0]).expect("fits"),
            Tensor::from_i32(&[1], &[zero_point]).expect("fits"),
            Tensor::zeros(&shape, DType::F32),
        ];
        let kernel = FakeQuantF32 {
            shape: shape.to_vec(),
            axis: None,
            range: Range::affine(8),
        };
        harness::check_with(Arc::new(kernel), args);
    }
}

#[test]
fn every_axis_and_width() {
    for inner in [1, 3, 63, 64, 65, 129] {
        for channels in [1, 2, 7, 63, 130] {
            harness::check(Box::new(FakeQuantF32 {
                shape: vec![2, channels, inner],
                axis: Some(1),
                range: Range::affine(8),
            }));
        }
    }
}

#[test]
fn folded_grid() {
    harness::check(Box::new(FakeQuantF32 {
        shape: vec![65_536, 257],
        axis: Some(0),
        range: Range::symmetric(8),
    }));
}
