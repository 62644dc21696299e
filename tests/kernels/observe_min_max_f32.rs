//! observe_min_max_f32: tails of chunks, all axes, nothing finite.

use std::sync::Arc;

use crate::harness;
use wizen::base::Tensor;
use wizen::kernels::observe_min_max_f32::{MinMaxState, ObserveMinMaxF32};

#[test]
fn sizes_and_axes() {
    for len in [1, 63, 65, 4096, 4097, 300_007] {
        harness::check(Box::new(ObserveMinMaxF32 {
            shape: vec![len],
            axis: None,
        }));
    }
    for (rows, channels) in [(1, 16), (4097, 17), (300, 64), (2, 129), (5000, 256)] {
        harness::check(Box::new(ObserveMinMaxF32 {
            shape: vec![rows, channels],
            axis: Some(1),
        }));
    }
    for axis in 0..4 {
        harness::check(Box::new(ObserveMinMaxF32 {
            shape: vec![3, 5, 67, 9],
            axis: Some(axis),
        }));
    }
}

#[test]
fn nothing_finite() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let args = vec![
        Tensor::from_f32(&[3], &x).expect("fits"),
        MinMaxState::initial(1),
    ];
    let kernel = ObserveMinMaxF32 {
        shape: vec![3],
        axis: None,
    };
    harness::check_with(Arc::new(kernel), args);
}
