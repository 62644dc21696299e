//! Random networks written as ONNX and read again.

use std::collections::BTreeMap;

use wizen::base::{Requant, Tensor};
use wizen::graph::{CpuSession, Graph, lower};
use wizen::quant;
use wizen::{Network, onnx};

use crate::random_graphs::generate::random_inputs;
use crate::random_graphs::{calibrated, networks};

/// Results by name, on the references.
fn run(graph: &Graph, inputs: &[Tensor]) -> BTreeMap<String, Vec<f64>> {
    let plan = lower(graph, &wizen::gpu::Caps::portable()).expect("lowers");
    let mut session = CpuSession::new(plan.into(), false);
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let outputs = session.run(&inputs).expect("runs");
    let values = outputs.iter().map(Tensor::to_f64);
    graph.output_names().iter().cloned().zip(values).collect()
}

/// The same network, or `None` where ONNX has no operator for one of its operations.
fn again(seed: u64, graph: &Graph) -> Option<Graph> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("network.onnx");
    match onnx::write(&Network::new("random", graph.clone()), &path) {
        Ok(_) => {}
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains("ONNX has no operator"), "{seed}: {error}");
            return None;
        }
    }
    let read = onnx::read(&path, &[]).unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}"));
    let batched = read.graph.with_batch(graph.batch());
    Some(batched.unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}")))
}

#[test]
fn floats_are_what_they_were() {
    let mut seen = 0;
    for (seed, graph) in networks(2) {
        let Some(read) = again(seed, &graph) else {
            continue;
        };
        seen += 1;
        let inputs = random_inputs(&graph, seed);
        let (want, got) = (run(&graph, &inputs), run(&read, &inputs));
        assert_eq!(want.len(), got.len(), "{seed}\n{graph}");
        for (name, want) in &want {
            let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
            let off = want.iter().zip(&got[name]).map(|(w, g)| (w - g).abs());
            let off = off.fold(0.0, f64::max);
            assert!(
                off <= 1e-4 * largest,
                "{seed} {name}: {off}\n{graph}\n{read}"
            );
        }
    }
    assert!(seen > 40, "{seen} networks were written");
}

/// What was integers is integers again, and gives the same ones.
#[test]
fn integers_are_what_they_were() {
    let mut seen = 0;
    for (seed, graph) in networks(2) {
        let Some((float, params)) = calibrated(seed, &graph) else {
            continue;
        };
        let int8 = quant::freeze(&float, &params, Requant::Fixed).expect("freezes");
        let Some(read) = again(seed, &int8) else {
            continue;
        };
        seen += 1;
        let inputs = random_inputs(&graph, seed);
        assert_eq!(
            run(&int8, &inputs),
            run(&read, &inputs),
            "{seed}\n{int8}\n{read}"
        );
    }
    assert!(seen > 30, "{seen} networks were written");
}
