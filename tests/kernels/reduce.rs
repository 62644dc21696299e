//! reduce: tails of rows and columns, every axis, folded grids, extreme values, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::Rng;
use wizen::base::{DType, Range, Requant, Tensor};
use wizen::kernels::reduce::{
    ArgMax, ChannelMaskExpand, ChannelNorm, ColumnSum, Norm, Reduce, ReduceI8, ReduceKind,
};
use wizen::kernels::{Caps, Kernel, OutI8};

const NORMS: [Norm; 3] = [Norm::L1, Norm::L2, Norm::Max];

fn norm(shape: &[usize], dim: usize, norm: Norm) -> ChannelNorm {
    ChannelNorm {
        shape: shape.to_vec(),
        dim,
        norm,
    }
}

fn expand(shape: &[usize], dim: usize) -> ChannelMaskExpand {
    ChannelMaskExpand {
        shape: shape.to_vec(),
        dim,
    }
}

#[test]
fn sums_of_columns() {
    for (rows, cols) in [
        (1, 1),
        (1, 257),
        (3, 31),
        (65, 32),
        (255, 33),
        (50_176, 6),
        (6400, 16),
        // The grid is folded.
        (2, 8 * 65_535 + 3),
    ] {
        check(Box::new(ColumnSum { rows, cols }));
    }
}

#[test]
fn every_axis() {
    let shapes: [&[usize]; 4] = [&[64, 3, 7, 7], &[31, 1], &[129, 130], &[2, 63, 65]];
    for shape in shapes {
        for dim in 0..shape.len() {
            check(Box::new(expand(shape, dim)));
            for kind in NORMS {
                check(Box::new(norm(shape, dim, kind)));
            }
        }
    }
    // More channels than one dimension of the grid.
    check(Box::new(norm(&[65_537, 2], 0, Norm::L1)));
}

#[test]
fn zeros_and_huge_values() {
    for kind in NORMS {
        let kernel = norm(&[3, 50], 0, kind);
        let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
        let w = args[0].as_f32_mut().expect("f32");
        w[..50].fill(0.0);
        for x in &mut w[50..100] {
            *x *= 1e18;
        }
        check_with(Arc::new(kernel), args);
    }
}

/// Every kernel on every axis.
fn reductions(x: &[usize]) {
    for axis in 0..x.len() {
        let x = x.to_vec();
        for dtype in [DType::F32, DType::F16, DType::I8] {
            for kind in ReduceKind::ALL {
                let x = x.clone();
                if dtype != DType::I8 || kind.selects() {
                    check(Box::new(Reduce {
                        kind,
                        x,
                        axis,
                        dtype,
                    }));
                }
            }
            if dtype != DType::I8 {
                let x = x.clone();
                check(Box::new(ArgMax { x, axis, dtype }));
            }
        }
        for requant in [Requant::Float, Requant::Fixed] {
            let out = OutI8 {
                requant,
                zero_point: 20,
                range: Range::affine(8),
            };
            let kind = [ReduceKind::Sum, ReduceKind::Mean][axis % 2];
            check(Box::new(ReduceI8 {
                kind,
                x: x.clone(),
                axis,
                x_zero_point: -128,
                scale: 0.21,
                out,
            }));
        }
    }
}

#[test]
fn axes_of_every_length() {
    let shapes: [&[usize]; 7] = [
        &[3, 1, 1],
        &[2, 5, 3],
        &[65, 4, 2],
        &[1, 33, 66],
        &[2, 129, 64],
        &[1, 1000, 3],
        &[2, 3, 2, 5, 7],
    ];
    for x in shapes {
        reductions(x);
    }
}

#[test]
fn the_first_of_the_largest() {
    for (dtype, len) in [(DType::F32, 200), (DType::F16, 131), (DType::F32, 9)] {
        let kernel = ArgMax {
            x: vec![3, len],
            axis: 1,
            dtype,
        };
        let mut data = vec![-f32::INFINITY; 3 * len];
        // Equal ones; zeros of both signs below subnormals; nothing but −∞.
        (data[5], data[len - 2]) = (7.0, 7.0);
        data[len..2 * len].fill(-0.0);
        (data[len + 1], data[2 * len - 1]) = (0.0, 1e-7);
        let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
        let data: Vec<f64> = data.into_iter().map(f64::from).collect();
        args[0].store_f64(&data).expect("as many");
        let mut found: Vec<Tensor> = args.clone();
        kernel.cpu(&mut found).expect("floats");
        assert_eq!(found[1].as_i32().expect("i32"), [5, len as i32 - 1, 0]);
        check_with(Arc::new(kernel), args);
    }
}

#[test]
fn results_by_hand() {
    let x = [1., 2., 3., 10., -2., 0.5];
    let kernel = ColumnSum { rows: 2, cols: 3 };
    by_hand(&kernel, &[&x], &[(1, &[11., 0., 3.5])]);
    let w = [3., -1., -4., 0.];
    by_hand(&norm(&[2, 2], 0, Norm::L1), &[&w], &[(1, &[4., 4.])]);
    by_hand(&norm(&[2, 2], 1, Norm::L2), &[&w], &[(1, &[5., 1.])]);
    by_hand(&norm(&[2, 2], 0, Norm::Max), &[&w], &[(1, &[3., 4.])]);
    let masks: [&[f64]; 2] = [&[0b10 as f64], &[0b10_1111 as f64]];
    by_hand(&expand(&[2, 3], 0), &masks, &[(2, &[0b10_1000 as f64])]);
    by_hand(&expand(&[2, 3], 1), &masks, &[(2, &[0b00_0010 as f64])]);
    assert!(
        norm(&[2, 2], 2, Norm::L1)
            .launch(&Caps::portable())
            .is_err()
    );
    assert!(expand(&[2, 2], 2).launch(&Caps::portable()).is_err());
}
