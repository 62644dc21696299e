//! observe_histogram_f32: many workgroups that share bins.

use crate::harness;
use wizen::kernels::observe_histogram_f32::ObserveHistogramF32;

#[test]
fn sizes_and_bins() {
    for len in [1, 255, 8192, 8193, 100_003] {
        for bins in [2, 3, 2048, 4096] {
            let shape = vec![len];
            harness::check(Box::new(ObserveHistogramF32 { shape, bins }));
        }
    }
}
