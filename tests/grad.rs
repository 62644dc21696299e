//! Gradients against finite differences in f64, through the CPU references. No GPU.

use std::sync::Arc;

use wizen::base::{DType, Range, Rng, Tensor};
use wizen::gpu::Caps;
use wizen::graph::ops::{
    ApplyMask, BatchNorm, BatchNormTrain, Binary, Conv2d, FakeQuant, Flatten, GlobalAvgPool,
    Linear, Map, MaxPool, SoftmaxCrossEntropy,
};
use wizen::graph::{CpuSession, Graph, ValueId, backward, lower};
use wizen::kernels::map::Unary;
use wizen::kernels::{Conv, Pool};

use crate::harness;

/// Builds `logits = f(params)` of a small network, differentiates the mean cross-entropy, and compares
/// every gradient with central differences at random elements.
pub fn check(name: &str, build: impl Fn(&mut Graph, &mut Rng) -> (ValueId, Vec<ValueId>)) {
    let mut rng = Rng::new(harness::seed());
    let mut graph = Graph::new();
    let (logits, params) = build(&mut graph, &mut rng);
    let [rows, classes] =
        <[usize; 2]>::try_from(graph.value(logits).shape.as_slice()).expect("matrix");
    let labels: Vec<u32> = (0..rows).map(|_| rng.below(classes) as u32).collect();
    let labels = Tensor::from_u32(&[rows], &labels).expect("fits");
    let labels = graph.param("labels", labels);
    let loss = graph
        .push("loss", SoftmaxCrossEntropy, &[logits, labels])
        .expect("fits");
    let forward = graph.clone();
    let gradients = backward(&mut graph, loss, &params).unwrap_or_else(|e| panic!("{name}: {e}"));
    graph.set_outputs(params.iter().map(|p| gradients[p]).collect());
    let got = run(&graph);
    for (&param, got) in params.iter().zip(got) {
        let tensor = graph.tensor(param).expect("parameter").as_ref().clone();
        let got = got.to_f64();
        assert!(
            got.iter().any(|&g| g != 0.0),
            "{name}: the gradient of `{}` is zero",
            graph.value(param).name
        );
        let (mut checked, mut tries) = (0, 0);
        while checked < 8.min(got.len()) {
            tries += 1;
            assert!(
                tries < 100,
                "{name}: no smooth element of `{}`",
                graph.value(param).name
            );
            let i = rng.below(got.len());
            let h = 1e-2;
            let at = |delta: f32| -> f64 {
                let mut moved = tensor.clone();
                moved.as_f32_mut().expect("f32")[i] += delta;
                let mut graph = forward.clone();
                graph
                    .set_tensor(param, Arc::new(moved))
                    .expect("same shape");
                graph.set_outputs(vec![loss]);
                run(&graph)[0].to_f64()[0]
            };
            // Richardson: the error of central differences falls with h⁴.
            let central = |h: f32| (at(h) - at(-h)) / (2.0 * f64::from(h));
            let (far, near) = (central(h), central(h / 2.0));
            let want = (4.0 * near - far) / 3.0;
            // The loss is an f32: differences over h carry its rounding.
            let rounding = 8.0 * f64::from(f32::EPSILON) / f64::from(h);
            // A kink of ReLU or max-pool within h: there is no derivative to compare with.
            if (far - near).abs() > 2e-4 * near.abs() + rounding / 4.0 {
                continue;
            }
            checked += 1;
            let tolerance = 2e-3 * want.abs().max(got[i].abs()) + rounding;
            assert!(
                (got[i] - want).abs() <= tolerance,
                "{name}: d loss / d {}[{i}] = {}, finite differences say {want} ± {tolerance}",
                graph.value(param).name,
                got[i]
            );
        }
    }
}

fn run(graph: &Graph) -> Vec<Tensor> {
    let plan = lower(graph, &Caps::portable()).expect("lowers");
    CpuSession::new(Arc::new(plan), false)
        .run(&[])
        .expect("runs")
}

pub fn param(graph: &mut Graph, rng: &mut Rng, name: &str, shape: &[usize]) -> ValueId {
    let data: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.normal() * 0.5)
        .collect();
    graph.param(name, Tensor::from_f32(shape, &data).expect("fits"))
}

#[test]
fn linear_and_relu() {
    check("linear", |g, rng| {
        let x = param(g, rng, "x", &[5, 7]);
        let (w, b) = (param(g, rng, "w", &[9, 7]), param(g, rng, "b", &[9]));
        let h = g
            .push(
                "h",
                Linear {
                    act: Some(Unary::Relu),
                },
                &[x, w, b],
            )
            .expect("fits");
        let (w2, b2) = (param(g, rng, "w2", &[4, 9]), param(g, rng, "b2", &[4]));
        let y = g.push("y", Linear::default(), &[h, w2, b2]).expect("fits");
        (y, vec![x, w, b, w2, b2])
    });
}

#[test]
fn convolutions_pools_and_adds() {
    let convs = [
        Conv::square(1, 1, 1, 1),
        Conv::square(2, 0, 1, 2),
        Conv {
            stride: [1, 2],
            padding: [2, 0, 1, 3],
            dilation: [2, 1],
            groups: 4,
        },
    ];
    for conv in convs {
        check(&format!("{conv:?}"), |g, rng| {
            let x = param(g, rng, "x", &[2, 7, 7, 4]);
            let (w, b) = (
                param(g, rng, "w", &[4, 3, 3, 4 / conv.groups]),
                param(g, rng, "b", &[4]),
            );
            let y = g.push("conv", Conv2d::new(conv), &[x, w, b]).expect("fits");
            let y2 = g.push("relu", Map::RELU, &[y]).expect("fits");
            let sum = g
                .push(
                    "add",
                    Binary {
                        act: Some(Unary::Relu),
                        ..Binary::ADD
                    },
                    &[y, y2],
                )
                .expect("fits");
            let pool = Pool::square(3, 2, 1);
            let p = g.push("pool", MaxPool { pool }, &[sum]).expect("fits");
            let y = g.push("gap", GlobalAvgPool, &[p]).expect("fits");
            (y, vec![x, w, b])
        });
    }
}

/// Both operands of every function that has a gradient, one of them broadcast.
#[test]
fn functions_of_two_numbers() {
    for op in [
        Binary::ADD,
        Binary::SUB,
        Binary::MUL,
        Binary::DIV,
        Binary::MIN,
        Binary::MAX,
        Binary::PRELU,
    ] {
        check(&format!("{op:?}"), |g, rng| {
            let a = param(g, rng, "a", &[4, 3]);
            let signs = [0.8, -1.3, 0.9].map(|x: f32| x + 0.2 * rng.normal());
            let b = g.param("b", Tensor::from_f32(&[3], &signs).expect("fits"));
            let y = g.push("y", op, &[a, b]).expect("fits");
            (y, vec![a, b])
        });
    }
    check("a broadcast PReLU", |g, rng| {
        let a = param(g, rng, "a", &[4, 1]);
        let b = param(g, rng, "b", &[3]);
        let y = g.push("y", Binary::PRELU, &[a, b]).expect("fits");
        (y, vec![a, b])
    });
}

#[test]
fn powers_have_no_gradient() {
    let mut g = Graph::new();
    let a = g.param("a", Tensor::from_f32(&[1, 2], &[1.0, 2.0]).expect("fits"));
    let y = g.push("y", Binary::POW, &[a, a]).expect("fits");
    let labels = g.param("labels", Tensor::from_u32(&[1], &[0]).expect("fits"));
    let loss = g.push("loss", SoftmaxCrossEntropy, &[y, labels]);
    let error = backward(&mut g, loss.expect("fits"), &[a]).expect_err("no gradient");
    assert!(error.to_string().contains("y (Binary)"), "{error}");
}

/// Where two numbers are the same, either has half of the gradient.
#[test]
fn the_larger_of_two_that_are_the_same() {
    let mut g = Graph::new();
    let [a, b] =
        ["a", "b"].map(|name| g.param(name, Tensor::from_f32(&[1, 2], &[1.0, 2.0]).expect("fits")));
    let y = g.push("y", Binary::MAX, &[a, b]).expect("fits");
    let labels = g.param("labels", Tensor::from_u32(&[1], &[0]).expect("fits"));
    let loss = g
        .push("loss", SoftmaxCrossEntropy, &[y, labels])
        .expect("fits");
    let gradients = backward(&mut g, loss, &[a, b]).expect("differentiable");
    g.set_outputs([y, a, b].map(|id| gradients[&id]).into());
    let out = run(&g);
    let half: Vec<f32> = out[0].to_f32().iter().map(|dy| dy / 2.0).collect();
    assert_eq!([out[1].to_f32(), out[2].to_f32()], [half.clone(), half]);
}

#[test]
fn batch_norm_in_both_modes() {
    check("batch norm, training", |g, rng| {
        let x = param(g, rng, "x", &[3, 4, 4, 5]);
        let (gamma, beta) = (param(g, rng, "gamma", &[5]), param(g, rng, "beta", &[5]));
        let mean = g.param("mean", Tensor::zeros(&[5], DType::F32));
        let variance = g.param("variance", Tensor::from_f32(&[5], &[1.0; 5]).expect("fits"));
        let op = BatchNormTrain {
            eps: 1e-5,
            momentum: 0.1,
        };
        let y = g
            .push_all("bn", op, &[x, gamma, beta, mean, variance])
            .expect("fits")[0];
        let r = g.push("relu", Map::RELU, &[y]).expect("fits");
        let y = g.push("gap", GlobalAvgPool, &[r]).expect("fits");
        (y, vec![x, gamma, beta])
    });
    check("batch norm, fixed statistics", |g, rng| {
        let x = param(g, rng, "x", &[6, 5]);
        let (gamma, beta) = (param(g, rng, "gamma", &[5]), param(g, rng, "beta", &[5]));
        let mean = param(g, rng, "mean", &[5]);
        let variance = g.param(
            "variance",
            Tensor::from_f32(&[5], &[0.5, 1.0, 2.0, 0.25, 4.0]).expect("fits"),
        );
        let op = BatchNorm { eps: 1e-5 };
        let y = g
            .push("bn", op, &[x, gamma, beta, mean, variance])
            .expect("fits");
        (y, vec![x, gamma, beta])
    });
}

#[test]
fn masks_and_flattening() {
    check("mask", |g, rng| {
        let x = param(g, rng, "x", &[3, 2, 2, 3]);
        let flat = g.push("flat", Flatten, &[x]).expect("fits");
        let w = param(g, rng, "w", &[4, 12]);
        let mask = g.param(
            "mask",
            Tensor::from_u32(&[2], &[0xA5A5_5A5A, 0x0000_F0F0]).expect("fits"),
        );
        let masked = g.push("masked", ApplyMask, &[w, mask]).expect("fits");
        let b = param(g, rng, "b", &[4]);
        let y = g
            .push("y", Linear::default(), &[flat, masked, b])
            .expect("fits");
        (y, vec![x, w, b])
    });
}

/// Rounding has no derivative: the straight-through gradient equals that of the identity inside the
/// range, and the scale's is checked by its definition in the golden vectors.
#[test]
fn straight_through() {
    let mut rng = Rng::new(harness::seed());
    let mut g = Graph::new();
    let x = param(&mut g, &mut rng, "x", &[4, 5]);
    let scale = g.param("scale", Tensor::from_f32(&[1], &[0.1]).expect("fits"));
    let zero_point = g.param("zp", Tensor::zeros(&[1], DType::I32));
    let inv = g
        .push(
            "inv",
            Map {
                f: Unary::Reciprocal,
            },
            &[scale],
        )
        .expect("fits");
    let op = FakeQuant {
        axis: None,
        range: Range { qmin: -4, qmax: 3 },
        grad_factor: 1.0,
    };
    let y = g
        .push("fq", op, &[x, scale, inv, zero_point])
        .expect("fits");
    let labels = g.param(
        "labels",
        Tensor::from_u32(&[4], &[0, 1, 2, 3]).expect("fits"),
    );
    let loss = g
        .push("loss", SoftmaxCrossEntropy, &[y, labels])
        .expect("fits");
    let gradients = backward(&mut g, loss, &[x, scale]).expect("differentiable");
    g.set_outputs(vec![gradients[&x], gradients[&y], gradients[&scale]]);
    let out = run(&g);
    let (dx, dy) = (out[0].to_f32(), out[1].to_f32());
    let values = g.tensor(x).expect("parameter").to_f32();
    let mut outside = 0;
    for ((x, dx), dy) in values.iter().zip(&dx).zip(&dy) {
        let inside = (-4.0..=3.0).contains(&(x * 10.0).round_ties_even());
        assert_eq!(*dx, if inside { *dy } else { 0.0 }, "x = {x}");
        outside += usize::from(!inside);
    }
    assert!(outside > 0 && outside < values.len(), "{outside} outside");
    assert!(out[2].to_f32()[0] != 0.0);
}
