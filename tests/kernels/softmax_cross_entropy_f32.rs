//! softmax_cross_entropy_f32: batches around a workgroup, many classes, logits that would overflow.

use crate::harness;
use std::sync::Arc;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::softmax_cross_entropy_f32::SoftmaxCrossEntropyF32;

#[test]
fn batches_around_a_workgroup() {
    for (rows, classes) in [(1, 10), (31, 10), (63, 3), (65, 10), (300, 7), (16, 1000)] {
        harness::check(Box::new(SoftmaxCrossEntropyF32 { rows, classes }));
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let kernel = SoftmaxCrossEntropyF32 {
        rows: 5,
        classes: 4,
    };
    let mut rng = Rng::new(harness::seed());
    let mut args = kernel.example_args(&mut rng);
    let logits: Vec<f32> = (0..20).map(|_| rng.range(980.0, 990.0)).collect();
    args[0] = Tensor::from_f32(&[5, 4], &logits).expect("fits");
    harness::check_with(Arc::new(kernel), args);
}
