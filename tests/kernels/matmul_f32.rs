//! matmul_f32: sizes around both tiles, long sums, more workgroups than one dimension of the grid holds.

use crate::harness;
use wizen::kernels::matmul_f32::MatmulF32;

#[test]
fn tails_of_both_tiles() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 1000, 7),
        (64, 32, 1),
        (67, 33, 13),
        (129, 5, 31),
        (8, 84, 120),
    ] {
        for relu in [false, true] {
            harness::check(Box::new(MatmulF32 { m, n, k, relu }));
        }
    }
}

#[test]
fn long_sums() {
    harness::check(Box::new(MatmulF32 {
        m: 3,
        n: 5,
        k: 10_007,
        relu: false,
    }));
}

#[test]
fn folded_grid() {
    // Eight rows of eight lanes, or four of 64, to a workgroup at most.
    harness::check(Box::new(MatmulF32 {
        m: 1,
        n: 32 * 65_535 + 40,
        k: 1,
        relu: false,
    }));
}

/// Enough workgroups for the largest tiles: of both sides, of rows, of columns.
#[test]
fn large_tiles() {
    for (m, n, k) in [(16_400, 65, 11), (16_400, 20, 9), (20, 16_400, 9)] {
        harness::check(Box::new(MatmulF32 {
            m,
            n,
            k,
            relu: true,
        }));
    }
}
