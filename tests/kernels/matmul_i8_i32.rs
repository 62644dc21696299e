//! matmul_i8_i32: tails of words and tiles; sums that wrap.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Tensor};
use wizen::kernels::matmul_i8_i32::MatmulI8I32;

#[test]
fn tails_of_rows_columns_and_words() {
    for m in [1, 3, 4, 6, 8, 16, 31] {
        for (n, k) in [(1, 5), (6, 1), (8, 4), (15, 31), (70, 257)] {
            harness::check(Box::new(MatmulI8I32 { m, n, k }));
        }
    }
}

#[test]
fn extremes() {
    let (m, n, k) = (3, 5, 4608);
    let args = vec![
        Tensor::from_i8(&[m, k], &vec![-128; m * k]).expect("fits"),
        Tensor::from_i8(&[n, k], &vec![-128; n * k]).expect("fits"),
        Tensor::from_i32(&[n], &[i32::MAX, i32::MIN, 0, -1, i32::MAX - 7]).expect("fits"),
        Tensor::zeros(&[m, n], DType::I32),
    ];
    harness::check_with(Arc::new(MatmulI8I32 { m, n, k }), args);
}

/// Enough workgroups for the largest tiles: of both sides, of rows, of columns.
#[test]
fn large_tiles() {
    for (m, n, k) in [(16_400, 65, 11), (16_400, 20, 9), (20, 16_400, 9)] {
        harness::check(Box::new(MatmulI8I32 { m, n, k }));
    }
}
