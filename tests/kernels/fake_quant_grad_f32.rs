//! fake_quant_grad_f32: both ends of the range hit exactly, values that are not finite.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Tensor};
use wizen::kernels::fake_quant_grad_f32::FakeQuantGradF32;

#[test]
fn ends_of_the_range() {
    let mut x: Vec<f32> = (-100..100).map(|i| i as f32 / 8.0).collect();
    x.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let shape = [x.len()];
    let dy: Vec<f32> = (0..x.len()).map(|i| i as f32 + 1.0).collect();
    for (zero_point, range) in [
        (0, Range::affine(4)),
        (-3, Range::affine(4)),
        (7, Range::affine(4)),
        (0, Range::symmetric(2)),
        (-1, Range::affine(1)),
    ] {
        let args = vec![
            Tensor::from_f32(&shape, &x).expect("fits"),
            Tensor::from_f32(&[1], &[1.0]).expect("fits"),
            Tensor::from_i32(&[1], &[zero_point]).expect("fits"),
            Tensor::from_f32(&shape, &dy).expect("fits"),
            Tensor::zeros(&shape, DType::F32),
        ];
        let kernel = FakeQuantGradF32 {
            shape: shape.to_vec(),
            axis: None,
            range,
        };
        harness::check_with(Arc::new(kernel), args);
    }
}
