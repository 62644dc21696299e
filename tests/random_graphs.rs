//! Random networks through everything that takes a network: both devices, passes, quantization, files,
//! gradients, structured pruning.
//!
//! `WIZEN_GRAPHS=1000` makes that many; the seeds count up from that of the other tests.

pub mod generate;
mod gradients;
mod passes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wizen::Network;
use wizen::base::{DType, Quantization, Requant, Rng, Tensor};
use wizen::gpu::{Caps, Gpu};
use wizen::graph::ops::Op;
use wizen::graph::{
    CpuSession, Device, Graph, LowerOptions, Node, Session, SessionOptions, ValueId, compare_steps,
    lower, lower_with, optimize,
};
use wizen::io::Loaded;
use wizen::kernels::ulp_f32;
use wizen::prune;
use wizen::quant::{self, Observer, QuantParams, Scheme};

use crate::harness;
use generate::{Norms, keeps_zero, random_graph, random_inputs};
use passes::{SLOPE, alone, magnitudes};

/// Half a unit in the last place of f32, relative.
pub const U: f64 = 1.0 / (1u64 << 24) as f64;

/// `times` as many networks as were asked for, each with its seed; every fourth has batch norms that nothing
/// folds away.
pub fn networks(times: u64) -> impl Iterator<Item = (u64, Graph)> {
    let count = std::env::var("WIZEN_GRAPHS").ok();
    let count = count.map_or(40u64, |n| n.parse().expect("WIZEN_GRAPHS is a number"));
    let first = harness::seed();
    (0..times * count).map(move |i| {
        let norms = match i % 4 {
            3 => Norms::Anywhere,
            _ => Norms::Folded,
        };
        (first + i, random_graph(first + i, norms))
    })
}

pub fn references(inputs: &[Tensor]) -> Vec<&Tensor> {
    inputs.iter().collect()
}

pub fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let plan = lower(graph, &Caps::portable()).unwrap_or_else(|e| panic!("{e}\n{graph}"));
    let mut cpu = CpuSession::new(Arc::new(plan), false);
    cpu.run(&references(inputs)).expect("runs")
}

/// A layer that takes the function behind it into its step gives what both give, bit for bit, in fewer steps.
#[test]
fn functions_of_integers_join_the_layers_before_them() {
    let mut joined = 0;
    for (seed, graph) in networks(10) {
        let Some((float, params)) = calibrated(seed, &graph) else {
            continue;
        };
        let inputs = random_inputs(&float, seed);
        for requant in [Requant::Float, Requant::Fixed] {
            let int8 = quant::freeze(&float, &params, requant).expect("freezes");
            let steps = [false, true].map(|every_value| {
                let options = LowerOptions {
                    every_value,
                    ..LowerOptions::default()
                };
                let plan = lower_with(&int8, &Caps::portable(), options).expect("lowers");
                let steps = plan.steps.len();
                let mut cpu = CpuSession::new(Arc::new(plan), false);
                (steps, cpu.run(&references(&inputs)).expect("runs"))
            });
            let [(few, got), (many, want)] = steps;
            assert_eq!(got, want, "{seed}\n{int8}");
            joined += many - few;
        }
    }
    assert!(joined > 20, "{joined} functions joined");
}

/// Every input and result of a run on the CPU references, by name; what only has another shape, too.
pub fn trace(graph: &Graph, inputs: &[Tensor]) -> BTreeMap<String, Tensor> {
    let options = LowerOptions {
        every_value: true,
        ..LowerOptions::default()
    };
    let plan = Arc::new(lower_with(graph, &Caps::portable(), options).expect("lowers"));
    let mut cpu = CpuSession::new(Arc::clone(&plan), true);
    let values = cpu.trace(&references(inputs)).expect("runs");
    let named = plan.values.iter().zip(values);
    let mut found: BTreeMap<String, Tensor> = named
        .filter_map(|(value, tensor)| Some((value.name.clone(), tensor?)))
        .collect();
    for node in graph.nodes() {
        let (x, y) = (graph.value(node.inputs[0]), graph.value(node.outputs[0]));
        if matches!(node.op, Op::Flatten(_) | Op::Reshape(_) | Op::Transpose(_)) {
            let same = found[&x.name].clone();
            found.entry(y.name.clone()).or_insert(same);
        }
    }
    for (_, value) in graph.values() {
        if let Some(tensor) = found.remove(&value.name) {
            let own = tensor.reshaped(&value.shape).expect("as many elements");
            found.insert(value.name.clone(), own);
        }
    }
    found
}

pub fn ends_with_norm(graph: &Graph) -> bool {
    graph
        .nodes()
        .iter()
        .any(|node| matches!(node.op, Op::BatchNorm(_)))
}

/// The float network as int8 wants it, and its parameters; `None` if a batch norm is left in it.
pub fn calibrated(seed: u64, graph: &Graph) -> Option<(Graph, QuantParams)> {
    let float = quant::prepare(graph, Scheme::INT8).expect("well formed");
    if ends_with_norm(&float) {
        return None;
    }
    let batches = (0..3).map(|i| Ok(random_inputs(&float, seed + 1000 * (i + 1))));
    let schemes = Scheme::INT8.into();
    let found = quant::calibrate(&Device::Cpu, &float, batches, Observer::MinMax, &schemes);
    let found = pollster::block_on(found).unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}"));
    let weights = quant::choose_weights(&float, &schemes, None).expect("finite");
    let params = QuantParams {
        means: BTreeMap::new(),
        ..found.with_weights(weights)
    };
    Some((float, params))
}

#[test]
fn every_operation_is_in_some_network() {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let (mut inputs, mut outputs) = (0, 0);
    for (_, graph) in networks(4) {
        found.extend(graph.nodes().iter().map(|node| node.op.name()));
        inputs = inputs.max(graph.inputs().len());
        outputs = outputs.max(graph.outputs().len());
    }
    let all = "Linear Conv2d Map Binary MaxPool AvgPool GlobalAvgPool Softmax Flatten Reshape Slice Pad Concat \
               BatchNorm Transpose Reduce Resize";
    for op in all.split(' ') {
        assert!(found.contains(op), "no {op} in {found:?}");
    }
    assert!(inputs > 1 && outputs > 1);
}

fn steps_agree(gpu: &Gpu, what: &str, graph: &Graph, inputs: &[Tensor], exact: bool) {
    let plan =
        Arc::new(lower(graph, gpu.caps()).unwrap_or_else(|e| panic!("{what}: {e}\n{graph}")));
    let options = SessionOptions {
        trace: true,
        ..Default::default()
    };
    let traced = pollster::block_on(async {
        let session = Session::new(gpu, Arc::clone(&plan), options).await?;
        session.trace(&references(inputs)).await
    });
    let traced = traced.unwrap_or_else(|e| panic!("{what}: {e}\n{graph}"));
    for step in compare_steps(&plan, &traced).expect("complete trace") {
        assert_eq!(step.mismatches, 0, "{what}: {step:?}\n{graph}");
        // What comes before the first layer and behind the last computes with floats.
        let float = !step.kernel.contains("i8")
            || ["quantize", "softmax"]
                .iter()
                .any(|k| step.kernel.contains(k));
        assert!(
            !exact || float || step.differing == 0,
            "{what}: {step:?}\n{graph}"
        );
    }
}

#[test]
fn devices_agree_in_every_step() {
    let Some(gpu) = harness::gpu() else { return };
    let mut integers = 0;
    for (seed, graph) in networks(1) {
        let inputs = random_inputs(&graph, seed);
        let fused = optimize(&graph).expect("well formed");
        // Programs of a network take seconds to compile: every second one runs as it was made, and as it is
        // fused the others.
        let (float, requant) = match seed % 2 {
            0 => (&graph, Requant::Fixed),
            _ => (&fused, Requant::Float),
        };
        steps_agree(&gpu, &format!("{seed} fp32"), float, &inputs, false);
        let half = quant::to_f16(&fused, &Default::default());
        if ends_with_norm(&fused) {
            assert!(half.is_err(), "batch norm has no f16 form");
            let error = quant::freeze(&fused, &QuantParams::default(), Requant::Fixed);
            assert!(error.is_err());
            continue;
        }
        let half = half.unwrap_or_else(|e| panic!("{seed}: {e}\n{fused}"));
        steps_agree(&gpu, &format!("{seed} fp16"), &half, &inputs, false);
        let (float, params) = calibrated(seed, &graph).expect("no batch norm is left");
        let int8 = quant::freeze(&float, &params, requant);
        let int8 = int8.unwrap_or_else(|e| panic!("{seed}: {e}\n{float}"));
        let what = format!("{seed} int8 {requant:?}");
        steps_agree(&gpu, &what, &int8, &inputs, requant == Requant::Fixed);
        integers += 1;
    }
    assert!(integers > 0);
}

/// What the integers of a value stand for.
fn reals(graph: &Graph, id: ValueId, tensor: &Tensor) -> Tensor {
    let value = graph.value(id);
    let data = match &value.quant {
        Some(quant) => quant.reals(tensor),
        None => tensor.to_f64(),
    };
    let mut out = Tensor::zeros(&value.shape, DType::F32);
    out.store_f64(&data).expect("as many");
    out
}

/// Every node of the integer network gives what its operation gives on the reals that its operands stand
/// for, rounded to the integers of its result: up to what lies within rounding errors of a tie.
#[test]
fn integers_are_the_rounded_results_of_the_reals_that_they_stand_for() {
    let mut checked = 0;
    for (seed, graph) in networks(4) {
        let Some((float, params)) = calibrated(seed, &graph) else {
            continue;
        };
        for (name, quant) in &params.weights {
            rounded_weights(&float, name, quant);
        }
        let int8 = quant::freeze(&float, &params, Requant::Float).expect("freezes");
        let mut values = trace(&int8, &random_inputs(&float, seed));
        for (id, value) in int8.values() {
            if let Some(tensor) = int8.tensor(id) {
                values.insert(value.name.clone(), tensor.as_ref().clone());
            }
        }
        for node in int8.nodes() {
            checked += usize::from(node_rounds(seed, &int8, node, &values));
        }
    }
    assert!(checked > 100, "{checked} nodes were compared");
}

fn rounded_weights(float: &Graph, name: &str, quant: &Quantization) {
    let id = float.find(name).expect("a weight");
    let tensor = float.tensor(id).expect("a parameter");
    let rounded = quant::quantize_weights(tensor, quant).expect("finite");
    let per_channel = tensor.len() / quant.scales.len();
    let pairs = tensor.to_f64().into_iter().zip(quant.reals(&rounded));
    for (i, (w, rounded)) in pairs.enumerate() {
        let scale = f64::from(quant.scales[i / per_channel]);
        assert!(
            (w - rounded).abs() <= scale * (0.5 + 1e-5),
            "{name} [{i}]: {w} {rounded}"
        );
    }
}

fn node_rounds(seed: u64, int8: &Graph, node: &Node, values: &BTreeMap<String, Tensor>) -> bool {
    let y = node.outputs[0];
    let (value, got) = (int8.value(y), &values[&int8.value(y).name]);
    let quant = match &value.quant {
        // Softmax of integers has tables of its own: a step of its 1/256 more.
        Some(quant) if !matches!(node.op, Op::Quantize(_)) => quant,
        _ => return false,
    };
    let mut operands = Vec::new();
    // What a residual is rounded to before it joins the sum: a unit of the accumulator.
    let mut unit = 0.0;
    for (i, &id) in node.inputs.iter().enumerate() {
        let mut real = reals(int8, id, &values[&int8.value(id).name]);
        let layer = node.op.weights().filter(|at| at.bias == Some(i));
        if let Some(at) = layer {
            // A bias counts units of the accumulator.
            let x = int8.value(node.inputs[0]).qparams().expect("int8");
            let w = int8
                .value(node.inputs[at.weight])
                .quant
                .as_ref()
                .expect("int8");
            let units = real.to_f64().into_iter().enumerate();
            let units = units.map(|(c, b)| {
                let one = f64::from(x.scale) * f64::from(w.channel(c).scale);
                unit = f64::max(unit, one);
                b * one
            });
            real.store_f64(&units.collect::<Vec<_>>()).expect("as many");
        }
        operands.push(real);
    }
    let residual = node.op.weights().is_some_and(|at| at.residual.is_some());
    let unit = if residual { unit } else { 0.0 };
    let (want, sizes) = (alone(&node.op, &operands), magnitudes(&node.op, &operands));
    let integers = got.to_f64();
    let (scale, zero) = (f64::from(quant.scales[0]), f64::from(quant.zero_points[0]));
    for (i, (&q, (&real, &size))) in integers.iter().zip(want.iter().zip(&sizes)).enumerate() {
        // Operands and results of the float side are rounded once each.
        let error = U * (4.0 * SLOPE * size + real.abs()) + SLOPE * unit;
        if value.dtype == DType::I32 {
            let channel = quant.scales[i % quant.scales.len()];
            let got = q * f64::from(channel);
            assert!(
                (got - real).abs() <= error,
                "{seed}: {}: {got} {real}",
                node.name
            );
            continue;
        }
        // The integer side: f32 products and sums of a few terms.
        let steps = real / scale;
        let mut slack = error / scale + 4.0 * ulp_f32(steps.abs().max(size / scale).max(1.0));
        // Steps of a table; weights that are integers.
        slack += match node.op {
            Op::Softmax(_) => 1.0,
            Op::Resize(_) => {
                let x = int8.value(node.inputs[0]).qparams().expect("int8");
                0.1 * f64::from(x.scale) / scale
            }
            _ => 0.0,
        };
        let clamp = |x: f64| {
            let (low, high) = (quant.range.qmin, quant.range.qmax);
            (x.round_ties_even() + zero).clamp(f64::from(low), f64::from(high))
        };
        let (low, high) = (clamp(steps - slack), clamp(steps + slack));
        assert!(
            (low..=high).contains(&q),
            "{seed}: {} [{i}] is {q}, {real} is {low} to {high}\n{int8}",
            node.name
        );
    }
    true
}

#[test]
fn files_keep_every_bit() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("random.st");
    for (seed, graph) in networks(4) {
        let inputs = random_inputs(&graph, seed);
        let int8 = calibrated(seed, &graph).map(|(float, params)| {
            quant::freeze(&float, &params, Requant::Fixed).expect("freezes")
        });
        for graph in std::iter::once(graph).chain(int8) {
            Network::new("random", graph.clone())
                .save(&path)
                .unwrap_or_else(|e| panic!("{seed}: {e}"));
            let loaded = match Network::load(&path) {
                Ok(Loaded::Wizen(network)) => network,
                other => panic!("{seed}: {other:?}"),
            };
            assert_eq!(loaded.graph.output_names(), graph.output_names(), "{seed}");
            let (want, got) = (run(&graph, &inputs), run(&loaded.graph, &inputs));
            assert_eq!(want, got, "{seed}\n{graph}");
            // Floats behind the last layer are fused, and round less often.
            let to_floats = graph.nodes().iter().any(|node| {
                let read = |&y: &ValueId| graph.users(y).next().is_some();
                matches!(node.op, Op::Dequantize(_)) && node.outputs.iter().any(read)
            });
            if loaded.precision() == "int8" && !to_floats {
                // Passes leave integers alone: their roundings are part of the network.
                let fused = loaded
                    .runnable()
                    .unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}"));
                assert_eq!(want, run(&fused, &inputs), "{seed}\n{graph}");
            }
        }
    }
}

/// Sets these slices of parameters to zero: those that make the channels, and with `readers` the weights
/// that read them as well.
fn zeroed<'a>(
    graph: &Graph,
    gone: impl IntoIterator<Item = &'a wizen::graph::channels::Group>,
    readers: bool,
) -> Graph {
    let mut out = graph.clone();
    let weights: Vec<ValueId> = graph.nodes().iter().filter_map(quant::weights_of).collect();
    for &((id, axis), at) in gone.into_iter().flat_map(|group| &group.slices) {
        let reads = weights.contains(&id) && axis > 0;
        let Some(tensor) = out.tensor(id).filter(|_| readers || !reads) else {
            continue;
        };
        let mut tensor = tensor.as_ref().clone();
        let shape = tensor.shape().to_vec();
        let inner: usize = shape[axis + 1..].iter().product();
        for (i, x) in tensor.as_f32_mut().expect("f32").iter_mut().enumerate() {
            if i / inner % shape[axis] == at {
                *x = 0.0;
            }
        }
        out.set_tensor(id, tensor).expect("the same shape");
    }
    out
}

/// A network without these channels gives what it gives when they and the weights that read them are zero;
/// and where no function makes something of nothing, already when only what makes them is zero. Both sums
/// have the same terms but for products with zero, which change no bit.
#[test]
fn thinned_networks_equal_those_with_zeros() {
    let (mut thinned, mut by_makers) = (0, 0);
    for (seed, graph) in networks(4) {
        let mut rng = Rng::new(seed).fork(6);
        let inputs = random_inputs(&graph, seed);
        let mut gone = Vec::new();
        let families = prune::families(&graph).expect("well formed");
        for family in &families {
            let mut groups: Vec<_> = family.groups.iter().collect();
            rng.shuffle(&mut groups);
            let some = rng.below(groups.len());
            gone.extend(groups.into_iter().take(some));
        }
        if gone.is_empty() {
            continue;
        }
        let thin = prune::thin(&graph, gone.iter().copied());
        let thin = thin.unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}"));
        let want = run(&zeroed(&graph, gone.iter().copied(), true), &inputs);
        let got = run(&thin, &inputs);
        assert_eq!(got, want, "{seed}: {graph}\nthinned: {thin}");
        thinned += 1;
        if keeps_zero(&graph) {
            let want = run(&zeroed(&graph, gone.iter().copied(), false), &inputs);
            assert_eq!(got, want, "{seed}: {graph}\nthinned: {thin}");
            by_makers += 1;
        }
    }
    assert!(thinned > 10 && by_makers > 5, "{thinned} {by_makers}");
}
