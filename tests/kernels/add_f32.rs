//! add_f32: tails, with and without the ReLU.

use crate::harness;
use wizen::kernels::add_f32::AddF32;

#[test]
fn tails_and_several_workgroups() {
    for len in [1, 63, 65, 256, 257, 1009, 20_011] {
        harness::check(Box::new(AddF32 {
            shape: vec![len],
            relu: false,
        }));
    }
}
