//! max_pool_grad_f32: windows of every kind, with ties.

use crate::harness;
use wizen::kernels::max_pool_grad_f32::MaxPoolGradF32;
use wizen::kernels::{Caps, Kernel, Pool};

#[test]
fn every_window_on_awkward_images() {
    for kernel in 1..=4 {
        for stride in 1..=3 {
            for padding in 0..=kernel / 2 {
                let pool = Pool {
                    kernel,
                    stride,
                    padding,
                };
                let x = [2, 4 + stride, 9 - kernel, 3];
                harness::check(Box::new(MaxPoolGradF32 {
                    x,
                    pool,
                    relu: false,
                }));
            }
        }
    }
}

#[test]
fn real_layers() {
    for (x, kernel, padding) in [([2, 28, 28, 6], 2, 0), ([1, 56, 56, 64], 3, 1)] {
        let pool = Pool {
            kernel,
            stride: 2,
            padding,
        };
        harness::check(Box::new(MaxPoolGradF32 {
            x,
            pool,
            relu: false,
        }));
    }
}

#[test]
fn a_window_that_does_not_fit_is_an_error() {
    let pool = Pool {
        kernel: 3,
        stride: 1,
        padding: 0,
    };
    let x = [1, 2, 8, 1];
    let error = MaxPoolGradF32 {
        x,
        pool,
        relu: false,
    }
    .launch(&Caps::portable());
    assert!(error.is_err(), "{error:?}");
}
