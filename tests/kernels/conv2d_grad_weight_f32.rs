//! conv2d_grad_weight_f32: the geometries that hurt.

use super::conv2d_f32::{CASES, conv, uneven};
use crate::harness;
use wizen::kernels::conv2d_grad_weight_f32::Conv2dGradWeightF32;

#[test]
fn geometries() {
    for (x, w, geometry) in CASES {
        harness::check(Box::new(Conv2dGradWeightF32 {
            x,
            w,
            conv: conv(geometry),
            parts: x[0],
        }));
    }
}

#[test]
fn axes_that_differ() {
    for (x, w, conv) in uneven() {
        harness::check(Box::new(Conv2dGradWeightF32 {
            x,
            w,
            conv,
            parts: x[0],
        }));
    }
}

#[test]
fn wide_channels() {
    let (x, w) = ([1, 4, 5, 24], [40, 3, 3, 24]);
    harness::check(Box::new(Conv2dGradWeightF32 {
        x,
        w,
        conv: conv([1, 1, 1, 1]),
        parts: 1,
    }));
}

#[test]
fn a_long_sum() {
    let (x, w) = ([8, 28, 28, 1], [6, 5, 5, 1]);
    harness::check(Box::new(Conv2dGradWeightF32 {
        x,
        w,
        conv: conv([1, 2, 1, 1]),
        parts: 3,
    }));
}
