//! Passes over random networks: each layer of what they make, beside the layers it stands for.

use std::collections::BTreeMap;

use wizen::base::{DType, Tensor};
use wizen::graph::ops::{Binary, Op};
use wizen::graph::{Graph, Node, ValueId, equalize, optimize, scalable};

use wizen::kernels::binary::BinaryOp;

use super::generate::random_inputs;
use super::{U, networks, run, trace};

/// A node by itself on float operands.
pub fn alone(op: &Op, operands: &[Tensor]) -> Vec<f64> {
    let mut graph = Graph::new();
    let named = operands.iter().enumerate();
    let ids: Vec<ValueId> = named
        .map(|(i, x)| graph.input(&format!("x{i}"), DType::F32, x.shape()))
        .collect();
    let y = graph.push("y", op.clone(), &ids);
    graph.output(y.unwrap_or_else(|e| panic!("{op:?}: {e}")));
    run(&graph, operands)[0].to_f64()
}

/// How large the terms of a result are together, element by element: its rounding errors are multiples of
/// that. What follows a sum is left out: no function has a slope above [`SLOPE`].
pub fn magnitudes(op: &Op, operands: &[Tensor]) -> Vec<f64> {
    let sizes: Vec<Tensor> = operands
        .iter()
        .map(|x| {
            let sizes: Vec<f32> = x.to_f32().iter().map(|x| x.abs()).collect();
            Tensor::from_f32(x.shape(), &sizes).expect("the same shape")
        })
        .collect();
    match op.clone() {
        Op::Map(_) | Op::Softmax(_) => sizes[0].to_f64(),
        Op::Linear(mut op) => {
            op.act = None;
            alone(&op.into(), &sizes)
        }
        Op::Conv2d(mut op) => {
            op.act = None;
            alone(&op.into(), &sizes)
        }
        Op::Binary(mut op) => {
            op.act = None;
            // Nothing cancels; of two, either may be the one.
            op.op = match op.op {
                BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow => op.op,
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Min | BinaryOp::Max => BinaryOp::Add,
                BinaryOp::Prelu => {
                    let product = alone(&Binary::MUL.into(), &sizes);
                    let kept = alone(&Binary::PRELU.into(), &sizes);
                    return product.iter().zip(kept).map(|(a, b)| a.max(b)).collect();
                }
            };
            alone(&op.into(), &sizes)
        }
        other => alone(&other, &sizes),
    }
}

/// No function is steeper: SELU has `alpha · gamma` below 0.
pub const SLOPE: f64 = 1.76;

/// What a node of the fused network stands for: nodes before the passes, first to last.
fn stands_for<'g>(before: &'g Graph, after: &Graph, fused: &Node) -> Vec<&'g Node> {
    let first = before.nodes().iter().find(|node| node.name == fused.name);
    let mut way = vec![first.expect("passes keep the names of layers")];
    let mut add = matches!(&fused.op, Op::Conv2d(op) if op.residual);
    loop {
        let y = way[way.len() - 1].outputs[0];
        let mut users = before.users(y);
        let (Some(user), None) = (users.next(), users.next()) else {
            return way;
        };
        let taken = match user.op {
            // A constant joins the layer's own.
            Op::Binary(_) if user.inputs.iter().any(|&x| before.tensor(x).is_some()) => true,
            Op::Binary(_) => std::mem::take(&mut add),
            _ => true,
        };
        if !taken || after.nodes().iter().any(|node| node.name == user.name) {
            return way;
        }
        way.push(user);
    }
}

/// Each fused layer, on what the nodes before the passes were given, within the bound of both sides.
#[test]
fn passes_keep_every_layer() {
    let mut fused_layers = 0;
    for (seed, before) in networks(4) {
        let after = optimize(&before).expect("well formed");
        let inputs = random_inputs(&before, seed);
        let values = trace(&before, &inputs);
        let names = |graph: &Graph| -> Vec<(String, Vec<usize>)> {
            let shape = |id: &ValueId| graph.value(*id).shape.clone();
            let outputs = graph.outputs().iter().map(shape);
            graph.output_names().iter().cloned().zip(outputs).collect()
        };
        assert_eq!(names(&before), names(&after), "{seed}");
        // What each value after the passes is called before them.
        let mut old: BTreeMap<String, String> = BTreeMap::new();
        for node in after.nodes() {
            let way = stands_for(&before, &after, node);
            let last = way[way.len() - 1];
            old.insert(node.name.clone(), last.name.clone());
            let operand = |id: &ValueId| match after.tensor(*id) {
                Some(tensor) => tensor.as_ref().clone(),
                None => {
                    let name = &after.value(*id).name;
                    values[old.get(name).unwrap_or(name)].clone()
                }
            };
            let operands: Vec<Tensor> = node.inputs.iter().map(operand).collect();
            let (got, want) = (alone(&node.op, &operands), values[&last.name].to_f64());
            if way.len() == 1 {
                assert_eq!(got, want, "{seed}: {} was not touched", node.name);
                continue;
            }
            fused_layers += 1;
            // After: weights, bias and result are rounded once. Before: the result of every node is; what
            // batch norm multiplies it multiplies the error of, and a function by its slope.
            let sizes = magnitudes(&node.op, &operands);
            let channels = *before
                .value(last.outputs[0])
                .shape
                .last()
                .expect("not empty");
            let norm = way.iter().find(|n| matches!(n.op, Op::BatchNorm(_)));
            for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
                let mut bound = 2.0 * sizes[i];
                for (at, one) in way.iter().enumerate() {
                    let mut factor = 1.0;
                    if let (Some(norm), 0) = (norm, at) {
                        let of = |at: usize| {
                            let tensor = before.tensor(norm.inputs[at]).expect("a parameter");
                            tensor.to_f64()[i % channels]
                        };
                        factor = (of(1) / of(4).sqrt()).abs();
                    }
                    bound += factor * values[&one.name].to_f64()[i].abs();
                }
                // Products of two roundings.
                let bound = U * (SLOPE * bound + got.abs()) * (1.0 + 1e-6);
                assert!(
                    (got - want).abs() <= bound,
                    "{seed}: {} [{i}]: {got} for {want}, bound {bound:e}\n{before}",
                    node.name
                );
            }
        }
        // Results are the same values under the same names.
        for (&a, &b) in after.outputs().iter().zip(before.outputs()) {
            let name = &after.value(a).name;
            assert_eq!(old[name], before.value(b).name, "{seed}");
        }
    }
    assert!(fused_layers > 20, "{fused_layers} layers were fused");
}

/// What one layer multiplies the next divides by: results and all that cannot be scaled are what they were.
#[test]
fn equalized_networks_compute_the_same() {
    let mut scaled = 0;
    for (seed, before) in networks(4) {
        let before = optimize(&before).expect("well formed");
        let inputs = random_inputs(&before, seed);
        let values = trace(&before, &inputs);
        let mut peaks = BTreeMap::new();
        for id in scalable(&before) {
            let value = before.value(id);
            let channels = *value.shape.last().expect("channels");
            let mut peak = vec![0f32; channels];
            for (i, x) in values[&value.name].to_f32().iter().enumerate() {
                peak[i % channels] = peak[i % channels].max(x.abs());
            }
            peaks.insert(value.name.clone(), peak);
        }
        let after = equalize(&before, &peaks).expect("well formed");
        let others = trace(&after, &inputs);
        for &id in before.nodes().iter().flat_map(|node| &node.outputs) {
            let name = &before.value(id).name;
            let tensor = &values[name];
            if peaks.contains_key(name) {
                scaled += usize::from(others[name].to_f64() != tensor.to_f64());
                continue;
            }
            let want = tensor.to_f64();
            let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
            for (want, got) in want.iter().zip(others[name].to_f64()) {
                assert!(
                    (want - got).abs() <= 1e-4 * largest,
                    "{seed}: {name}: {got} for {want}\n{before}"
                );
            }
        }
    }
    assert!(scaled > 50, "{scaled} activations were scaled");
}
