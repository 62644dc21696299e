//! optimizer: every rule, tails, steps early and late, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::optimizer::{Adam, Sgd};

fn adam(len: usize, weight_decay: f32, decoupled: bool) -> Adam {
    Adam {
        len,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay,
        decoupled,
    }
}

fn sgd(len: usize, momentum: f32, weight_decay: f32, nesterov: bool) -> Sgd {
    Sgd {
        len,
        momentum,
        weight_decay,
        nesterov,
    }
}

#[test]
fn every_sgd() {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        for weight_decay in [0.0, 0.1] {
            for len in [1, 65, 20_011] {
                check(Box::new(sgd(len, momentum, weight_decay, nesterov)));
            }
        }
    }
}

#[test]
fn early_and_late_steps_of_adam() {
    for (t, weight_decay, decoupled) in [(1, 0.0, false), (2, 0.1, false), (1000, 0.1, true)] {
        for len in [1, 65, 20_011] {
            let kernel = adam(len, weight_decay, decoupled);
            let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
            args[4] = Tensor::from_f32(&[3], &kernel.step(0.002, t)).expect("three numbers");
            check_with(Arc::new(kernel), args);
        }
    }
}

#[test]
fn a_gradient_of_zero_moves_nothing() {
    let kernel = adam(70, 0.0, false);
    let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
    for i in [1, 2, 3] {
        args[i].words_mut().fill(0);
    }
    check_with(Arc::new(kernel), args);
}

#[test]
fn steps_by_hand() {
    for (momentum, weight_decay, nesterov, w, v) in [
        (0.0, 0.0, false, 0.0, 4.0),
        (0.5, 0.0, false, -1.0, 4.0),
        (0.5, 1.0, false, -1.5, 5.0),
        (0.5, 1.0, true, -1.75, 5.0),
    ] {
        let kernel = sgd(1, momentum, weight_decay, nesterov);
        let args: [&[f64]; 4] = [&[1.], &[2.], &[4.], &[0.5]];
        by_hand(&kernel, &args, &[(0, &[w]), (2, &[v])]);
    }
    // The first step has the size of the learning rate.
    for (weight_decay, decoupled, w) in [(0.0, false, 2.125), (0.5, true, 2.0)] {
        let kernel = adam(1, weight_decay, decoupled);
        let step = kernel.step(0.125, 1).map(f64::from);
        let [m, v] = [
            -3. * (1. - f64::from(0.9f32)),
            9. * (1. - f64::from(0.999f32)),
        ];
        let args: [&[f64]; 5] = [&[2.], &[-3.], &[0.], &[0.], &step];
        by_hand(&kernel, &args, &[(0, &[w]), (2, &[m]), (3, &[v])]);
    }
}
