//! Operations that networks of other frameworks bring: gradients, other batches, channels, plans. No GPU.

use wizen::base::{DType, Rng, Tensor};
use wizen::gpu::Caps;
use wizen::graph::channels::Ties;
use wizen::graph::ops::{
    ArgMax, Binary, Concat, Conv2d, Coordinates, Flatten, Linear, LogSoftmax, NearestRounding, Op,
    Pad, PadMode, Reduce, ReduceKind, Reshape, Resize, ResizeMode, Slice, Transpose,
};
use wizen::graph::{Graph, ValueId, lower};
use wizen::kernels::Conv;

use crate::grad::{check, param};

/// Gradients of one operation on an image, in front of a linear layer.
fn gradient(name: &str, shape: &[usize], op: impl Into<Op>) {
    let op = op.into();
    check(name, |g, rng| {
        let x = param(g, rng, "x", shape);
        let y = g.push("y", op.clone(), &[x]).expect("fits");
        let flat = g.push("flat", Flatten, &[y]).expect("fits");
        let k = g.value(flat).shape[1];
        let w = param(g, rng, "w", &[4, k]);
        (
            g.push("out", Linear::default(), &[flat, w]).expect("fits"),
            vec![x, w],
        )
    });
}

fn resize(to: [usize; 2], mode: ResizeMode, antialias: bool) -> Resize {
    Resize {
        to,
        scale: [to[0] as f32 / 5.0, to[1] as f32 / 4.0],
        mode,
        coordinates: Coordinates::HalfPixel,
        exclude_outside: antialias,
        antialias,
    }
}

#[test]
fn gradients() {
    let order = vec![0, 3, 1, 2];
    gradient("transpose", &[3, 2, 4, 3], Transpose { order });
    for kind in ReduceKind::ALL {
        for axis in 1..4 {
            let name = format!("{kind:?} {axis}");
            gradient(&name, &[2, 3, 4, 5], Reduce { kind, axis });
        }
    }
    gradient("log softmax", &[3, 2, 5], LogSoftmax);
    for (to, mode, antialias) in [
        ([7, 9], ResizeMode::Nearest(NearestRounding::Floor), false),
        ([10, 3], ResizeMode::Linear, false),
        ([2, 3], ResizeMode::Linear, true),
        ([3, 7], ResizeMode::Cubic { a: -0.75 }, false),
    ] {
        gradient(
            &format!("{mode:?}"),
            &[2, 5, 4, 2],
            resize(to, mode, antialias),
        );
    }
    for mode in [PadMode::Edge, PadMode::Reflect, PadMode::Wrap] {
        let pad = Pad {
            before: vec![0, 2, 1, 0],
            after: vec![0, 1, 3, 0],
            mode,
            value: 0.0,
        };
        gradient(&format!("{mode:?}"), &[2, 3, 2, 2], pad);
    }
}

fn batch_of(graph: &Graph, y: &str) -> Vec<usize> {
    graph.value(graph.find(y).expect("a value")).shape.clone()
}

#[test]
fn a_first_axis_that_stays_takes_any_batch() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2, 3, 4, 5]);
    let reshape = |to: &[usize]| Reshape { to: to.to_vec() };
    let y = graph
        .push("free", reshape(&[0, 12, 5]), &[x])
        .expect("fits");
    graph.output(y);
    let mut fixed = graph.clone();
    assert_eq!(batch_of(&graph, "free"), [2, 12, 5]);
    let wider = graph.with_batch(7).expect("any batch");
    assert_eq!(batch_of(&wider, "free"), [7, 12, 5]);
    let y = fixed.push("fixed", reshape(&[2, 60]), &[y]).expect("fits");
    fixed.output(y);
    let error = fixed.with_batch(7).expect_err("it states the batch");
    assert!(error.to_string().contains("[2, 60]"), "{error}");
    for wrong in [&[0usize, 11, 5][..], &[3, 8, 4]] {
        assert!(
            graph.push("wrong", reshape(wrong), &[x]).is_err(),
            "{wrong:?}"
        );
    }
}

/// Steps of the plan of one operation.
fn steps(dtype: DType, shape: &[usize], op: impl Into<Op>) -> usize {
    let mut graph = Graph::new();
    let x = graph.input("x", dtype, shape);
    let y = graph.push("y", op, &[x]).expect("fits");
    let z = graph.push("z", Binary::ADD, &[y, y]).expect("fits");
    graph.output(z);
    lower(&graph, &Caps::portable())
        .expect("lowers")
        .steps
        .len()
        - 1
}

#[test]
fn transpositions_that_move_nothing_take_no_step() {
    let op = |order: &[usize]| Transpose {
        order: order.to_vec(),
    };
    assert_eq!(steps(DType::F32, &[2, 1, 1, 5], op(&[0, 3, 1, 2])), 0);
    assert_eq!(steps(DType::F16, &[2, 1, 3, 6], op(&[0, 2, 1, 3])), 0);
    // Rows of another length are padded otherwise.
    assert_eq!(steps(DType::F16, &[2, 1, 1, 5], op(&[0, 3, 1, 2])), 1);
    assert_eq!(steps(DType::F32, &[2, 4, 1, 5], op(&[0, 3, 1, 2])), 1);
}

#[test]
fn the_batch_stays_whole() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2, 3, 4]);
    let (kind, axis) = (ReduceKind::Max, 0);
    let slice = Slice {
        start: vec![1, 0, 0],
        step: vec![1; 3],
        size: vec![1, 3, 4],
    };
    let wrong: [Op; 4] = [
        Reduce { kind, axis }.into(),
        ArgMax { axis }.into(),
        Concat { axis }.into(),
        slice.into(),
    ];
    for op in wrong {
        assert!(graph.push("y", op.clone(), &[x]).is_err(), "{op:?}");
    }
    let reduce = Reduce { kind, axis: 3 };
    assert!(graph.push("y", reduce, &[x]).is_err(), "no such axis");
}

/// Slices that may leave a network whose first convolution makes `order`-ed values that a second one reads.
fn free_groups(order: &[usize], back: Option<&[usize]>) -> usize {
    let mut rng = Rng::new(5);
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[1, 4, 4, 4]);
    let conv = |graph: &mut Graph, rng: &mut Rng, name: &str, x: ValueId| {
        let w = param(graph, rng, &format!("{name}.w"), &[4, 1, 1, 4]);
        let op = Conv2d {
            bias: false,
            ..Conv2d::new(Conv::square(1, 0, 1, 1))
        };
        graph.push(name, op, &[x, w]).expect("fits")
    };
    let y = conv(&mut graph, &mut rng, "a", x);
    let transpose = |graph: &mut Graph, x, order: &[usize]| {
        let order = order.to_vec();
        graph.push("t", Transpose { order }, &[x]).expect("fits")
    };
    let mut y = transpose(&mut graph, y, order);
    if let Some(back) = back {
        y = transpose(&mut graph, y, back);
    }
    let z = conv(&mut graph, &mut rng, "b", y);
    graph.output(z);
    Ties::new(&graph).groups().len()
}

#[test]
fn channels_go_with_their_axis() {
    // The channels of the first convolution, and nothing else.
    assert_eq!(free_groups(&[0, 2, 1, 3], None), 4);
    assert_eq!(free_groups(&[0, 3, 1, 2], Some(&[0, 2, 3, 1])), 4);
    // Read as rows, they stay.
    assert_eq!(free_groups(&[0, 3, 1, 2], None), 0);
    assert_eq!(free_groups(&[0, 3, 1, 2], Some(&[0, 2, 1, 3])), 0);
}

#[test]
fn files_of_before_pad_with_a_value() {
    let text = r#"{"before":[0,1],"after":[0,2],"value":0.5}"#;
    let pad: Pad = serde_json::from_str(text).expect("a pad");
    assert_eq!((pad.mode, pad.value), (PadMode::Constant, 0.5));
}

#[test]
fn places_of_the_largest() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[2, 3]);
    let y = graph.push("y", ArgMax { axis: 1 }, &[x]).expect("fits");
    graph.output(y);
    assert_eq!(
        (graph.value(y).dtype, &graph.value(y).shape),
        (DType::I32, &vec![2, 1])
    );
    let x = Tensor::from_f32(&[2, 3], &[1.0, 5.0, 5.0, 2.0, -1.0, 0.0]).expect("fits");
    let plan = lower(&graph, &Caps::portable()).expect("lowers");
    let mut cpu = wizen::graph::CpuSession::new(plan.into(), false);
    let y = cpu.run(&[&x]).expect("runs").remove(0);
    assert_eq!(y.as_i32().expect("i32"), [1, 0]);
}
