//! Masks through whole plans, on the CPU and on the GPU: against a sort.

use wizen::Error;
use wizen::base::{Rng, Tensor};
use wizen::graph::Device;
use wizen::prune::{
    Amount, MaskPlan, Norm, Schedule, Scope, channel_masks, full_mask, kept, magnitude_masks,
    magnitude_masks_to_sparsity, mask_from_bools, mask_to_bools,
};

use crate::harness;

fn devices() -> Vec<Device> {
    let gpu = harness::gpu().map(Device::Gpu);
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// The definition: sort the unpruned by (|w| bits, index) and drop the first `k`.
fn by_sorting(weights: &[&Tensor], old: &[Tensor], k: usize) -> Vec<Tensor> {
    let mut keep: Vec<Vec<bool>> = weights
        .iter()
        .zip(old)
        .map(|(w, old)| mask_to_bools(old, w.len()).expect("fits"))
        .collect();
    let mut order = Vec::new();
    for (t, w) in weights.iter().enumerate() {
        for (i, bits) in w.words().iter().enumerate() {
            if keep[t][i] {
                order.push((bits & 0x7fff_ffff, t, i));
            }
        }
    }
    order.sort_unstable();
    for &(_, t, i) in &order[..k] {
        keep[t][i] = false;
    }
    keep.iter().map(|keep| mask_from_bools(keep)).collect()
}

fn random_weights(len: usize, levels: usize, rng: &mut Rng) -> Tensor {
    let data: Vec<f32> = (0..len)
        .map(|_| match levels {
            0 => rng.normal(),
            _ => (rng.below(2 * levels) as f32 - levels as f32) * 0.125,
        })
        .collect();
    Tensor::from_f32(&[len], &data).expect("fits")
}

#[test]
fn masks_are_those_of_a_stable_sort() {
    let mut rng = Rng::new(harness::seed());
    for levels in [0, 1, 5] {
        let weights: Vec<Tensor> = [1, 37, 5000, 64]
            .iter()
            .map(|&len| random_weights(len, levels, &mut rng))
            .collect();
        let weights: Vec<&Tensor> = weights.iter().collect();
        let old: Vec<Tensor> = weights
            .iter()
            .map(|w| {
                mask_from_bools(
                    &w.words()
                        .iter()
                        .map(|_| rng.below(4) > 0)
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let left: usize = old.iter().map(kept).sum();
        let references: Vec<Option<&Tensor>> = old.iter().map(Some).collect();
        for k in [0, 1, 2, left / 2, left - 1, left] {
            let want = by_sorting(&weights, &old, k);
            for device in devices() {
                let masks = magnitude_masks(
                    &device,
                    &weights,
                    &references,
                    Scope::Global,
                    Amount::Count(k),
                );
                let masks = pollster::block_on(masks).expect("in range");
                assert_eq!(masks, want, "{} levels={levels} k={k}", device.name());
            }
        }
        let per_tensor: Vec<Tensor> = (0..weights.len())
            .flat_map(|i| {
                let k = Amount::Fraction(0.3)
                    .count(kept(&old[i]))
                    .expect("in range");
                by_sorting(&weights[i..=i], &old[i..=i], k)
            })
            .collect();
        for device in devices() {
            let scope = Scope::PerTensor;
            let masks =
                magnitude_masks(&device, &weights, &references, scope, Amount::Fraction(0.3));
            let masks = pollster::block_on(masks).expect("in range");
            assert_eq!(masks, per_tensor, "{} levels={levels}", device.name());
        }
    }
}

#[test]
fn zeros_subnormals_infinities_and_nans_have_their_order() {
    let bits = [
        0x7fc0_0000u32,
        0x8000_0000,
        0xff80_0000,
        0,
        1,
        0x0080_0000,
        0x8000_0001,
        0x3f80_0000,
    ];
    let w = Tensor::from_f32(&[8], &bits.map(f32::from_bits)).expect("fits");
    let order = [1, 3, 4, 6, 5, 7, 2, 0];
    for device in devices() {
        for k in 0..=8 {
            let (weights, old, amount) = ([&w], [None], Amount::Count(k));
            let masks = magnitude_masks(&device, &weights, &old, Scope::Global, amount);
            let mask = pollster::block_on(masks).expect("in range").swap_remove(0);
            let keep = mask_to_bools(&mask, 8).expect("fits");
            let gone: Vec<usize> = order[..k].to_vec();
            assert!(
                (0..8).all(|i| keep[i] != gone.contains(&i)),
                "{k} {}",
                device.name()
            );
        }
    }
}

#[test]
fn one_plan_serves_a_whole_schedule() {
    let mut rng = Rng::new(harness::seed());
    let weights = [
        random_weights(1000, 0, &mut rng),
        random_weights(77, 0, &mut rng),
    ];
    let weights = [&weights[0], &weights[1]];
    let shapes: Vec<_> = weights.iter().map(|w| w.shape().to_vec()).collect();
    let schedule = Schedule::Cubic {
        initial: 0.0,
        target: 0.9,
        begin: 0,
        steps: 5,
        frequency: 10,
    };
    for device in devices() {
        let plan = MaskPlan::new(&device, &shapes, Scope::Global);
        let mut plan = pollster::block_on(plan).expect("a plan");
        let mut masks: Vec<Tensor> = weights.iter().map(|w| full_mask(w.len())).collect();
        for step in (0..=60).filter(|&step| schedule.is_update(step)) {
            let sparsity = schedule.sparsity_at(step);
            let old: Vec<Option<&Tensor>> = masks.iter().map(Some).collect();
            let new = plan.prune_to_sparsity(&weights, &old, sparsity);
            masks = pollster::block_on(new).expect("rises");
            let left: usize = masks.iter().map(kept).sum();
            let want = 1077 - (sparsity * 1077.0).round_ties_even() as usize;
            assert_eq!(left, want, "step {step}");
        }
        let fresh = magnitude_masks_to_sparsity(&device, &weights, &[None; 2], Scope::Global, 0.9);
        assert_eq!(pollster::block_on(fresh).expect("in range"), masks);
        let old: Vec<Option<&Tensor>> = masks.iter().map(Some).collect();
        let back = pollster::block_on(plan.prune_to_sparsity(&weights, &old, 0.1));
        assert!(matches!(back, Err(Error::Invalid { .. })), "{back:?}");
    }
}

#[test]
fn mistakes_are_errors() {
    let device = Device::Cpu;
    let w = Tensor::from_f32(&[4], &[1.0; 4]).expect("fits");
    let empty = Tensor::from_f32(&[0], &[]).expect("fits");
    let one = |w: &Tensor, old: &[Option<&Tensor>], amount| {
        pollster::block_on(magnitude_masks(&device, &[w], old, Scope::Global, amount)).is_err()
    };
    assert!(!one(&w, &[None], Amount::Count(4)));
    assert!(one(&w, &[None], Amount::Count(5)));
    assert!(one(&w, &[None], Amount::Fraction(1.1)));
    assert!(one(&w, &[None], Amount::Fraction(f64::NAN)));
    assert!(one(&w, &[], Amount::Count(1)));
    assert!(one(&w, &[Some(&full_mask(33))], Amount::Count(1)));
    assert!(one(&empty, &[None], Amount::Count(0)));
    let i8 = Tensor::from_i8(&[4], &[1; 4]).expect("fits");
    assert!(one(&i8, &[None], Amount::Count(1)));
    let channels = |w: &Tensor, dim| {
        let mask = channel_masks(&device, w, None, Norm::L1, dim, Amount::Count(1));
        pollster::block_on(mask).is_err()
    };
    let matrix = Tensor::from_f32(&[2, 2], &[1.0; 4]).expect("fits");
    assert!(channels(&w, 0));
    assert!(channels(&matrix, 2));
    assert!(!channels(&matrix, 1));
}

/// Channels whose weights and biases are zero change nothing: without them the network gives the same.
#[test]
fn thinning_zero_channels_changes_nothing() {
    use wizen::graph::{CpuSession, Graph, lower};
    let mut weights = wizen::models::random_weights("lenet5", harness::seed()).expect("lenet5");
    let full = wizen::models::lenet5(2, &weights).expect("weights fit");
    let families = wizen::prune::families(&full).expect("rules");
    // conv1 and conv2 with what reads them, fc1, fc2; what comes in and goes out is fixed.
    let sizes: Vec<usize> = families.iter().map(|family| family.groups.len()).collect();
    assert_eq!(sizes, [6, 16, 120, 84]);
    let mut rng = Rng::new(harness::seed());
    let mut gone = Vec::new();
    for family in &families {
        let some = family.groups.iter().enumerate();
        gone.extend(
            some.filter(|(i, _)| *i != 1 && rng.below(2) == 0)
                .map(|(_, g)| g),
        );
    }
    // Zero what makes the channels that go: their weights and biases, the first axis.
    for &((value, axis), at) in gone.iter().flat_map(|group| &group.slices) {
        let name = &full.value(value).name;
        if let Some(tensor) = weights.get_mut(name).filter(|_| axis == 0) {
            let inner = tensor.len() / tensor.shape()[0];
            tensor.as_f32_mut().expect("f32")[at * inner..][..inner].fill(0.0);
        }
    }
    let full = wizen::models::lenet5(2, &weights).expect("weights fit");
    let thin = wizen::prune::thin(&full, gone).expect("something is left");
    let data: Vec<f32> = (0..2 * 784).map(|_| rng.uniform()).collect();
    let x = Tensor::from_f32(&[2, 28, 28, 1], &data).expect("fits");
    let run = |graph| {
        let plan = lower(graph, &wizen::gpu::Caps::portable()).expect("lowers");
        CpuSession::new(plan.into(), false)
            .run(&[&x])
            .expect("runs")
    };
    // Zeros add nothing to sums in f64; only their order could matter, and it is the same.
    assert_eq!(run(&full), run(&thin));
    let count = |graph: &Graph| -> usize {
        let tensors = graph.values().filter_map(|(id, _)| graph.tensor(id));
        tensors.map(|t| t.len()).sum()
    };
    assert!(count(&thin) < count(&full) / 2);
    let all = families[0].groups.iter();
    let error = wizen::prune::thin(&full, all)
        .expect_err("nothing is left")
        .to_string();
    assert!(error.contains("nothing would be left of `conv1"), "{error}");
}
