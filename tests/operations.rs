//! What single operations promise of themselves, on networks of one node or two.

use std::sync::Arc;

use wizen::base::{DType, Tensor};
use wizen::gpu::Caps;
use wizen::graph::ops::{Op, Reshape, Transpose};
use wizen::graph::{CpuSession, Graph, lower};

/// A network of one operation on one input of these values.
fn graph_of(op: impl Into<Op>, shape: &[usize]) -> wizen::Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, shape);
    let y = graph.push("y", op, &[x])?;
    graph.output(y);
    Ok(graph)
}

fn run(graph: &Graph, x: &Tensor) -> Tensor {
    let plan = lower(graph, &Caps::portable()).expect("lowers");
    let mut session = CpuSession::new(Arc::new(plan), false);
    session.run(&[x]).expect("runs").swap_remove(0)
}

fn refused(op: impl Into<Op>, shape: &[usize]) -> String {
    graph_of(op, shape).expect_err("refused").to_string()
}

fn counted(shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let data: Vec<f32> = (0..len).map(|i| i as f32).collect();
    Tensor::from_f32(shape, &data).expect("as many")
}

#[test]
fn a_reshape_may_leave_the_batch_open() {
    let graph = graph_of(Reshape { to: vec![0, 6] }, &[2, 2, 3]).expect("fits");
    let larger = graph.with_batch(5).expect("any batch");
    assert_eq!(run(&larger, &counted(&[5, 2, 3])).shape(), [5, 6]);
    let fixed = graph_of(Reshape { to: vec![2, 6] }, &[2, 2, 3]).expect("fits");
    assert!(fixed.with_batch(5).is_err());
    let error = refused(Reshape { to: vec![0, 5] }, &[2, 2, 3]);
    assert!(error.contains("as many elements as [2, 5]"), "{error}");
    refused(Reshape { to: vec![0, 0] }, &[2, 2, 3]);
    refused(Reshape { to: vec![0] }, &[]);
}

#[test]
fn a_transpose_of_nothing_is_no_step() {
    let order = vec![0, 2, 1, 3];
    let graph = graph_of(Transpose { order }, &[2, 5, 1, 3]).expect("fits");
    let plan = lower(&graph, &Caps::portable()).expect("lowers");
    assert!(plan.steps.len() <= 1, "only the copy that a result needs");
    let y = run(&graph, &counted(&[2, 5, 1, 3]));
    assert_eq!(y.shape(), [2, 1, 5, 3]);
    assert_eq!(y.words(), counted(&[2, 5, 1, 3]).words());
    let order = vec![1, 0];
    let graph = graph_of(Transpose { order }, &[2, 3]).expect("fits");
    assert_eq!(
        run(&graph, &counted(&[2, 3])).to_f32(),
        [0., 3., 1., 4., 2., 5.]
    );
    let error = refused(Transpose { order: vec![0, 0] }, &[2, 3]);
    assert!(error.contains("every axis"), "{error}");
}
