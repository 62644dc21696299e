//! quantize_i8: exact ties, NaN and infinities, every axis.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Tensor};
use wizen::kernels::quantize_i8::QuantizeI8;

#[test]
fn every_axis() {
    for axis in [None, Some(0), Some(1), Some(2), Some(3)] {
        for shape in [vec![2, 3, 5, 6], vec![3, 1, 4, 1], vec![1, 2, 9, 33]] {
            let range = Range::affine(8);
            harness::check(Box::new(QuantizeI8 { shape, axis, range }));
        }
    }
}

#[test]
fn ties_round_to_even_before_an_odd_zero_point() {
    let x: Vec<f32> = (-300..300).map(|i| i as f32 * 0.25).collect();
    let kernel = QuantizeI8 {
        shape: vec![600],
        axis: None,
        range: Range::affine(8),
    };
    let args = vec![
        Tensor::from_f32(&[600], &x).expect("fits"),
        Tensor::from_f32(&[1], &[2.0]).expect("fits"),
        Tensor::from_i32(&[1], &[7]).expect("fits"),
        Tensor::zeros(&[600], DType::I8),
    ];
    harness::check_with(Arc::new(kernel), args);
}

#[test]
fn nan_gives_the_zero_point_within_the_range() {
    for (zero_point, bits) in [(0, 0x7fc0_0000u32), (-5, 0xffff_ffff), (100, 0x7f80_0001)] {
        let kernel = QuantizeI8 {
            shape: vec![4],
            axis: None,
            range: Range::affine(6),
        };
        let x = [f32::from_bits(bits), f32::INFINITY, f32::NEG_INFINITY, -0.0];
        let args = vec![
            Tensor::from_f32(&[4], &x).expect("fits"),
            Tensor::from_f32(&[1], &[3.0]).expect("fits"),
            Tensor::from_i32(&[1], &[zero_point]).expect("fits"),
            Tensor::zeros(&[4], DType::I8),
        ];
        harness::check_with(Arc::new(kernel), args);
    }
}
