//! scale_f32: tails.

use crate::harness;
use wizen::kernels::scale_f32::ScaleF32;

#[test]
fn tails_and_several_workgroups() {
    for len in [1, 63, 65, 256, 257, 1009, 20_011] {
        harness::check(Box::new(ScaleF32 {
            shape: vec![len],
            factor: -1.7,
        }));
    }
}
