//! repack_f16: rows of every length against each other.

use crate::harness;
use wizen::kernels::Kernel;
use wizen::kernels::repack_f16::RepackF16;

#[test]
fn rows_of_every_length() {
    for a in 1..=9 {
        for b in 1..=9 {
            let (from, to) = (vec![3, b, a], vec![3, a, b]);
            harness::check(Box::new(RepackF16 { from, to }));
        }
    }
    let (from, to) = (vec![64, 5, 5, 6], vec![64, 150]);
    harness::check(Box::new(RepackF16 { from, to }));
}

#[test]
fn another_number_of_elements_is_an_error() {
    let (from, to) = (vec![2, 3], vec![5]);
    let error = RepackF16 { from, to }
        .launch(&wizen::gpu::Caps::portable())
        .expect_err("6 is not 5");
    assert_eq!(
        error.to_string(),
        "repack_f16: `y` has shape [5], expected as many elements as `x` of shape [2, 3]"
    );
}
