//! relu_f16: odd rows.

use crate::harness;
use wizen::kernels::relu_f16::ReluF16;

#[test]
fn odd_rows_keep_their_padding_zero() {
    for shape in [
        vec![1],
        vec![3, 1],
        vec![5, 7],
        vec![3, 5, 129],
        vec![20_011],
    ] {
        harness::check(Box::new(ReluF16 { shape }));
    }
}
