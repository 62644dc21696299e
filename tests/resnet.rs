//! Residual networks: every graph pass against the graph before it, foreign weights with every mistake, int8
//! equal on both devices. Small random networks; `resnet18.rs` has the real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use wizen::base::{DType, Requant, Rng, Tensor};
use wizen::gpu::{Caps, Gpu};
use wizen::graph::ops::{BatchNorm, Binary, Map};
use wizen::graph::{
    CpuSession, Device, Graph, LowerOptions, Node, Op, SessionOptions, ValueId, compare_steps,
    lower, lower_with, optimize, sqnr_db,
};
use wizen::models::{self, Foreign, ResNet, Shortcut, Weights};
use wizen::quant::{self, Observer, Scheme};

use crate::harness;

/// CIFAR-style, two stages: every kind of layer that ResNet18 has but the large stem.
fn small() -> ResNet {
    ResNet {
        image: 12,
        channels: 3,
        stem: 3,
        stem_width: 8,
        stages: vec![(2, 8), (1, 20)],
        bottleneck: false,
        shortcut: Shortcut::Projection,
        classes: 7,
    }
}

/// Random weights; batch norms far from the identity.
pub fn random(net: &ResNet, seed: u64) -> Weights {
    let mut rng = Rng::new(seed).fork(9);
    let mut weights = models::random_params(&net.params(), seed).expect("fits in memory");
    for (name, tensor) in &mut weights {
        let norm = name.starts_with("bn") || name.contains(".bn") || name.contains("downsample.1");
        if !norm {
            continue;
        }
        let (low, high) = match name.rsplit_once('.') {
            Some((_, "weight")) => (0.5, 1.5),
            Some((_, "running_var")) => (0.3, 2.0),
            _ => (-0.5, 0.5),
        };
        let values: Vec<f32> = (0..tensor.len()).map(|_| rng.range(low, high)).collect();
        *tensor = Tensor::from_f32(tensor.shape(), &values).expect("the same shape");
    }
    weights
}

fn images(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::new(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.range(-2.0, 2.5))
        .collect();
    Tensor::from_f32(shape, &values).expect("as many as the shape says")
}

fn run(graph: &Graph, inputs: &[&Tensor]) -> Vec<f64> {
    let plan = Arc::new(lower(graph, &Caps::portable()).expect("lowers"));
    let mut cpu = CpuSession::new(plan, false);
    cpu.run(inputs).expect("runs")[0].to_f64()
}

/// Every activation of a run on the CPU references, by name.
fn trace(graph: &Graph, x: &Tensor) -> BTreeMap<String, Tensor> {
    let plan = Arc::new(lower(graph, &Caps::portable()).expect("lowers"));
    let mut cpu = CpuSession::new(Arc::clone(&plan), true);
    let values = cpu.trace(&[x]).expect("runs");
    let named = plan.values.iter().zip(values);
    named
        .filter_map(|(value, tensor)| Some((value.name.clone(), tensor?)))
        .collect()
}

/// A graph of one node, its operands given: activations as inputs, parameters as they are.
fn alone(graph: &Graph, node: &Node, operands: &[Tensor], magnitudes: bool) -> Vec<f64> {
    let mut single = Graph::new();
    let mut inputs = Vec::new();
    let ids: Vec<ValueId> = node
        .inputs
        .iter()
        .zip(operands)
        .enumerate()
        .map(|(i, (_, tensor))| {
            let tensor = if magnitudes {
                magnitudes_of(tensor)
            } else {
                tensor.clone()
            };
            let id = single.input(&format!("x{i}"), tensor.dtype(), tensor.shape());
            inputs.push(tensor);
            id
        })
        .collect();
    let y = single
        .push(&node.name, node.op.clone(), &ids)
        .unwrap_or_else(|e| panic!("{} of {graph}: {e}", node.name));
    single.output(y);
    run(&single, &inputs.iter().collect::<Vec<_>>())
}

fn magnitudes_of(tensor: &Tensor) -> Tensor {
    let values: Vec<f32> = tensor.to_f32().iter().map(|x| x.abs()).collect();
    Tensor::from_f32(tensor.shape(), &values).expect("the same shape")
}

/// The value of the graph before the passes that a fused node's result stands for, and the nodes on the way
/// from the node of the same name.
fn stands_for<'g>(before: &'g Graph, fused: &Node) -> Vec<&'g Node> {
    let first = before.nodes().iter().find(|node| node.name == fused.name);
    let mut way = vec![first.expect("passes keep the names of layers")];
    let (mut relu, mut add) = match &fused.op {
        Op::Conv2d(op) => (op.act.is_some(), op.residual),
        Op::Linear(op) => (op.act.is_some(), false),
        _ => return way,
    };
    let mut norm = true;
    loop {
        let y = way[way.len() - 1].outputs[0];
        let mut users = before.users(y);
        let (Some(user), None) = (users.next(), users.next()) else {
            return way;
        };
        let taken = match &user.op {
            Op::BatchNorm(_) => std::mem::take(&mut norm),
            Op::Binary(_) => std::mem::take(&mut add),
            Op::Map(_) => std::mem::take(&mut relu),
            _ => false,
        };
        if !taken {
            return way;
        }
        way.push(user);
    }
}

/// Half a unit in the last place of f32, relative.
const U: f64 = 1.0 / (1u64 << 24) as f64;

#[test]
fn passes_keep_every_layer_within_the_computed_bound() {
    let net = small();
    let before = net
        .graph(2, &random(&net, harness::seed()))
        .expect("builds");
    let after = optimize(&before).expect("well formed");
    println!("before:\n{before}\nafter:\n{after}");
    let count = |graph: &Graph, op: &str| {
        let of = graph.nodes().iter().filter(|node| node.op.name() == op);
        of.count()
    };
    for gone in [
        Op::from(Map::RELU),
        Binary::ADD.into(),
        BatchNorm { eps: 0.0 }.into(),
    ] {
        assert!(count(&before, &gone.name()) > 0);
        assert_eq!(count(&after, &gone.name()), 0, "{gone:?} is left:\n{after}");
    }
    let fused = every_layer_agrees(&before, &after);
    assert_eq!(fused, 8, "every convolution was fused with something");
}

/// Runs each layer of `after` on what came out of the layers of `before`, and compares; returns how many
/// layers stand for several.
fn every_layer_agrees(before: &Graph, after: &Graph) -> usize {
    let shape = before.value(before.inputs()[0]).shape.clone();
    let x = images(&shape, harness::seed());
    let values = trace(before, &x);
    let value = |name: &str| -> &Tensor { if name == "images" { &x } else { &values[name] } };
    // What each activation after the passes is called before them.
    let mut old_name = BTreeMap::from([("images".to_owned(), "images".to_owned())]);
    let mut compared = 0;
    for fused in after.nodes() {
        let way = stands_for(before, fused);
        let last = way[way.len() - 1];
        old_name.insert(fused.name.clone(), last.name.clone());
        let operands: Vec<Tensor> = fused
            .inputs
            .iter()
            .map(|&id| match after.tensor(id) {
                Some(tensor) => tensor.as_ref().clone(),
                None => value(&old_name[&after.value(id).name]).clone(),
            })
            .collect();
        let got = alone(after, fused, &operands, false);
        let want = value(&last.name).to_f64();
        if way.len() == 1 {
            assert_eq!(got, want, "{} was not touched", fused.name);
            continue;
        }
        // After: weights, bias and result are rounded once. Before: the result of every node is; what batch
        // norm multiplies it multiplies the error of.
        let sizes = alone(after, fused, &operands, true);
        let channels = *after.value(fused.outputs[0]).shape.last().expect("images");
        for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
            let mut bound = U * (2.0 * sizes[i] + got.abs());
            for node in &way {
                let size = value(&node.name).to_f64()[i].abs();
                let mut factor = 1.0;
                if let Some(norm) = way.iter().find(|n| matches!(n.op, Op::BatchNorm(_)))
                    && node.name == way[0].name
                {
                    let param = |at: usize| {
                        let tensor = before.tensor(norm.inputs[at]).expect("a parameter");
                        tensor.to_f64()[i % channels]
                    };
                    factor = (param(1) / param(4).sqrt()).abs();
                }
                bound += U * factor * size;
            }
            // Products of two roundings.
            bound *= 1.0 + 1e-6;
            let difference = (got - want).abs();
            assert!(
                difference <= bound,
                "{} [{i}]: {got} for {want}, bound {bound:e}",
                fused.name
            );
        }
        compared += 1;
    }
    compared
}

#[test]
fn shortcuts_slice_and_pad() {
    let net = ResNet {
        shortcut: Shortcut::Pad,
        image: 11,
        ..small()
    };
    let weights = random(&net, 4);
    assert!(weights.keys().all(|name| !name.contains("downsample")));
    let (_, imported) = import(None, &foreign(&weights)).expect("complete");
    assert_eq!(imported, weights);
    let graph = net.graph(2, &weights).expect("builds");
    let values = trace(&graph, &images(&[2, 11, 11, 3], 5));
    let (x, y) = (&values["layer1.1.relu"], &values["layer2.0.pad"]);
    assert_eq!(
        (x.shape(), y.shape()),
        (&[2, 11, 11, 8][..], &[2, 6, 6, 20][..])
    );
    let (x, y) = (x.to_f32(), y.to_f32());
    for (i, &y) in y.iter().enumerate() {
        let (n, row, column, c) = (i / 720, i / 120 % 6, i / 20 % 6, i % 20);
        let inside = (6..14).contains(&c);
        let from = ((n * 11 + 2 * row) * 11 + 2 * column) * 8 + c.saturating_sub(6);
        assert_eq!(y, if inside { x[from] } else { 0.0 }, "{i}");
    }
    let odd = ResNet {
        stages: vec![(1, 8), (1, 13)],
        ..net
    };
    let error = odd
        .graph(1, &random(&odd, 4))
        .expect_err("five channels more")
        .to_string();
    assert!(error.contains("8 channels to 13"), "{error}");
}

#[test]
fn each_pass_alone_keeps_the_result() {
    use wizen::graph::{fold_batch_norm, fuse_activations, fuse_residual};
    let net = small();
    let graph = net.graph(1, &random(&net, 5)).expect("builds");
    let x = images(&[1, 12, 12, 3], 6);
    // ReLU and addition move no rounding but their own: the CPU references keep f32 between nodes.
    let folded = fold_batch_norm(&graph).expect("folds");
    let rectified = fuse_activations(&folded, |_| true).expect("fuses");
    assert_eq!(run(&folded, &[&x]), run(&rectified, &[&x]));
    let joined = fuse_residual(&rectified).expect("fuses");
    assert_eq!(joined.nodes().len() + 3, rectified.nodes().len());
    assert_ne!(run(&graph, &[&x]), vec![0.0; 7]);
}

/// The float network as the scheme wants it, and its integer network, calibrated on four batches.
fn quantized(gpu: &Gpu, graph: &Graph, scheme: &str, requant: Requant) -> (Graph, Graph) {
    let scheme: Scheme = scheme.parse().expect("a scheme");
    let float = quant::prepare(graph, scheme).expect("well formed");
    let batches = (0..4).map(|i| Ok(vec![images(&[2, 12, 12, 3], 100 + i)]));
    let schemes = scheme.into();
    let observer = Observer::for_scheme(scheme);
    let device = Device::Gpu(gpu.clone());
    let found = quant::calibrate(&device, &float, batches, observer, &schemes);
    let found = pollster::block_on(found).expect("calibrates");
    let weights = quant::choose_weights(&float, &schemes, None).expect("finite");
    let int8 = quant::freeze(&float, &found.with_weights(weights), requant).expect("freezes");
    (float, int8)
}

#[test]
fn int8_is_equal_on_both_devices_and_close_to_float() {
    let Some(gpu) = harness::gpu() else { return };
    let net = small();
    let graph = net.graph(2, &random(&net, 3)).expect("builds");
    let x = images(&[2, 12, 12, 3], 17);
    let sqnr = |(float, low): &(Graph, Graph)| {
        sqnr_db(&run(float, &[&x]), &run(low, &[&x])).expect("integers are not exact")
    };
    // Each beside one with two bits less: PyTorch's activations have 7.
    for (scheme, requant, less) in [
        ("int8", Requant::Fixed, "w6a6"),
        ("int8", Requant::Float, "w6a6"),
        ("int8-torch", Requant::Float, "w6a5"),
        ("int8-onnx", Requant::Fixed, "w6a6"),
    ] {
        let made = quantized(&gpu, &graph, scheme, requant);
        let int8 = &made.1;
        let floats = int8.nodes().iter().filter(|node| {
            let y = int8.value(node.outputs[0]).dtype;
            y == DType::F32 && node.outputs[0] != int8.outputs()[0]
        });
        assert_eq!(floats.count(), 0, "no float tensor in between:\n{int8}");

        let plan = lower(int8, gpu.caps()).expect("lowers");
        let device = Device::Gpu(gpu.clone());
        let mut on_gpu = pollster::block_on(device.load_with(
            plan,
            SessionOptions {
                trace: true,
                ..Default::default()
            },
        ))
        .expect("loads");
        let trace = pollster::block_on(on_gpu.trace(&[&x])).expect("runs");
        for step in compare_steps(on_gpu.plan(), &trace).expect("runs") {
            assert_eq!(step.mismatches, 0, "{scheme} {requant:?}: {step:?}");
            if requant == Requant::Fixed && step.kernel != "quantize_i8" {
                assert_eq!(step.differing, 0, "{scheme}: {step:?}");
            }
        }
        let (db, floor) = (sqnr(&made), sqnr(&quantized(&gpu, &graph, less, requant)));
        println!("{scheme} {requant:?}: {db:.1} dB, {less} {floor:.1} dB");
        assert!(db > floor, "{scheme}: {db} dB, {less}: {floor} dB");
    }
}

#[test]
fn fp16_agrees_with_the_references_packed_and_native() {
    let Some(gpu) = harness::gpu() else { return };
    let net = small();
    let graph = net.graph(2, &random(&net, 3)).expect("builds");
    let half = quant::to_f16(&optimize(&graph).expect("well formed"), &Default::default())
        .expect("small weights");
    let x = images(&[2, 12, 12, 3], 23);
    let device = Device::Gpu(gpu.clone());
    for native_f16 in [false, true] {
        if native_f16 && !gpu.caps().f16 {
            continue;
        }
        let plan = lower_with(
            &half,
            gpu.caps(),
            LowerOptions {
                native_f16,
                ..Default::default()
            },
        )
        .expect("lowers");
        let options = SessionOptions {
            trace: true,
            ..Default::default()
        };
        let mut on_gpu = pollster::block_on(device.load_with(plan, options)).expect("loads");
        let trace = pollster::block_on(on_gpu.trace(&[&x])).expect("runs");
        for step in compare_steps(on_gpu.plan(), &trace).expect("runs") {
            assert_eq!(step.mismatches, 0, "native {native_f16}: {step:?}");
        }
    }
}

/// The tensors of a foreign file: OIHW filters.
pub fn foreign(weights: &Weights) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let turned = |tensor: &Tensor| -> (Vec<usize>, Vec<f32>) {
        let data = tensor.to_f32();
        let [o, h, w, i] = match *tensor.shape() {
            [o, h, w, i] => [o, h, w, i],
            ref other => return (other.to_vec(), data),
        };
        let mut out = Vec::new();
        for at in 0..data.len() {
            let (x, y, c, n) = (at % w, at / w % h, at / (w * h) % i, at / (w * h * i));
            out.push(data[((n * h + y) * w + x) * i + c]);
        }
        (vec![o, i, h, w], out)
    };
    let tensors = weights.iter();
    tensors
        .map(|(name, tensor)| {
            let (shape, data) = turned(tensor);
            (name.clone(), shape, data)
        })
        .collect()
}

fn import(
    arch: Option<&str>,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
) -> wizen::Result<(String, Weights)> {
    let tensors: Vec<Foreign<'_>> = tensors
        .iter()
        .map(|(name, shape, data)| (name.as_str(), shape.as_slice(), data.clone()))
        .collect();
    let found = models::import(arch, &tensors)?;
    Ok((found.arch, found.weights))
}

#[test]
fn foreign_weights_come_in_whole_or_not_at_all() {
    let net = small();
    let weights = random(&net, 4);
    let mut tensors = foreign(&weights);
    assert_eq!(
        import(None, &tensors).expect("complete"),
        ("resnet8".into(), weights.clone())
    );
    // Counters are ignored; other words for the same things are known.
    tensors.push(("bn1.num_batches_tracked".into(), vec![], vec![7.0]));
    for tensor in &mut tensors {
        tensor.0 = format!("module.{}", tensor.0.replace("downsample", "shortcut"))
            .replace("module.fc.", "module.linear.");
    }
    assert_eq!(import(None, &tensors).expect("complete").1, weights);

    let mut broken = foreign(&weights);
    broken.retain(|(name, _, _)| name != "layer2.0.bn1.bias");
    broken.push(("layer2.0.se.weight".into(), vec![1], vec![0.0]));
    for (name, shape, _) in &mut broken {
        if name == "layer1.1.conv2.weight" {
            *shape = vec![8, 8, 9, 1];
        }
    }
    let error = import(None, &broken).expect_err("broken").to_string();
    for part in [
        "missing: `layer2.0.bn1.bias`",
        "of another shape: `layer1.1.conv2.weight` [8, 8, 9, 1], expected [8, 8, 3, 3]",
        "unexpected: `layer2.0.se.weight`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = import(Some("resnet18"), &tensors)
        .expect_err("another")
        .to_string();
    assert!(
        error.contains("missing: ") && error.contains(" more"),
        "{error}"
    );
    let error = import(Some("resnet19"), &tensors)
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("there is no architecture `resnet19`"),
        "{error}"
    );
}

#[test]
fn other_residual_networks_build_and_run() {
    let tiny = |bottleneck, stem, image| ResNet {
        image,
        channels: 3,
        stem,
        stem_width: 4,
        stages: vec![(1, 4), (1, 6)],
        bottleneck,
        shortcut: Shortcut::Projection,
        classes: 3,
    };
    for net in [tiny(true, 3, 8), tiny(false, 7, 32), tiny(true, 7, 40)] {
        let weights = random(&net, 8);
        let (arch, imported) = import(None, &foreign(&weights)).expect("complete");
        assert_eq!((&arch, &imported), (&net.name(), &weights));
        let graph = net.graph(2, &weights).expect("builds");
        let after = optimize(&graph).expect("well formed");
        let convolutions = net
            .params()
            .iter()
            .filter(|(_, shape)| shape.len() == 4)
            .count();
        assert_eq!(every_layer_agrees(&graph, &after), convolutions, "{arch}");
    }
}
