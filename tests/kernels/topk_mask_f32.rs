//! topk_mask_f32: broken words, folded grids, ties, special values.

use std::sync::Arc;

use crate::harness;
use wizen::base::Rng;
use wizen::kernels::Kernel;
use wizen::kernels::topk_begin::{FOUND, NOTHING};
use wizen::kernels::topk_mask_f32::TopkMaskF32;

#[test]
fn tails() {
    for len in [1, 31, 32, 33, 2047, 2049, 100_003] {
        for offset in [0, 12_345] {
            harness::check(Box::new(TopkMaskF32 { len, offset }));
        }
    }
}

#[test]
fn ties_and_special_values() {
    let specials = [
        1u32,
        0x8000_0001,
        0x7fc0_1234,
        0xffff_ffff,
        0x7f80_0000,
        0,
        0x8000_0000,
    ];
    let (len, offset) = (70, 1000);
    for (i, &threshold) in specials.iter().enumerate() {
        for status in [FOUND, NOTHING] {
            let kernel = TopkMaskF32 { len, offset };
            let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
            for (j, word) in args[0].words_mut().iter_mut().enumerate() {
                *word = specials[j % specials.len()];
            }
            let index = (offset + 10 * i) as u32;
            let state = [1, threshold & 0x7fff_ffff, index, status];
            args[2].words_mut().copy_from_slice(&state);
            harness::check_with(Arc::new(kernel), args);
        }
    }
}
