//! conv2d_grad_input_f32: the geometries that hurt.

use super::conv2d_f32::{CASES, conv, uneven};
use crate::harness;
use wizen::kernels::conv2d_grad_input_f32::Conv2dGradInputF32;

#[test]
fn geometries() {
    for (x, w, geometry) in CASES {
        harness::check(Box::new(Conv2dGradInputF32 {
            x,
            w,
            conv: conv(geometry),
        }));
    }
}

#[test]
fn axes_that_differ() {
    for (x, w, conv) in uneven() {
        harness::check(Box::new(Conv2dGradInputF32 { x, w, conv }));
    }
}

#[test]
fn wide_channels() {
    let (x, w) = ([1, 4, 5, 24], [40, 3, 3, 24]);
    harness::check(Box::new(Conv2dGradInputF32 {
        x,
        w,
        conv: conv([1, 1, 1, 1]),
    }));
}
