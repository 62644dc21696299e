//! conv2d_i8: every kind of group, stride, dilation and padding, with odd sizes.

use std::sync::Arc;

use super::conv2d_f32::{DEPTHWISE, LARGE, uneven};
use crate::harness;
use wizen::base::{Range, Requant, Rng, Tensor};
use wizen::kernels::conv2d_i8::Conv2dI8;
use wizen::kernels::{Conv, Kernel, OutI8, ResidualI8};

fn kernel(
    x: [usize; 4],
    w: [usize; 4],
    [stride, padding, dilation, groups]: [usize; 4],
) -> Conv2dI8 {
    let requant = [Requant::Float, Requant::Fixed][(x[3] + w[0]) % 2];
    Conv2dI8 {
        x,
        w,
        conv: Conv::square(stride, padding, dilation, groups),
        x_zero_point: -77,
        out: OutI8 {
            requant,
            zero_point: -4,
            range: Range::affine(8),
        },
        // Every other one adds a residual.
        residual: w[0].is_multiple_of(2).then_some(ResidualI8 {
            zero_point: -30,
            shift: 9,
        }),
    }
}

#[test]
fn axes_that_differ() {
    for (x, w, conv) in uneven() {
        let like = kernel(x, w, [1, 0, 1, 1]);
        harness::check(Box::new(Conv2dI8 { conv, ..like }));
    }
}

#[test]
fn one_group() {
    for (c, o) in [(1, 6), (3, 64), (6, 16), (8, 5), (16, 17)] {
        for geometry in [[1, 0, 1, 1], [2, 1, 1, 1], [1, 2, 2, 1], [3, 3, 1, 1]] {
            harness::check(Box::new(kernel([2, 9, 7, c], [o, 3, 3, c], geometry)));
        }
    }
    harness::check(Box::new(kernel([1, 5, 11, 4], [8, 1, 5, 4], [1, 1, 1, 1])));
    harness::check(Box::new(kernel([1, 11, 5, 4], [8, 5, 1, 4], [2, 1, 1, 1])));
    harness::check(Box::new(kernel(
        [3, 1, 1, 65],
        [33, 1, 1, 65],
        [1, 0, 1, 1],
    )));
}

#[test]
fn groups_of_whole_words() {
    for (groups, cg, og) in [(2, 4, 4), (3, 8, 8), (2, 4, 16), (2, 12, 20)] {
        let (x, w) = ([1, 6, 5, groups * cg], [groups * og, 3, 3, cg]);
        harness::check(Box::new(kernel(x, w, [1, 1, 1, groups])));
    }
}

#[test]
fn groups_within_words() {
    for (groups, cg, og) in [
        (2, 1, 1),
        (5, 1, 1),
        (16, 1, 1),
        (3, 1, 2),
        (4, 2, 1),
        (2, 3, 4),
        (3, 5, 3),
        (2, 7, 6),
        (7, 6, 2),
        (2, 9, 1),
    ] {
        let (x, w) = ([2, 6, 5, groups * cg], [groups * og, 3, 2, cg]);
        harness::check(Box::new(kernel(x, w, [2, 1, 1, groups])));
    }
}

#[test]
fn depthwise() {
    for (i, (x, w, geometry)) in DEPTHWISE.into_iter().enumerate() {
        let mut kernel = kernel(x, w, geometry);
        if i % 2 == 0 {
            kernel.out.range.qmin = kernel.out.zero_point;
        }
        harness::check(Box::new(kernel));
    }
}

/// The largest sums that there are, under a multiplier that shows their last bit, and a bias that wraps.
#[test]
fn depthwise_sums_are_exact() {
    let mut kernel = kernel([1, 10, 9, 5], [5, 8, 8, 1], [1, 4, 1, 5]);
    kernel.x_zero_point = -128;
    kernel.out.requant = Requant::Fixed;
    let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
    for arg in args.iter_mut().take(2) {
        let least = vec![-128; arg.len()];
        *arg = Tensor::from_i8(arg.shape(), &least).expect("fits");
    }
    let sum = 64 * 128 * 128;
    let bias = [-sum, 1 - sum, 101 - sum, -100 - sum, i32::MAX];
    args[2] = Tensor::from_i32(&[5], &bias).expect("fits");
    args[3] = kernel.out.multipliers(&[1.0; 5]);
    let kernel: Arc<dyn Kernel> = Arc::new(kernel);
    harness::check_with(kernel, args);
}

#[test]
fn geometry_that_does_not_fit_is_an_error() {
    let wrong = kernel([1, 3, 3, 4], [4, 5, 5, 4], [1, 0, 1, 1]);
    let error = wrong
        .launch(&wizen::gpu::Caps::portable())
        .expect_err("5 > 3");
    assert!(error.to_string().contains("spans 5 pixels"), "{error}");
}

#[test]
fn large_tiles() {
    for (x, w, geometry) in LARGE {
        harness::check(Box::new(kernel(x, w, geometry)));
    }
}
