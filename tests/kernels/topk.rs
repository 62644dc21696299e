//! topk: every digit and rank, tails, special values, searches that are over, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::topk::{
    BINS, Digit, FOUND, NOTHING, SEARCHING, TopkBegin, TopkHistogram, TopkMask, TopkSelect, digits,
};

/// Subnormals, NaNs of both signs with payload, infinities, zeros of both signs.
const SPECIAL: [u32; 10] = [
    1,
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

fn example(kernel: &dyn Kernel) -> Vec<Tensor> {
    kernel.example_args(&mut Rng::new(harness::seed()))
}

fn select(digit: Digit, state: [u32; 4], hist: &[u32]) {
    let args = vec![
        Tensor::from_u32(&[4], &state).expect("fits"),
        Tensor::from_u32(&[BINS], hist).expect("fits"),
    ];
    check_with(Arc::new(TopkSelect { digit }), args);
}

#[test]
fn a_search_begins() {
    for k in [0, 1, u32::MAX] {
        let mut args = example(&TopkBegin);
        args[0] = Tensor::from_u32(&[1], &[k]).expect("fits");
        check_with(Arc::new(TopkBegin), args);
    }
}

#[test]
fn strips_and_tails() {
    for len in [31, 8192, 100_003] {
        for digit in digits(len) {
            let offset = 0;
            check(Box::new(TopkHistogram { len, offset, digit }));
        }
    }
    for len in [1, 31, 32, 33, 2047, 2049, 100_003] {
        for offset in [0, 12_345] {
            check(Box::new(TopkMask { len, offset }));
        }
    }
}

#[test]
fn special_values_keep_their_bits() {
    let (len, offset) = (SPECIAL.len(), 0);
    for digit in digits(len).into_iter().filter(|digit| !digit.by_index) {
        for prefix in SPECIAL {
            let kernel = TopkHistogram { len, offset, digit };
            let mut args = example(&kernel);
            args[0].words_mut().copy_from_slice(&SPECIAL);
            args[1].words_mut()[0] = 0x3ff;
            let above = digit.shift + digit.width;
            args[2].words_mut()[1] = (prefix & 0x7fff_ffff) >> above << above;
            check_with(Arc::new(kernel), args);
        }
    }
    let (len, offset) = (70, 1000);
    for (i, threshold) in SPECIAL.into_iter().enumerate() {
        for status in [FOUND, NOTHING] {
            let kernel = TopkMask { len, offset };
            let mut args = example(&kernel);
            for (j, word) in args[0].words_mut().iter_mut().enumerate() {
                *word = SPECIAL[j % SPECIAL.len()];
            }
            let state = [1, threshold & 0x7fff_ffff, (offset + 7 * i) as u32, status];
            args[2].words_mut().copy_from_slice(&state);
            check_with(Arc::new(kernel), args);
        }
    }
}

#[test]
fn nothing_is_counted_once_the_search_is_over() {
    let (len, offset) = (777, 0);
    for status in [FOUND, NOTHING] {
        for digit in digits(len) {
            let kernel = TopkHistogram { len, offset, digit };
            let mut args = example(&kernel);
            args[2].words_mut()[3] = status;
            check_with(Arc::new(kernel), args);
        }
        select(digits(1)[0], [9, 3, 4, status], &[1; BINS]);
    }
}

#[test]
fn every_rank() {
    let mut hist = vec![0; BINS];
    // First and last bins, neighbours, both sides of the border between two invocations.
    for bin in [0, 1, 7, 8, 100, BINS - 1] {
        hist[bin] = 2;
    }
    for digit in digits(5000) {
        for rank in 1..=13 {
            select(digit, [rank, 0, 0, SEARCHING], &hist);
        }
    }
    let mut rng = Rng::new(harness::seed());
    let hist: Vec<u32> = (0..BINS).map(|_| rng.below(1_000_000) as u32).collect();
    let total: u32 = hist.iter().sum();
    for rank in [1, total / 3, total, total + 1] {
        select(digits(1)[0], [rank, 0, 0, SEARCHING], &hist);
    }
}

#[test]
fn results_by_hand() {
    let zeros = [0f64; BINS];
    by_hand(&TopkBegin, &[&[7.]], &[(1, &[7., 0., 0., 0.]), (2, &zeros)]);
    let digit = |by_index, shift| Digit {
        by_index,
        shift,
        width: 2,
    };
    let selected = |by_index, rank, hist: &[f64], want: [f64; 4]| {
        let mut bins = zeros;
        bins[..hist.len()].copy_from_slice(hist);
        let digit = digit(by_index, 4);
        let args: [&[f64]; 2] = [&[rank, 256., 0., 0.], &bins];
        by_hand(&TopkSelect { digit }, &args, &[(0, &want), (1, &zeros)]);
    };
    let (all, found) = (f64::from(u32::MAX), f64::from(FOUND));
    selected(false, 3., &[1., 0., 4.], [2., f64::from(0x120), 0., 0.]);
    selected(false, 5., &[1., 0., 4.], [4., f64::from(0x12f), all, found]);
    selected(true, 1., &[0., 1.], [1., 256., f64::from(0x1f), found]);
    selected(true, 9., &[1.], [9., f64::from(0x7fff_ffff), all, found]);

    // The threshold is (2.0, index 12): the tie at index 13 stays, the pruned one stays pruned.
    let w = [1., -2., -2., 2., f64::NAN, 0.];
    for (status, mask) in [
        (FOUND, 0b01_1000),
        (SEARCHING, 0b01_1111),
        (NOTHING, 0b01_1111),
    ] {
        let state = [1., f64::from(2f32.to_bits()), 12., f64::from(status)];
        let args: [&[f64]; 3] = [&w, &[f64::from(0b1111_1101_1111)], &state];
        by_hand(
            &TopkMask { len: 6, offset: 10 },
            &args,
            &[(3, &[f64::from(mask)])],
        );
    }

    // Two equal magnitudes and a pruned one; the lowest two bits of the magnitude.
    let kernel = TopkHistogram {
        len: 4,
        offset: 0,
        digit: digit(false, 0),
    };
    let w = [4, 5 | 1 << 31, 5, 9].map(|bits| f64::from(f32::from_bits(bits)));
    let mut hist = zeros;
    (hist[0], hist[1]) = (1., 1.);
    by_hand(&kernel, &[&w, &[11.], &[1., 4., 0., 0.]], &[(3, &hist)]);
    by_hand(&kernel, &[&w, &[11.], &[1., 4., 0., found]], &[(3, &zeros)]);
}
