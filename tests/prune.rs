//! Masks through whole plans, on the CPU and on the GPU: against a sort, and PyTorch's golden vectors.

use std::collections::BTreeMap;

use wizen::Error;
use wizen::base::{Rng, Tensor};
use wizen::graph::Device;
use wizen::prune::{
    Amount, MaskPlan, Norm, Schedule, Scope, channel_masks, check_mask, full_mask, kept,
    magnitude_masks, magnitude_masks_to_sparsity, mask_from_bools, mask_to_bools,
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

#[test]
fn pytorch_agrees() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("golden/prune.json")).expect("JSON");
    let bytes = include_bytes!("golden/prune.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).expect("safetensors");
    let cases = cases["cases"].as_array().expect("cases");
    assert!(cases.len() > 30);
    for case in cases {
        let load = |name: &serde_json::Value| {
            let view = file
                .tensor(name.as_str().expect("a name"))
                .expect("in the file");
            let words = bytemuck::pod_collect_to_vec(view.data());
            let dtype = match view.dtype() {
                safetensors::Dtype::F32 => wizen::base::DType::F32,
                safetensors::Dtype::I32 => wizen::base::DType::I32,
                other => panic!("{other:?}"),
            };
            Tensor::from_words(view.shape(), dtype, words).expect("fits")
        };
        let roles = |of: &str| -> BTreeMap<String, Tensor> {
            let map = case[of].as_object().expect("roles");
            map.iter()
                .map(|(role, name)| (role.clone(), load(name)))
                .collect()
        };
        let (inputs, outputs) = (roles("inputs"), roles("outputs"));
        for device in devices() {
            check_case(case, &inputs, &outputs, &device);
        }
    }
}

fn check_case(
    case: &serde_json::Value,
    inputs: &BTreeMap<String, Tensor>,
    outputs: &BTreeMap<String, Tensor>,
    device: &Device,
) {
    let attrs = &case["attrs"];
    let label = format!("{} on {}", case["name"], device.name());
    let amount = |value: &serde_json::Value| match value.as_u64() {
        Some(count) => Amount::Count(count as usize),
        None => Amount::Fraction(value.as_f64().expect("a number")),
    };
    let norm = |name: &str| match name {
        "1" => Norm::L1,
        "2" => Norm::L2,
        "inf" => Norm::Max,
        other => panic!("norm {other}"),
    };
    let weights: Vec<&Tensor> = inputs.values().collect();
    let none = vec![None; weights.len()];
    let masks: Vec<Tensor> = match case["op"].as_str().expect("an op") {
        "l1_unstructured" | "global_l1_unstructured" => {
            let amount = amount(&attrs["amount"]);
            pollster::block_on(magnitude_masks(
                device,
                &weights,
                &none,
                Scope::Global,
                amount,
            ))
            .expect(&label)
        }
        "ln_structured" => {
            let norm = norm(attrs["n"].as_str().expect("a norm"));
            let dim = attrs["dim"].as_u64().expect("an axis") as usize;
            let amount = amount(&attrs["amount"]);
            let mask = channel_masks(device, weights[0], None, norm, dim, amount);
            vec![pollster::block_on(mask).expect(&label)]
        }
        "iterative" => {
            let w = weights[0];
            let mut mask = full_mask(w.len());
            for step in attrs["steps"].as_array().expect("steps") {
                let amount = amount(&step[1]);
                let old = Some(&mask);
                mask = match step[0].as_str().expect("a method") {
                    "l1_unstructured" => {
                        let (weights, old, scope) = ([w], [old], Scope::PerTensor);
                        let masks = magnitude_masks(device, &weights, &old, scope, amount);
                        pollster::block_on(masks).expect(&label).swap_remove(0)
                    }
                    "ln_structured_n2_dim0" => {
                        let mask = channel_masks(device, w, old, Norm::L2, 0, amount);
                        pollster::block_on(mask).expect(&label)
                    }
                    other => panic!("{label}: {other}"),
                };
            }
            vec![mask]
        }
        "agp_schedule" => {
            let number = |name: &str| attrs[name].as_u64().expect("a number") as usize;
            let schedule = Schedule::Cubic {
                initial: attrs["initial"].as_f64().expect("a number"),
                target: attrs["final"].as_f64().expect("a number"),
                begin: number("begin_step"),
                steps: number("steps"),
                frequency: number("frequency"),
            };
            let steps = inputs["t"].as_i32().expect("i32");
            let wants = outputs["sparsity"].as_f32().expect("f32");
            for (&t, &want) in steps.iter().zip(wants) {
                let (got, want) = (schedule.sparsity_at(t as usize), f64::from(want));
                assert!(
                    (got - want).abs() <= 1e-6 + 1e-5 * want,
                    "{label} {t}: {got} {want}"
                );
            }
            return;
        }
        other => panic!("{label}: unknown op {other}"),
    };
    assert_eq!(masks.len(), outputs.len(), "{label}");
    for (mask, want) in masks.iter().zip(outputs.values()) {
        check_mask(mask, want.len()).expect(&label);
        let keep = mask_to_bools(mask, want.len()).expect(&label);
        let want: Vec<bool> = want.to_f32().iter().map(|&bit| bit == 1.0).collect();
        assert_eq!(keep, want, "{label}");
    }
}

/// Not a check: times a ResNet-18 sized mask, the plan's steps on the device. Run it by name.
#[test]
#[ignore = "a measurement"]
fn time_of_a_large_mask() {
    let Some(gpu) = harness::gpu() else { return };
    let len = 11_689_512;
    let mut rng = Rng::new(1);
    let w = random_weights(len, 0, &mut rng);
    let device = Device::Gpu(gpu);
    let mut plan =
        pollster::block_on(MaskPlan::new(&device, &[vec![len]], Scope::Global)).expect("a plan");
    let old = full_mask(len);
    let k = Tensor::from_u32(&[1], &[len as u32 / 2]).expect("fits");
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let masks = pollster::block_on(plan.executor().run(&[&w, &old, &k])).expect("runs");
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(kept(&masks[0]), len - len / 2);
        let steps = pollster::block_on(plan.executor().profile(&[&w, &old, &k])).expect("runs");
        let total: f64 = steps.iter().map(|step| step.seconds).sum();
        let bytes = 4.0 * (4.0 * len as f64) + 5.0 * len as f64 / 8.0;
        eprintln!(
            "{seconds:.4} s with transfers, {total:.4} s, {:.2} GB/s",
            bytes / total / 1e9
        );
        for step in steps {
            eprintln!("  {:22} {:.3} ms", step.kernel, 1e3 * step.seconds);
        }
    }
}
