//! reciprocal_f32: tails.

use crate::harness;
use wizen::kernels::reciprocal_f32::ReciprocalF32;

#[test]
fn tails_and_several_workgroups() {
    for len in [1, 63, 65, 256, 257, 1009, 20_011] {
        harness::check(Box::new(ReciprocalF32 { len }));
    }
}
