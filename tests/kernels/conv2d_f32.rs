//! conv2d_f32: the geometries that hurt.

use crate::harness;
use wizen::gpu::Caps;
use wizen::kernels::conv2d_f32::Conv2dF32;
use wizen::kernels::{Conv, Kernel, Variant};

/// `x`, `w`, `[stride, padding, dilation, groups]`.
pub const CASES: [([usize; 4], [usize; 4], [usize; 4]); 12] = [
    // LeNet-5.
    ([3, 28, 28, 1], [6, 5, 5, 1], [1, 2, 1, 1]),
    ([3, 14, 14, 6], [16, 5, 5, 6], [1, 0, 1, 1]),
    // 1x1, also strided.
    ([2, 9, 7, 33], [13, 1, 1, 33], [1, 0, 1, 1]),
    ([1, 9, 8, 8], [16, 1, 1, 8], [2, 0, 1, 1]),
    // A stem: stride 2, padding 3, 7x7; and stride 3 with a filter that steps over pixels.
    ([1, 23, 22, 3], [11, 7, 7, 3], [2, 3, 1, 1]),
    ([2, 11, 13, 2], [3, 2, 2, 2], [3, 0, 1, 1]),
    // Padding beyond half the filter; filter as large as the padded image.
    ([1, 5, 4, 3], [9, 3, 3, 3], [1, 3, 1, 1]),
    ([2, 3, 3, 5], [7, 5, 5, 5], [1, 1, 1, 1]),
    // Dilation, with stride.
    ([1, 17, 19, 4], [5, 3, 3, 4], [1, 2, 2, 1]),
    ([1, 16, 15, 3], [4, 3, 2, 3], [2, 2, 3, 1]),
    // Groups: odd channels each, depthwise.
    ([2, 8, 9, 6], [10, 3, 3, 3], [1, 1, 1, 2]),
    ([1, 10, 9, 7], [14, 3, 3, 1], [2, 1, 1, 7]),
];

/// Enough output pixels for the largest tiles, of 64 channels and of fewer.
pub const LARGE: [([usize; 4], [usize; 4], [usize; 4]); 2] = [
    ([1, 130, 129, 9], [65, 1, 2, 9], [1, 0, 1, 1]),
    ([2, 183, 184, 3], [18, 3, 3, 3], [2, 2, 2, 1]),
];

/// Filters that see one channel each: odd channels, several outputs to a channel, stride, dilation, padding beyond the
/// filter's reach, one pixel, filters of one tap and of many, tiles of every size; the last takes the plain variant.
pub const DEPTHWISE: [([usize; 4], [usize; 4], [usize; 4]); 16] = [
    ([1, 1, 1, 5], [5, 3, 3, 1], [1, 1, 1, 5]),
    ([1, 1, 1, 17], [34, 1, 1, 1], [1, 0, 1, 17]),
    ([2, 7, 9, 5], [5, 3, 3, 1], [1, 1, 1, 5]),
    ([1, 15, 33, 17], [17, 3, 3, 1], [1, 1, 1, 17]),
    ([1, 15, 34, 17], [17, 3, 3, 1], [2, 1, 1, 17]),
    ([1, 8, 9, 6], [12, 3, 3, 1], [2, 1, 1, 6]),
    ([1, 8, 9, 7], [21, 3, 3, 1], [1, 1, 1, 7]),
    ([1, 5, 6, 3], [15, 3, 3, 1], [1, 1, 1, 3]),
    ([1, 5, 6, 2], [8, 2, 3, 1], [3, 1, 1, 2]),
    ([1, 14, 15, 8], [8, 3, 3, 1], [1, 2, 2, 8]),
    ([1, 14, 15, 9], [18, 3, 2, 1], [2, 3, 3, 9]),
    ([1, 4, 5, 5], [5, 3, 3, 1], [1, 3, 1, 5]),
    ([1, 9, 2, 12], [12, 5, 1, 1], [1, 0, 1, 12]),
    ([1, 12, 11, 12], [12, 7, 7, 1], [1, 3, 1, 12]),
    ([1, 64, 66, 36], [36, 3, 3, 1], [1, 1, 1, 36]),
    ([1, 10, 9, 3], [3, 9, 9, 1], [1, 4, 1, 3]),
];

pub fn conv([stride, padding, dilation, groups]: [usize; 4]) -> Conv {
    Conv::square(stride, padding, dilation, groups)
}

/// Axes and sides that differ, with groups of odd channels, several outputs to a channel, long strides and dilations:
/// `x`, `w`, strides, padding, dilations, groups.
pub const UNEVEN: [(
    [usize; 4],
    [usize; 4],
    [usize; 2],
    [usize; 4],
    [usize; 2],
    usize,
); 12] = [
    ([2, 9, 8, 3], [5, 3, 2, 3], [1, 2], [1, 0, 2, 1], [1, 1], 1),
    (
        [1, 8, 11, 6],
        [10, 2, 3, 3],
        [2, 1],
        [0, 2, 1, 1],
        [1, 2],
        2,
    ),
    ([1, 7, 9, 4], [8, 3, 3, 1], [2, 1], [0, 1, 1, 2], [1, 1], 4),
    ([2, 9, 7, 5], [15, 3, 2, 1], [1, 3], [3, 0, 0, 1], [2, 1], 5),
    ([1, 6, 7, 10], [6, 3, 3, 5], [1, 1], [1, 2, 0, 1], [1, 1], 2),
    ([1, 5, 9, 12], [8, 1, 3, 6], [1, 2], [0, 0, 0, 2], [1, 3], 2),
    ([1, 9, 5, 9], [9, 2, 1, 3], [3, 1], [1, 0, 1, 0], [1, 1], 3),
    (
        [1, 21, 9, 8],
        [9, 3, 3, 8],
        [1, 1],
        [36, 4, 18, 4],
        [18, 4],
        1,
    ),
    (
        [1, 9, 70, 6],
        [6, 1, 3, 1],
        [1, 2],
        [0, 60, 0, 3],
        [1, 30],
        6,
    ),
    (
        [1, 37, 41, 2],
        [4, 4, 4, 2],
        [20, 23],
        [1, 0, 0, 2],
        [1, 1],
        1,
    ),
    (
        [1, 8, 50, 3],
        [6, 1, 2, 3],
        [1, 1],
        [0, 40, 0, 40],
        [1, 40],
        1,
    ),
    ([2, 3, 4, 3], [4, 1, 1, 3], [1, 1], [1, 0, 1, 1], [5, 7], 1),
];

/// The convolutions of [`UNEVEN`].
pub fn uneven() -> impl Iterator<Item = ([usize; 4], [usize; 4], Conv)> {
    let conv = |(x, w, stride, padding, dilation, groups)| {
        let conv = Conv {
            stride,
            padding,
            dilation,
            groups,
        };
        (x, w, conv)
    };
    UNEVEN.into_iter().map(conv)
}

#[test]
fn axes_that_differ() {
    for (i, (x, w, conv)) in uneven().enumerate() {
        harness::check(Box::new(Conv2dF32 {
            x,
            w,
            conv,
            relu: i % 2 == 0,
            residual: i % 3 != 0,
        }));
    }
}

#[test]
fn geometries() {
    for (i, (x, w, geometry)) in CASES.into_iter().enumerate() {
        let relu = i % 2 == 0;
        harness::check(Box::new(Conv2dF32 {
            x,
            w,
            conv: conv(geometry),
            relu,
            residual: i % 3 != 0,
        }));
    }
}

#[test]
fn depthwise() {
    for (i, (x, w, geometry)) in DEPTHWISE.into_iter().enumerate() {
        let kernel = Conv2dF32 {
            x,
            w,
            conv: conv(geometry),
            relu: i % 2 == 0,
            residual: i % 3 != 0,
        };
        let fits = w[1] * w[2] <= 64;
        let offered = kernel.variants(&Caps::portable());
        assert_eq!(offered[0] == Variant::Depthwise, fits, "{kernel:?}");
        harness::check(Box::new(kernel));
    }
}

#[test]
fn wide_channels_and_rows() {
    for (x, w) in [
        ([1, 4, 5, 64], [72, 3, 3, 64]),
        ([1, 2, 131, 2], [9, 3, 3, 2]),
    ] {
        harness::check(Box::new(Conv2dF32 {
            x,
            w,
            conv: conv([1, 1, 1, 1]),
            relu: false,
            residual: w[1] == 3,
        }));
    }
}

#[test]
fn folded_grid() {
    // A row of one pixel to an invocation.
    let (x, w) = ([1, 64 * 65_535 + 3, 1, 1], [1, 1, 1, 1]);
    harness::check(Box::new(Conv2dF32 {
        x,
        w,
        conv: conv([1, 0, 1, 1]),
        relu: false,
        residual: false,
    }));
}

#[test]
fn large_tiles() {
    for (x, w, geometry) in LARGE {
        harness::check(Box::new(Conv2dF32 {
            x,
            w,
            conv: conv(geometry),
            relu: true,
            residual: true,
        }));
    }
}
