//! observe_histogram_range_f32: growth by every kind of step, extreme ranges.

use std::sync::Arc;

use crate::harness;
use wizen::base::{Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::observe_histogram_range_f32::{HistogramState, ObserveHistogramRangeF32};
use wizen::kernels::observe_min_max_f32::{MinMaxState, ObserveMinMaxF32};

#[test]
fn random_growth() {
    let kernel = Arc::new(ObserveHistogramRangeF32 { bins: 300 });
    let mut rng = Rng::new(harness::seed());
    for _ in 0..12 {
        let args = kernel.example_args(&mut rng);
        harness::check_with(kernel.clone(), args);
    }
}

#[test]
fn extreme_batches_one_after_the_other() {
    let kernel = ObserveHistogramRangeF32 { bins: 64 };
    let batches: [&[f32]; 8] = [
        &[],
        &[0.0],
        &[1e-45, -1e-45],
        &[1e-38],
        &[1.0, 1.000_000_1],
        &[-3.0],
        &[],
        &[f32::MAX, -f32::MAX],
    ];
    let (mut range, mut counts) = (
        HistogramState::initial_range(),
        HistogramState::initial_counts(64),
    );
    for (i, batch) in batches.into_iter().enumerate() {
        let mut seen = [
            Tensor::from_f32(&[batch.len()], batch).expect("fits"),
            MinMaxState::initial(1),
        ];
        let shape = vec![batch.len()];
        let observe = ObserveMinMaxF32 { shape, axis: None };
        observe.cpu(&mut seen).expect("f32");
        let [_, batch] = seen;
        let mut args = [batch, range, counts];
        harness::check_with(Arc::new(kernel.clone()), args.to_vec());
        kernel.cpu(&mut args).expect("u32");
        [_, range, counts] = args;
        // Every bin counts something from now on: moving must keep the sum.
        for word in &mut counts.words_mut()[20..40] {
            *word += i as u32;
        }
    }
}
