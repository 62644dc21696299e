//! reduce: tails of rows and columns, every axis, folded grids, extreme values, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::Rng;
use wizen::kernels::reduce::{ChannelMaskExpand, ChannelNorm, ColumnSum, Norm};
use wizen::kernels::{Caps, Kernel};

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
