//! Gradients of random networks against finite differences.

use std::sync::Arc;

use wizen::base::{Rng, Tensor};
use wizen::gpu::Caps;
use wizen::graph::ops::{Binary, MeanSquare, Op};
use wizen::graph::{CpuSession, Graph, Node, ValueId, backward, lower};

use super::generate::random_inputs;
use super::{networks, references, run};

/// Gradients of the sum of mean squares of all results, at some elements of some parameters.
#[test]
fn gradients_are_those_of_central_differences() {
    let mut checked = 0;
    for (seed, graph) in networks(4) {
        checked += gradients(seed, graph);
    }
    println!("{checked} elements");
    assert!(checked > 200, "only {checked} elements were compared");
}

fn gradients(seed: u64, mut graph: Graph) -> usize {
    let mut rng = Rng::new(seed).fork(5);
    let inputs = random_inputs(&graph, seed);
    let mut loss: Option<ValueId> = None;
    for (i, y) in graph.outputs().to_vec().into_iter().enumerate() {
        let shape = graph.value(y).shape.clone();
        let wanted: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        let wanted = Tensor::from_f32(&shape, &wanted).expect("as many");
        let wanted = graph.param(&format!("wanted{i}"), wanted);
        let one = graph.push(&format!("loss{i}"), MeanSquare, &[y, wanted]);
        let one = one.expect("one shape");
        loss = Some(match loss {
            Some(sum) => graph
                .push(&format!("sum{i}"), Binary::ADD, &[sum, one])
                .expect("numbers"),
            None => one,
        });
    }
    let loss = loss.expect("there is a result");
    let learned = |node: &Node, i: usize| match node.op {
        // The gradient of running statistics is nobody's.
        Op::BatchNorm(_) => matches!(i, 1 | 2),
        Op::MeanSquare(_) => false,
        _ => true,
    };
    let mut params: Vec<ValueId> = Vec::new();
    for node in graph.nodes() {
        for (i, &id) in node.inputs.iter().enumerate() {
            if graph.tensor(id).is_some() && learned(node, i) {
                params.push(id);
            }
        }
    }
    rng.shuffle(&mut params);
    params.truncate(4);
    graph.set_outputs(vec![loss]);
    let forward = graph.clone();
    let found = backward(&mut graph, loss, &params).unwrap_or_else(|e| panic!("{seed}: {e}"));
    graph.set_outputs(params.iter().map(|p| found[p]).collect());
    let plan = Arc::new(lower(&forward, &Caps::portable()).expect("lowers"));
    let mut cpu = CpuSession::new(plan, false);
    let mut checked = 0;
    for (&param, got) in params.iter().zip(run(&graph, &inputs)) {
        let tensor = forward.tensor(param).expect("a parameter").as_ref().clone();
        let name = &forward.value(param).name;
        let got = got.to_f64();
        for _ in 0..6 {
            let i = rng.below(got.len());
            let h = 1e-2;
            let mut at = |delta: f32| -> f64 {
                let mut moved = tensor.clone();
                moved.as_f32_mut().expect("f32")[i] += delta;
                cpu.write(name, &moved).expect("the same shape");
                cpu.run(&references(&inputs)).expect("runs")[0].to_f64()[0]
            };
            let here = at(0.0);
            let size = here.abs().max(1.0);
            // Richardson: the error of central differences falls with h⁴.
            let mut differences = |h: f32| {
                let (above, below, h) = (at(h), at(-h), f64::from(h));
                let bend = (above - 2.0 * here + below) / h;
                ((above - below) / (2.0 * h), bend)
            };
            let ((far, far_bend), (near, near_bend)) = (differences(h), differences(h / 2.0));
            let want = (4.0 * near - far) / 3.0;
            // Losses are f32, and so is everything between the nodes: differences over h carry the rounding.
            let rounding = 16.0 * size * f64::from(f32::EPSILON) / f64::from(h);
            // A kink of a function or of max-pool within h: there is no derivative to compare with.
            if (far - near).abs() > 2e-4 * near.abs() + rounding / 4.0 {
                continue;
            }
            // Right at the kink both differences see half of it; its bend does not fall with h.
            if (2.0 * near_bend - far_bend).abs() > 2e-3 * near.abs() + rounding {
                continue;
            }
            let tolerance = 2e-3 * want.abs().max(got[i].abs()) + rounding;
            assert!(
                (got[i] - want).abs() <= tolerance,
                "{seed}: d loss / d {name}[{i}] = {}, finite differences say {want} ± {tolerance}\n{forward}",
                got[i]
            );
            checked += 1;
        }
        cpu.write(name, &tensor).expect("the same shape");
    }
    checked
}
