//! dequantize_i8: every axis, odd rows.

use crate::harness;
use wizen::kernels::dequantize_i8::DequantizeI8;

#[test]
fn every_axis() {
    for axis in [None, Some(0), Some(1), Some(2), Some(3)] {
        for shape in [vec![2, 3, 5, 6], vec![3, 1, 4, 1], vec![1, 2, 9, 33]] {
            harness::check(Box::new(DequantizeI8 { shape, axis }));
        }
    }
}
