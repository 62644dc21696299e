//! clamp_min_f32: tails.

use crate::harness;
use wizen::kernels::clamp_min_f32::ClampMinF32;

#[test]
fn tails_and_several_workgroups() {
    for len in [1, 63, 65, 256, 257, 1009, 20_011] {
        harness::check(Box::new(ClampMinF32 { len, min: 0.3 }));
    }
}

#[test]
fn folded_grid() {
    let len = 256 * 65_535 + 1;
    harness::check(Box::new(ClampMinF32 { len, min: 0.5 }));
}
