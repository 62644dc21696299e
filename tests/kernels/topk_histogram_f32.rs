//! topk_histogram_f32: many strips, every digit, special values, states in which nothing is counted.

use std::sync::Arc;

use crate::harness;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::topk_begin::{FOUND, NOTHING, digits};
use wizen::kernels::topk_histogram_f32::TopkHistogramF32;

#[test]
fn strips_and_tails() {
    for len in [31, 8192, 100_003] {
        for digit in digits(len) {
            let offset = 0;
            harness::check(Box::new(TopkHistogramF32 { len, offset, digit }));
        }
    }
}

#[test]
fn special_values_keep_their_bits() {
    // Subnormals, NaNs of both signs with payload, infinities, zeros of both signs.
    let bits = [
        1u32,
        0x8000_0001,
        0x007f_ffff,
        0x7fc0_1234,
        0xffff_ffff,
        0x7f80_0001,
        0x7f80_0000,
        0xff80_0000,
        0,
        0x8000_0000,
    ];
    let len = bits.len();
    for digit in digits(len).into_iter().filter(|digit| !digit.by_index) {
        for &prefix in &bits {
            let offset = 0;
            let kernel = TopkHistogramF32 { len, offset, digit };
            let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
            args[0].words_mut().copy_from_slice(&bits);
            args[1].words_mut()[0] = 0x3ff;
            let above = digit.shift + digit.width;
            args[2].words_mut()[1] = (prefix & 0x7fff_ffff) >> above << above;
            harness::check_with(Arc::new(kernel), args);
        }
    }
}

#[test]
fn nothing_is_counted_once_the_search_is_over() {
    let (len, offset) = (777, 0);
    for status in [FOUND, NOTHING] {
        for digit in digits(len) {
            let kernel = TopkHistogramF32 { len, offset, digit };
            let mut args: Vec<Tensor> = kernel.example_args(&mut Rng::new(harness::seed()));
            args[2].words_mut()[3] = status;
            harness::check_with(Arc::new(kernel), args);
        }
    }
}
