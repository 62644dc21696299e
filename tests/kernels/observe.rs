//! observe: sizes and axes, batches one after the other, nothing finite, histograms that grow, results by hand.

use std::sync::Arc;

use crate::harness::{self, by_hand, check, check_with};
use wizen::base::{DType, Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::observe::{
    HistogramState, MinMaxState, ObserveHistogram, ObserveHistogramRange, ObserveMinMax,
    ObserveMovingAverage,
};

fn min_max(shape: &[usize], axis: Option<usize>) -> ObserveMinMax {
    ObserveMinMax {
        shape: shape.to_vec(),
        axis,
    }
}

#[test]
fn sizes_and_axes() {
    for len in [1, 63, 65, 4096, 4097, 300_007] {
        check(Box::new(min_max(&[len], None)));
    }
    for shape in [[1, 16], [4097, 17], [300, 64], [2, 129], [5000, 256]] {
        check(Box::new(min_max(&shape, Some(1))));
    }
    for axis in 0..4 {
        check(Box::new(min_max(&[3, 5, 67, 9], Some(axis))));
    }
    for len in [1, 255, 8192, 8193, 100_003] {
        for bins in [2, 3, 2048, 4096] {
            let shape = vec![len];
            check(Box::new(ObserveHistogram { shape, bins }));
        }
    }
    for constant in [0.0, 0.01, 0.5, 1.0] {
        for channels in [1, 64, 65, 513] {
            check(Box::new(ObserveMovingAverage { channels, constant }));
        }
    }
}

#[test]
fn nothing_finite() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let x = Tensor::from_f32(&[3], &x).expect("fits");
    let kernel = Arc::new(min_max(&[3], None));
    check_with(kernel, vec![x, MinMaxState::initial(1)]);
}

#[test]
fn random_growth() {
    let kernel = Arc::new(ObserveHistogramRange { bins: 300 });
    let mut rng = Rng::new(harness::seed());
    for _ in 0..12 {
        let args = kernel.example_args(&mut rng);
        check_with(kernel.clone(), args);
    }
}

#[test]
fn extreme_batches_one_after_the_other() {
    let kernel = ObserveHistogramRange { bins: 64 };
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
        let batch = MinMaxState::observe(batch).expect("f32");
        let mut args = [batch, range, counts];
        check_with(Arc::new(kernel.clone()), args.to_vec());
        kernel.cpu(&mut args).expect("u32");
        [_, range, counts] = args;
        // Every bin counts something from now on: moving must keep the sum.
        for word in &mut counts.words_mut()[20..40] {
            *word += i as u32;
        }
    }
}

/// Batches through the three kernels equal one histogram of all values.
#[test]
fn moving_is_exact() {
    let mut rng = Rng::new(3);
    let mut state = [
        HistogramState::initial_range(),
        HistogramState::initial_counts(64),
    ];
    assert_eq!(
        HistogramState::decode(&state[0], &state[1]).expect("states"),
        None
    );
    let mut all = Vec::new();
    for (low, high) in [
        (0.0, 0.0),
        (0.25, 0.5),
        (-0.5, 3.0),
        (-0.1, 0.1),
        (-200.0, 1.0),
    ] {
        let x: Vec<f32> = (0..100).map(|_| rng.range(low, high)).collect();
        all.extend_from_slice(&x);
        state = HistogramState::observe(&x, state).expect("states");
        let seen = HistogramState::decode(&state[0], &state[1]).expect("consistent");
        let seen = seen.expect("values were seen");
        let width = (seen.edges.1 - seen.edges.0) / seen.counts.len() as f64;
        let mut want = vec![0.0; seen.counts.len()];
        for &x in &all {
            want[((f64::from(x) - seen.edges.0) / width).floor() as usize] += 1.0;
        }
        assert_eq!(seen.counts, want);
        let ends = all
            .iter()
            .fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        assert_eq!(seen.min_max, ends);
    }
    let before = state.clone();
    assert_eq!(HistogramState::observe(&[], state).expect("states"), before);
}

#[test]
fn two_batches_by_hand() {
    let nan = f32::NAN;
    let kernel = min_max(&[2, 3], Some(0));
    let mut state = MinMaxState::initial(2);
    assert_eq!(MinMaxState::decode(&state).expect("u32")[0].range(), None);
    for batch in [
        [1.0, -2.0, nan, nan, f32::INFINITY, nan],
        [0.5, 0.5, 4.0, nan, nan, -7.0],
    ] {
        let mut args = [Tensor::from_f32(&[2, 3], &batch).expect("fits"), state];
        kernel.cpu(&mut args).expect("f32");
        [_, state] = args;
    }
    let seen = MinMaxState::decode(&state).expect("u32");
    assert_eq!(seen[0].range(), Some((-2.0, 4.0)));
    assert_eq!((seen[0].finite, seen[0].not_finite), (5, 1));
    assert_eq!(seen[1].range(), Some((-7.0, -7.0)));
    assert_eq!((seen[1].finite, seen[1].not_finite), (1, 5));
}

#[test]
fn the_first_batch_sets_and_an_empty_one_changes_nothing() {
    let kernel = ObserveMovingAverage {
        channels: 1,
        constant: 0.25,
    };
    let batch = |x: &[f32]| MinMaxState::observe(x).expect("f32");
    let mut args = [batch(&[-1.0, 2.0]), ObserveMovingAverage::initial(1)];
    kernel.cpu(&mut args).expect("states");
    assert_eq!(args[0], MinMaxState::initial(1));
    kernel.cpu(&mut args).expect("states");
    args[0] = batch(&[-5.0, 4.0]);
    kernel.cpu(&mut args).expect("states");
    let seen = ObserveMovingAverage::decode(&args[1]).expect("f32");
    assert_eq!(seen, [Some((-2.0, 2.5))]);
    assert_eq!(args[1].dtype(), DType::F32);
    assert_eq!(args[1].to_f32()[2], 2.0);
}

#[test]
fn a_histogram_by_hand() {
    // Bins of width 0.5 from −1: [−1, −0.5), [−0.5, 0), [0, 0.5), [0.5, 1).
    let x = [
        -1.,
        -0.5,
        -1e-45,
        0.,
        -0.,
        0.499,
        0.5,
        f64::NAN,
        f64::INFINITY,
    ];
    let (shape, bins) = (vec![9], 4);
    let args: [&[f64]; 3] = [&x, &[0., 0., -2., -1.], &[10., 0., 0., 0.]];
    by_hand(
        &ObserveHistogram { shape, bins },
        &args,
        &[(2, &[11., 2., 3., 1.])],
    );
}
