//! norm: tails of rows and channels, real layers, values far from zero, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::{DType, Rng, Tensor};
use wizen::kernels::norm::{
    BatchNorm, BatchNormEvalGrad, BatchNormGrad, BatchNormGradParams, BatchNormStats, LogSoftmax,
    Softmax, SoftmaxGrad, SoftmaxI8, Statistics,
};
use wizen::kernels::{Caps, Kernel};

fn batch_norm(rows: usize, channels: usize, statistics: Statistics) -> BatchNorm {
    BatchNorm {
        rows,
        channels,
        statistics,
    }
}

fn stats(rows: usize, channels: usize, eps: f32, momentum: f32) -> BatchNormStats {
    BatchNormStats {
        rows,
        channels,
        eps,
        momentum,
    }
}

fn eval_grad(rows: usize, channels: usize, eps: f32) -> BatchNormEvalGrad {
    BatchNormEvalGrad {
        rows,
        channels,
        eps,
    }
}

#[test]
fn tails_of_rows_and_channels() {
    for (rows, channels) in [(1, 1), (31, 7), (33, 9), (8, 64), (257, 17), (1568, 70)] {
        for statistics in [Statistics::Running { eps: 1e-5 }, Statistics::Batch] {
            check(Box::new(batch_norm(rows, channels, statistics)));
        }
        check(Box::new(stats(rows, channels, 1e-5, 0.1)));
        check(Box::new(eval_grad(rows, channels, 1e-3)));
        check(Box::new(BatchNormGrad { rows, channels }));
        check(Box::new(BatchNormGradParams { rows, channels }));
    }
}

#[test]
fn a_mean_far_from_zero_does_not_swallow_the_variance() {
    let kernel = stats(200, 3, 1e-5, 0.1);
    let mut rng = Rng::new(harness::seed());
    let mut args = kernel.example_args(&mut rng);
    let x: Vec<f32> = (0..600).map(|_| 100.0 + rng.normal()).collect();
    args[0] = Tensor::from_f32(&[200, 3], &x).expect("fits");
    check_with(Arc::new(kernel), args);
}

#[test]
fn batch_norm_by_hand() {
    let x: &[f64] = &[5., 1.];
    let eval = batch_norm(2, 1, Statistics::Running { eps: 1.0 });
    by_hand(
        &eval,
        &[x, &[3.], &[10.], &[1.], &[3.]],
        &[(5, &[16., 10.])],
    );
    let train = batch_norm(2, 1, Statistics::Batch);
    by_hand(
        &train,
        &[x, &[3.], &[10.], &[1.], &[0.5]],
        &[(5, &[16., 10.])],
    );
    // Mean 3, variance 4 biased and 8 unbiased.
    let want: [(usize, &[f64]); 4] = [(1, &[1.5]), (2, &[3.5]), (3, &[3.]), (4, &[0.5])];
    by_hand(&stats(2, 1, 0.0, 0.25), &[x, &[1.], &[2.]], &want);
    let dy: &[f64] = &[4., -1.];
    by_hand(
        &eval_grad(2, 1, 1.0),
        &[dy, &[3.], &[3.]],
        &[(3, &[6., -1.5])],
    );
    let (rows, channels) = (2, 1);
    // 1.5 · (4 − 3 − 2 · 1), 1.5 · (−1 − 3 − 0)
    let args = [x, dy, &[3.], &[1.], &[0.5], &[2.], &[6.]];
    by_hand(
        &BatchNormGrad { rows, channels },
        &args,
        &[(7, &[-1.5, -6.])],
    );
    let args = [&[5., 2.], dy, &[1.], &[0.5]];
    let want: [(usize, &[f64]); 2] = [(4, &[7.5]), (5, &[3.])];
    by_hand(&BatchNormGradParams { rows, channels }, &args, &want);
}

#[test]
fn softmax_of_few_and_many() {
    for (rows, cols) in [(1, 1), (63, 2), (65, 63), (5, 64), (130, 65), (2, 4099)] {
        for dtype in [DType::F32, DType::F16] {
            check(Box::new(Softmax { rows, cols, dtype }));
            check(Box::new(LogSoftmax { rows, cols, dtype }));
        }
        for scale in [0.002, 0.1, 3.0] {
            check(Box::new(SoftmaxI8 { rows, cols, scale }));
        }
        check(Box::new(SoftmaxGrad { rows, cols }));
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let (rows, cols, dtype) = (5, 70, DType::F32);
    let kernel = Softmax { rows, cols, dtype };
    let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
    for x in args[0].as_f32_mut().expect("f32") {
        *x += 985.0;
    }
    check_with(Arc::new(kernel), args.clone());
    check_with(Arc::new(LogSoftmax { rows, cols, dtype }), args);
}

#[test]
fn softmax_by_hand() {
    let (rows, cols) = (2, 3);
    let ln2 = 2f64.ln();
    let x = [0., ln2, 2.0 * ln2, 7., 7., 7.];
    let third = 1.0 / 3.0;
    let y = [1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0, third, third, third];
    let dtype = DType::F32;
    by_hand(&Softmax { rows, cols, dtype }, &[&x], &[(1, &y)]);
    let log = y.map(f64::ln);
    by_hand(&LogSoftmax { rows, cols, dtype }, &[&x], &[(1, &log)]);
    // 256 / 7, 512 / 7, 1024 / 7 and 256 / 3, rounded, less 128; all of a row of one does not fit and is clamped.
    let kernel = SoftmaxI8 {
        rows,
        cols,
        scale: 2f32.ln(),
    };
    let q = [-91., -55., 18., -43., -43., -43.];
    by_hand(&kernel, &[&[3., 4., 5., -128., -128., -128.]], &[(1, &q)]);
    let one = SoftmaxI8 {
        rows: 1,
        cols: 1,
        scale: 1.0,
    };
    by_hand(&one, &[&[-7.]], &[(1, &[127.])]);
    let grad = SoftmaxGrad { rows: 1, cols: 2 };
    by_hand(&grad, &[&[0.25, 0.75], &[4., 8.]], &[(2, &[-0.75, 0.75])]);
}

#[test]
fn what_cannot_be_is_an_error() {
    let (rows, cols) = (2, 3);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let kernel = SoftmaxI8 { rows, cols, scale };
        assert!(kernel.launch(&Caps::portable()).is_err(), "{scale}");
        let mut args = kernel.example_args(&mut Rng::new(1));
        assert!(kernel.cpu(&mut args).is_err(), "{scale}");
    }
    for dtype in [DType::I8, DType::I32, DType::U32] {
        let kernel = Softmax { rows, cols, dtype };
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
