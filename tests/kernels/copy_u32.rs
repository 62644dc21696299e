//! copy_u32: tails of a workgroup's share, and beyond one dimension of the grid.

use crate::harness;
use wizen::kernels::copy_u32::CopyU32;

#[test]
fn tails_and_folded_grids() {
    for rows in [1, 63, 255, 256, 257, 1031, 256 * 65_535 / 16 + 1] {
        harness::check(Box::new(CopyU32 { rows }));
    }
}
