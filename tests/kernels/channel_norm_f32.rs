//! channel_norm_f32: every axis, slices around the workgroup, equal slices.

use std::sync::Arc;

use crate::harness;
use wizen::base::Rng;
use wizen::kernels::Kernel;
use wizen::kernels::channel_norm_f32::{ChannelNormF32, Norm};

const NORMS: [Norm; 3] = [Norm::L1, Norm::L2, Norm::Max];

#[test]
fn every_axis() {
    for norm in NORMS {
        for shape in [
            vec![64, 3, 7, 7],
            vec![10, 1],
            vec![129, 130],
            vec![2, 63, 65],
        ] {
            for dim in 0..shape.len() {
                let shape = shape.clone();
                harness::check(Box::new(ChannelNormF32 { shape, dim, norm }));
            }
        }
    }
}

#[test]
fn more_channels_than_one_dimension_of_the_grid() {
    let (shape, dim, norm) = (vec![65_537, 2], 0, Norm::L1);
    harness::check(Box::new(ChannelNormF32 { shape, dim, norm }));
}

#[test]
fn zeros_and_huge_values() {
    for norm in NORMS {
        let shape = vec![3, 50];
        let kernel = ChannelNormF32 {
            shape,
            dim: 0,
            norm,
        };
        let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
        let w = args[0].as_f32_mut().expect("f32");
        w[..50].fill(0.0);
        for x in &mut w[50..100] {
            *x *= 1e18;
        }
        harness::check_with(Arc::new(kernel), args);
    }
}
