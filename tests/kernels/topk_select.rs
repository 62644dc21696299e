//! topk_select: every rank of a small histogram, one more than there are, and finished states.

use std::sync::Arc;

use crate::harness;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::topk_begin::{BINS, FOUND, NOTHING, SEARCHING, digits};
use wizen::kernels::topk_select::TopkSelect;

fn check(select: &TopkSelect, state: [u32; 4], hist: &[u32]) {
    let args = vec![
        Tensor::from_u32(&[4], &state).expect("fits"),
        Tensor::from_u32(&[BINS], hist).expect("fits"),
    ];
    harness::check_with(Arc::new(select.clone()), args);
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
            check(&TopkSelect { digit }, [rank, 0, 0, SEARCHING], &hist);
        }
    }
}

#[test]
fn large_counts_and_finished_states() {
    let mut rng = Rng::new(harness::seed());
    let hist: Vec<u32> = (0..BINS).map(|_| rng.below(1_000_000) as u32).collect();
    let total: u32 = hist.iter().sum();
    let digit = digits(1)[0];
    for rank in [1, total / 3, total, total + 1] {
        check(&TopkSelect { digit }, [rank, 0, 0, SEARCHING], &hist);
    }
    for status in [FOUND, NOTHING] {
        check(&TopkSelect { digit }, [9, 3, 4, status], &hist);
    }
    assert_eq!(TopkSelect { digit }.bindings().len(), 2);
}
