//! max_pool_i8: every window up to 4 on odd images.

use crate::harness;
use wizen::kernels::Pool;
use wizen::kernels::max_pool_i8::MaxPoolI8;

#[test]
fn windows() {
    for kernel in 1..=4 {
        for (stride, c) in [(1, 3), (2, 8), (3, 5)] {
            for padding in 0..=kernel / 2 {
                let pool = Pool {
                    kernel,
                    stride,
                    padding,
                };
                let x = [2, 7, 5, c];
                harness::check(Box::new(MaxPoolI8 { x, pool }));
            }
        }
    }
}
