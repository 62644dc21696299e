//! conv2d_f16: the geometries that hurt, odd channels, groups that share words, native products.

use super::conv2d_f32::{CASES, DEPTHWISE, LARGE, conv, uneven};
use crate::harness;
use wizen::gpu::Caps;
use wizen::kernels::Kernel;
use wizen::kernels::conv2d_f16::Conv2dF16;

#[test]
fn geometries() {
    for (i, (x, w, geometry)) in CASES.into_iter().enumerate() {
        let relu = i % 2 == 0;
        harness::check(Box::new(Conv2dF16 {
            x,
            w,
            conv: conv(geometry),
            relu,
            residual: i % 3 != 0,
            native: false,
        }));
    }
}

#[test]
fn axes_that_differ() {
    for (i, (x, w, conv)) in uneven().enumerate() {
        harness::check(Box::new(Conv2dF16 {
            x,
            w,
            conv,
            relu: i % 2 == 0,
            residual: i % 3 != 0,
            native: false,
        }));
    }
}

#[test]
fn groups_of_odd_channels() {
    // Input groups that start inside a word; output groups that do.
    for (x, w) in [
        ([1, 5, 6, 9], [12, 3, 3, 3]),
        ([1, 5, 6, 6], [9, 3, 3, 2]),
        ([1, 5, 6, 9], [15, 3, 3, 3]),
    ] {
        harness::check(Box::new(Conv2dF16 {
            x,
            w,
            conv: conv([1, 1, 1, 3]),
            relu: false,
            residual: true,
            native: false,
        }));
    }
}

#[test]
fn native_products() {
    let kernel = |x, w, geometry| Conv2dF16 {
        x,
        w,
        conv: conv(geometry),
        relu: true,
        residual: false,
        native: true,
    };
    let refused = kernel([1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]).launch(&Caps::portable());
    assert!(refused.is_err());
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().f16 {
        for at in [1, 2, 10, 11] {
            let (x, w, geometry) = CASES[at];
            harness::check(Box::new(kernel(x, w, geometry)));
        }
        for (x, w, geometry) in DEPTHWISE {
            harness::check(Box::new(kernel(x, w, geometry)));
        }
    }
}

#[test]
fn depthwise() {
    for (i, (x, w, geometry)) in DEPTHWISE.into_iter().enumerate() {
        harness::check(Box::new(Conv2dF16 {
            x,
            w,
            conv: conv(geometry),
            relu: i % 2 == 0,
            residual: i % 3 != 0,
            native: false,
        }));
    }
}

#[test]
fn large_tiles() {
    for (x, w, geometry) in LARGE {
        harness::check(Box::new(Conv2dF16 {
            x,
            w,
            conv: conv(geometry),
            relu: true,
            residual: true,
            native: false,
        }));
    }
}
