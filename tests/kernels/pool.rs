//! pool: windows of every kind, real layers, geometry that does not fit.

use crate::harness::{by_hand, check};
use wizen::base::{DType, Range, Requant};
use wizen::kernels::pool::{AvgPool, AvgPoolGrad, AvgPoolI8, MaxPool, MaxPoolGrad, Pool};
use wizen::kernels::{Caps, Kernel, OutI8};

const FIXED: OutI8 = OutI8 {
    requant: Requant::Fixed,
    zero_point: -10,
    range: Range::affine(8),
};

fn avg_i8(x: [usize; 4], pool: Pool, out: OutI8) -> AvgPoolI8 {
    AvgPoolI8 {
        x,
        pool,
        x_zero_point: out.zero_point,
        scale: 0.9,
        out,
    }
}

/// Every kernel of the family on this window.
fn all(x: [usize; 4], pool: Pool) -> Vec<Box<dyn Kernel>> {
    let float = OutI8 {
        requant: Requant::Float,
        ..FIXED
    };
    let mut kernels: Vec<Box<dyn Kernel>> = vec![
        Box::new(avg_i8(x, pool, FIXED)),
        Box::new(avg_i8(x, pool, float)),
        Box::new(AvgPoolGrad { x, pool }),
        Box::new(MaxPoolGrad {
            x,
            pool,
            relu: false,
        }),
    ];
    for dtype in [DType::F32, DType::F16] {
        kernels.push(Box::new(AvgPool { x, pool, dtype }));
    }
    for dtype in [DType::F32, DType::F16, DType::I8] {
        kernels.push(Box::new(MaxPool { x, pool, dtype }));
    }
    kernels
}

#[test]
fn square_windows_on_awkward_images() {
    for (kernel, stride, padding) in [
        (1, 1, 0),
        (1, 3, 0),
        (2, 1, 1),
        (2, 2, 0),
        (2, 3, 1),
        (3, 1, 1),
        (3, 2, 0),
        (3, 3, 1),
        (4, 2, 2),
        (4, 4, 0),
    ] {
        let x = [2, 4 + stride, 9 - kernel, 3];
        let pool = Pool {
            ceil_mode: kernel > 2,
            count_include_pad: stride == 1,
            ..Pool::square(kernel, stride, padding)
        };
        all(x, pool).into_iter().for_each(check);
    }
}

#[test]
fn uneven_windows() {
    for (kernel, stride, padding, dilation, count_include_pad) in [
        ([1, 3], [2, 1], [0, 1, 0, 1], [1, 1], false),
        ([3, 2], [1, 2], [1, 0, 0, 1], [1, 1], true),
        ([2, 3], [3, 2], [1, 2, 0, 1], [2, 3], false),
        ([3, 3], [2, 2], [2, 0, 1, 1], [2, 1], true),
        // Few taps of many inside.
        ([11, 10], [1, 2], [5, 5, 4, 5], [1, 1], false),
        ([10, 9], [3, 1], [9, 4, 9, 4], [2, 1], true),
    ] {
        let pool = Pool {
            kernel,
            stride,
            padding,
            dilation,
            ceil_mode: stride[0] > 1,
            count_include_pad,
        };
        all([2, 7, 9, 5], pool).into_iter().for_each(check);
    }
}

#[test]
fn real_layers() {
    for (x, pool) in [
        ([2, 28, 28, 6], Pool::square(2, 2, 0)),
        ([1, 56, 56, 64], Pool::square(3, 2, 1)),
        ([2, 7, 7, 512], Pool::whole(7, 7)),
        ([3, 14, 13, 71], Pool::whole(14, 13)),
        ([65, 2, 2, 1], Pool::whole(2, 2)),
    ] {
        all(x, pool).into_iter().for_each(check);
    }
}

#[test]
fn extreme_zero_points() {
    for zero_point in [-128, 0, 127] {
        for requant in [Requant::Float, Requant::Fixed] {
            let out = OutI8 {
                requant,
                zero_point,
                range: Range::affine(8),
            };
            check(Box::new(avg_i8([1, 56, 56, 9], Pool::whole(56, 56), out)));
            check(Box::new(avg_i8([5, 3, 4, 1], Pool::square(3, 1, 1), out)));
        }
    }
}

#[test]
fn maxima_by_hand() {
    let (x, pool) = ([1, 3, 3, 1], Pool::square(2, 2, 1));
    for dtype in [DType::F32, DType::F16, DType::I8] {
        let image = [3., 1., 2., -9., -8., -7., 5., 4., 6.];
        by_hand(
            &MaxPool { x, pool, dtype },
            &[&image],
            &[(1, &[3., 2., 5., 6.])],
        );
    }
    let grad = |relu| MaxPoolGrad {
        x: [1, 2, 3, 1],
        pool: Pool::square(2, 1, 0),
        relu,
    };
    // The first of equals takes all.
    let x = [1., 7., 7., 7., 7., 7.];
    by_hand(
        &grad(false),
        &[&x, &[10., 1.]],
        &[(2, &[0., 11., 0., 0., 0., 0.])],
    );
    by_hand(&grad(true), &[&x.map(|x| -x), &[10., 1.]], &[(2, &[0.; 6])]);
}

#[test]
fn means_by_hand() {
    let image = [1., 2., 3., 4., 5., 6., 7., 8., 9.];
    // (counts: as PyTorch's avg_pool2d(kernel 2, stride 2, padding 1))
    let pool = |count_include_pad| Pool {
        count_include_pad,
        ..Pool::square(2, 2, 1)
    };
    let x = [1, 3, 3, 1];
    for (include, want) in [(false, [1., 2.5, 5.5, 7.]), (true, [0.25, 1.25, 2.75, 7.])] {
        for dtype in [DType::F32, DType::F16] {
            let pool = pool(include);
            by_hand(&AvgPool { x, pool, dtype }, &[&image], &[(1, &want)]);
        }
    }
    let grad = |include| AvgPoolGrad {
        x,
        pool: pool(include),
    };
    let dx = [4., 2., 2., 2., 1., 1., 2., 1., 1.];
    by_hand(&grad(false), &[&[4., 4., 4., 4.]], &[(1, &dx)]);
    by_hand(&grad(true), &[&[4., 4., 4., 4.]], &[(1, &[1.; 9])]);
}

#[test]
fn int8_means_by_hand() {
    let kernel = |pool, x_zero_point| AvgPoolI8 {
        x: [1, 2, 2, 2],
        pool,
        x_zero_point,
        scale: 0.5,
        out: FIXED,
    };
    // Sums of real steps 32 and −32, of which an eighth.
    let x = [2., 1., 4., 2., 6., 3., 28., -30.];
    by_hand(&kernel(Pool::whole(2, 2), 2), &[&x], &[(1, &[-6., -14.])]);
    // One element each; four taps count.
    let padded = Pool {
        count_include_pad: true,
        ..Pool::square(2, 2, 1)
    };
    let y = [-10., -10., -10., -10., -9., -10., -7., -14.];
    by_hand(&kernel(padded, 2), &[&x], &[(1, &y)]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let caps = Caps::portable();
    let huge = 1usize << 63;
    for pool in [
        Pool::square(9, 1, 0),
        Pool::square(2, huge, 0),
        Pool::square(2, 1, huge),
        Pool::square(huge, 1, 0),
        Pool {
            dilation: [1 << 32; 2],
            ..Pool::square(2, 1, 0)
        },
    ] {
        for kernel in all([1, 2, 8, 1], pool) {
            assert!(kernel.launch(&caps).is_err(), "{kernel:?}");
            let mut args = kernel.example_args(&mut wizen::base::Rng::new(1));
            assert!(kernel.cpu(&mut args).is_err(), "{kernel:?}");
        }
    }
    let empty = OutI8 {
        range: Range { qmin: 5, qmax: 3 },
        ..FIXED
    };
    let kernel = avg_i8([1, 2, 2, 1], Pool::whole(2, 2), empty);
    let error = kernel
        .launch(&caps)
        .expect_err("an empty range")
        .to_string();
    assert!(error.contains("the range 5 ..= 3"), "{error}");
    let mut args = kernel.example_args(&mut wizen::base::Rng::new(1));
    assert!(kernel.cpu(&mut args).is_err());
    for dtype in [DType::I32, DType::U32] {
        let (x, pool) = ([1, 2, 2, 1], Pool::whole(2, 2));
        assert!(MaxPool { x, pool, dtype }.launch(&caps).is_err());
        assert!(AvgPool { x, pool, dtype }.launch(&caps).is_err());
    }
}
