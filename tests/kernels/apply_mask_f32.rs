//! apply_mask_f32: lengths around a word of the mask.

use crate::harness;
use wizen::kernels::apply_mask_f32::ApplyMaskF32;

#[test]
fn lengths_around_a_word() {
    for len in [1, 31, 32, 33, 64, 65, 1009, 20_011] {
        harness::check(Box::new(ApplyMaskF32 { shape: vec![len] }));
    }
}
