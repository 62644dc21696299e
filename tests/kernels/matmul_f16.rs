//! matmul_f16: odd rows of words, tails of both tiles, native products where the device has them.

use crate::harness;
use wizen::gpu::Caps;
use wizen::kernels::Kernel;
use wizen::kernels::matmul_f16::MatmulF16;

#[test]
fn tails_and_odd_rows() {
    for (m, n, k) in [
        (1, 1, 1),
        (67, 33, 13),
        (5, 1000, 8),
        (129, 6, 31),
        (3, 34, 1009),
    ] {
        for relu in [false, true] {
            harness::check(Box::new(MatmulF16 {
                m,
                n,
                k,
                relu,
                native: false,
            }));
        }
    }
}

#[test]
fn native_products() {
    let kernel = |m, n, k| MatmulF16 {
        m,
        n,
        k,
        relu: false,
        native: true,
    };
    assert!(kernel(1, 1, 1).launch(&Caps::portable()).is_err());
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().f16 {
        for (m, n, k) in [(1, 1, 1), (17, 33, 65), (64, 10, 84)] {
            harness::check(Box::new(kernel(m, n, k)));
        }
    }
}

/// Enough workgroups for the largest tiles: of both sides, of rows, of columns.
#[test]
fn large_tiles() {
    for (m, n, k) in [(16_400, 65, 11), (16_400, 20, 9), (20, 16_400, 9)] {
        harness::check(Box::new(MatmulF16 {
            m,
            n,
            k,
            relu: true,
            native: false,
        }));
    }
}
