//! loss: batches around a workgroup, large logits, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::Rng;
use wizen::kernels::loss::{Criterion, Loss, LossGrad};
use wizen::kernels::{Caps, Kernel};

fn both(criterion: Criterion, rows: usize, cols: usize) -> [Arc<dyn Kernel>; 2] {
    let loss = Loss {
        criterion,
        rows,
        cols,
    };
    let grad = LossGrad {
        criterion,
        rows,
        cols,
    };
    [Arc::new(loss), Arc::new(grad)]
}

const ALL: [Criterion; 4] = [
    Criterion::CrossEntropy,
    Criterion::MeanSquare,
    Criterion::Distill { temperature: 1.0 },
    Criterion::Distill { temperature: 7.3 },
];

#[test]
fn batches_around_a_workgroup() {
    for criterion in ALL {
        for (rows, cols) in [(1, 10), (31, 10), (63, 3), (65, 10), (300, 7), (16, 1000)] {
            for kernel in both(criterion, rows, cols) {
                let args = kernel.example_args(&mut Rng::new(harness::seed()));
                check_with(kernel, args);
            }
        }
    }
    check(Box::new(Loss {
        criterion: Criterion::MeanSquare,
        rows: 3 * 64 * 64,
        cols: 16,
    }));
}

#[test]
fn large_logits_do_not_overflow() {
    for criterion in ALL {
        for kernel in both(criterion, 5, 4) {
            let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
            for x in args[0].as_f32_mut().expect("f32") {
                *x += 985.0;
            }
            check_with(kernel, args);
        }
    }
}

#[test]
fn cross_entropy_by_hand() {
    let [loss, grad] = both(Criterion::CrossEntropy, 2, 2);
    let args: [&[f64]; 2] = [&[1000., 1000., 0., 3f64.ln()], &[0., 1.]];
    let want = (2f64.ln() + (4.0 / 3.0f64).ln()) / 2.0;
    by_hand(loss.as_ref(), &args, &[(2, &[want])]);
    by_hand(grad.as_ref(), &args, &[(2, &[-0.25, 0.25, 0.125, -0.125])]);
    let mut args = loss.example_args(&mut Rng::new(1));
    args[1].words_mut()[1] = 3;
    let error = loss.cpu(&mut args).expect_err("3 of 0..2").to_string();
    assert_eq!(
        error,
        "cross_entropy: `wanted[1]` is 3, expected less than 2 classes"
    );
}

#[test]
fn mean_square_by_hand() {
    let [loss, grad] = both(Criterion::MeanSquare, 2, 2);
    let args: [&[f64]; 2] = [&[1., 2., 3., 4.], &[0., 2., 5., 4.]];
    by_hand(loss.as_ref(), &args, &[(2, &[1.25])]);
    by_hand(grad.as_ref(), &args, &[(2, &[0.5, 0., -1., 0.])]);
}

/// Logits whose halves are logarithms: p = (1, 3) / 4, q = (1, 1) / 2.
#[test]
fn distillation_by_hand() {
    let [loss, grad] = both(Criterion::Distill { temperature: 2.0 }, 1, 2);
    let args: [&[f64]; 2] = [&[9., 9.], &[0., 2.0 * 3f64.ln()]];
    let want = 4.0 * (0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln());
    by_hand(loss.as_ref(), &args, &[(2, &[want])]);
    by_hand(grad.as_ref(), &args, &[(2, &[0.5, -0.5])]);
    for temperature in [0.0, -1.0, f32::NAN] {
        for kernel in both(Criterion::Distill { temperature }, 1, 2) {
            assert!(kernel.launch(&Caps::portable()).is_err());
            let mut args = kernel.example_args(&mut Rng::new(1));
            assert!(kernel.cpu(&mut args).is_err());
        }
    }
}
