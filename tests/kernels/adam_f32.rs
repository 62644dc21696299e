//! adam_f32: tails, and steps early and late.

use crate::harness;
use std::sync::Arc;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::adam_f32::AdamF32;

#[test]
fn early_and_late_steps() {
    for (t, weight_decay, decoupled) in [(1, 0.0, false), (2, 0.1, false), (1000, 0.1, true)] {
        for len in [1, 65, 20_011] {
            let kernel = AdamF32 {
                len,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay,
                decoupled,
            };
            let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
            args[4] = Tensor::from_f32(&[3], &kernel.step(0.002, t)).expect("three numbers");
            harness::check_with(Arc::new(kernel), args);
        }
    }
}

#[test]
fn a_gradient_of_zero_moves_nothing() {
    let kernel = AdamF32 {
        len: 70,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
    };
    let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
    for i in [1, 2, 3] {
        args[i].words_mut().fill(0);
    }
    harness::check_with(Arc::new(kernel), args);
}
