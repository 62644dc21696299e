//! Plans without a device: buffers shared by liveness, checks of operands, golden text.

use std::sync::Arc;

use wizen::base::{DType, Requant, Rng, Tensor};
use wizen::gpu::Caps;
use wizen::graph::{
    CpuSession, Device, Graph, Kind, LowerOptions, Plan, PlanBuilder, Session, SessionOptions,
    lower, lower_with, ops, optimize,
};
use wizen::kernels::binary::{Binary, BinaryOp};
use wizen::kernels::map::{Map, Unary};
use wizen::kernels::{Access, Conv, uniform};
use wizen::models::{lenet5, random_weights};
use wizen::quant::{self, Observer, QuantParams, Scheme};

use crate::harness;

/// A random network of additions and ReLUs over tensors of a few sizes.
fn random_plan(rng: &mut Rng) -> Plan {
    let mut graph = Graph::new();
    let widths = [3, 8, 17];
    let mut values: Vec<_> = widths
        .iter()
        .map(|&w| (w, graph.input(&format!("in{w}"), DType::F32, &[2, w])))
        .collect();
    for i in 0..30 {
        let (width, a) = values[rng.below(values.len())];
        let same: Vec<_> = values
            .iter()
            .filter(|(w, _)| *w == width)
            .map(|(_, v)| *v)
            .collect();
        let b = same[rng.below(same.len())];
        let y = if rng.below(3) == 0 {
            graph
                .push(&format!("relu{i}"), ops::Map::RELU, &[a])
                .expect("fits")
        } else {
            graph
                .push(&format!("add{i}"), ops::Binary::ADD, &[a, b])
                .expect("fits")
        };
        values.push((width, y));
    }
    for _ in 0..3 {
        graph.output(values[3 + rng.below(values.len() - 3)].1);
    }
    lower(&graph, &Caps::portable()).expect("lowers")
}

#[test]
fn values_that_live_together_never_share_a_buffer() {
    let mut rng = Rng::new(harness::seed());
    let mut shared = 0;
    for _ in 0..50 {
        let plan = random_plan(&mut rng);
        // Replay: remember which value each slot holds; every read must find its own.
        let mut holds = vec![None; plan.slots.len()];
        for step in &plan.steps {
            for (binding, &arg) in step.kernel.bindings().iter().zip(&step.args) {
                if let (Access::Read, Some(slot)) = (binding.access, plan.values[arg].slot) {
                    assert_eq!(holds[slot], Some(arg), "{plan}");
                }
            }
            for (binding, &arg) in step.kernel.bindings().iter().zip(&step.args) {
                if let (Access::Write, Some(slot)) = (binding.access, plan.values[arg].slot) {
                    let read =
                        |other: &usize| plan.values[*other].slot == Some(slot) && *other != arg;
                    assert!(
                        !step.args.iter().any(read),
                        "read and written at once: {plan}"
                    );
                    assert!(plan.slots[slot] >= plan.values[arg].words());
                    holds[slot] = Some(arg);
                }
            }
        }
        for &output in &plan.outputs {
            if let Some(slot) = plan.values[output].slot {
                assert_eq!(
                    holds[slot],
                    Some(output),
                    "an output was overwritten: {plan}"
                );
            }
        }
        let temps = plan.values.iter().filter(|v| v.slot.is_some()).count();
        shared += usize::from(plan.slots.len() < temps);
        assert!(plan.activation_bytes() >= plan.activation_lower_bound());
    }
    assert!(
        shared > 25,
        "buffers were shared in only {shared} of 50 plans"
    );
}

#[test]
fn sharing_does_not_change_results() {
    let mut rng = Rng::new(harness::seed() ^ 1);
    for _ in 0..10 {
        let plan = Arc::new(random_plan(&mut rng));
        let inputs: Vec<Tensor> = plan
            .inputs
            .iter()
            .map(|&i| {
                let shape = &plan.values[i].shape;
                let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
                Tensor::from_f32(shape, &data).expect("fits")
            })
            .collect();
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let Some(gpu) = harness::gpu() else { return };
        let run = |trace| {
            let options = SessionOptions {
                trace,
                ..SessionOptions::default()
            };
            pollster::block_on(async {
                let session = Session::new(&gpu, Arc::clone(&plan), options).await?;
                session.run(&refs)?.await
            })
            .expect("runs")
        };
        // With `trace` every value has a buffer of its own; the launches are the same.
        assert_eq!(run(false), run(true), "{plan}");
    }
}

fn relu(len: usize) -> Map {
    Map {
        shape: vec![len],
        dtype: DType::F32,
        f: Unary::Relu,
    }
}

#[test]
fn operands_are_checked_with_names() {
    let mut builder = PlanBuilder::default();
    let a = builder.value("a", DType::F32, &[3], Kind::Input);
    let y = builder.value("y", DType::F32, &[4], Kind::Temp);
    builder.step("relu1", Arc::new(relu(3)), vec![a, y]);
    let error = builder.finish().expect_err("3 is not 4").to_string();
    assert_eq!(
        error,
        "relu1 (relu_f32): `y` has shape [4], expected [3] with at least one element"
    );

    let mut builder = PlanBuilder::default();
    let a = builder.value("a", DType::F32, &[3], Kind::Input);
    builder.step(
        "sum",
        Arc::new(Binary {
            op: BinaryOp::Add,
            a: vec![3],
            b: vec![3],
            dtype: DType::F32,
            act: None,
        }),
        vec![a, a, a],
    );
    let error = builder.finish().expect_err("writes an input").to_string();
    assert_eq!(
        error,
        "sum (add_f32): `y` writes to `a`, which is not state"
    );

    let mut builder = PlanBuilder::default();
    let a = builder.value("a", DType::F32, &[0], Kind::Input);
    let y = builder.value("y", DType::F32, &[0], Kind::Temp);
    builder.step("relu1", Arc::new(relu(0)), vec![a, y]);
    assert!(builder.finish().is_err(), "zero-size tensors are refused");
}

fn lenet(batch: usize) -> Graph {
    let weights = random_weights("lenet5", 1).expect("lenet5 exists");
    optimize(&lenet5(batch, &weights).expect("weights fit")).expect("well formed")
}

/// Golden text: a refactoring shows its effect as a diff. `WIZEN_BLESS=1` rewrites it.
#[test]
fn golden_plans() {
    let float = lenet(2);
    let weights =
        quant::choose_weights(&float, &Scheme::INT8.into(), None).expect("finite weights");
    let q = wizen::base::QParams {
        scale: 0.0625,
        zero_point: -128,
        range: wizen::base::Range::affine(8),
    };
    let names = ["images", "conv1", "conv2", "fc1", "fc2"];
    let activations = names.iter().map(|name| ((*name).to_owned(), q)).collect();
    let params = QuantParams {
        activations,
        weights,
        ..QuantParams::default()
    };
    let int8 = quant::freeze(&float, &params, Requant::Fixed).expect("freezes");
    for (name, graph) in [("lenet5_fp32", &float), ("lenet5_int8", &int8)] {
        let text = lower(graph, &Caps::portable()).expect("lowers").to_string();
        let path = format!(
            "{}/tests/golden/plan_{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        if std::env::var("WIZEN_BLESS").is_ok_and(|v| v == "1") {
            std::fs::write(&path, &text).expect("writable");
        }
        let want = std::fs::read_to_string(&path).expect("golden plan; make it with WIZEN_BLESS=1");
        assert_eq!(
            text, want,
            "the plan of {name} changed; if that is right, run with WIZEN_BLESS=1"
        );
    }
}

/// What a file may claim: sizes that wrap, that no device addresses, scales for other channels.
#[test]
fn sizes_that_nothing_holds_are_sentences() {
    use wizen::base::{Quantization, Range};
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[1, 4, 4, 2]);
    let flat = graph.input("flat", DType::F32, &[1, 1 << 20]);
    let column = graph.input("column", DType::F32, &[1 << 20, 1]);
    let huge = 1usize << 62;
    let pad = |before: usize, after: usize| ops::Pad {
        before: vec![0, 0, 0, before],
        after: vec![0, 0, 0, after],
        mode: ops::PadMode::Constant,
        value: 0.0,
    };
    let slice = ops::Slice {
        start: vec![0, 1, 0, 0],
        step: vec![1, usize::MAX, 1, 1],
        size: vec![1, 2, 4, 2],
    };
    let pool = ops::GlobalAvgPoolGrad {
        x: vec![1, huge, 4, 1 << 20],
    };
    let cases: [(ops::Op, &[_], &str); 5] = [
        (pad(huge, huge).into(), &[x], "has more than"),
        (
            pad(1 << 30, 1 << 29).into(),
            &[x],
            "at most 2147483647 elements",
        ),
        (slice.into(), &[x], "cannot be sliced"),
        (
            ops::Binary::ADD.into(),
            &[flat, column],
            "at most 2147483647 elements",
        ),
        (pool.into(), &[flat], "at most 2147483647 elements"),
    ];
    for (op, inputs, words) in cases {
        let error = graph.push("node", op, inputs).expect_err(words).to_string();
        assert!(
            error.starts_with("node (") || error.starts_with("pad") || error.starts_with("slice")
        );
        assert!(error.contains(words), "{error}");
    }
    let per_tensor = Quantization::per_tensor(wizen::base::QParams {
        scale: 1.0,
        zero_point: 0,
        range: Range::affine(8),
    });
    let q = graph.input_quantized("q", &[1, 2], per_tensor);
    let few = Quantization::per_channel(0, vec![1.0], Range::symmetric(8));
    let w = graph.param_quantized("w", Tensor::zeros(&[3, 2], DType::I8), few);
    let error = graph
        .push("fc", ops::Linear::default(), &[q, w])
        .expect_err("one scale, three channels");
    assert!(error.to_string().contains("one for each scale"), "{error}");
}

/// Layers of every kind with a function behind each that no clamp is.
fn with_functions() -> Graph {
    let mut graph = Graph::new();
    let mut rng = Rng::new(harness::seed());
    let x = graph.input("x", DType::F32, &[1, 9, 9, 6]);
    let mut layer = |graph: &mut Graph, name: &str, x, conv: Conv, w: [usize; 4]| {
        let w = uniform(&w, -0.6, 0.6, &mut rng);
        let w = graph.param(&format!("{name}.w"), w);
        let op = ops::Conv2d::new(conv).without_bias();
        graph.push(name, op, &[x, w]).expect("fits")
    };
    let follow =
        |graph: &mut Graph, name: &str, f, x| graph.push(name, ops::Map { f }, &[x]).expect("fits");
    let y = layer(
        &mut graph,
        "wide",
        x,
        Conv::square(1, 1, 1, 1),
        [12, 3, 3, 6],
    );
    let wide = follow(&mut graph, "wide.act", Unary::HardSwish, y);
    let y = layer(
        &mut graph,
        "deep",
        wide,
        Conv::square(1, 1, 1, 12),
        [12, 3, 3, 1],
    );
    let y = follow(&mut graph, "deep.act", Unary::Silu, y);
    let y = layer(
        &mut graph,
        "back",
        y,
        Conv::square(1, 0, 1, 1),
        [12, 1, 1, 12],
    );
    let y = graph
        .push("sum", ops::Binary::ADD, &[y, wide])
        .expect("fits");
    let sum = follow(&mut graph, "sum.act", Unary::Mish, y);
    let y = graph.push("gap", ops::GlobalAvgPool, &[sum]).expect("fits");
    let y = follow(&mut graph, "gap.act", Unary::Gelu, y);
    let w = graph.param("fc.w", uniform(&[12, 12], -0.6, 0.6, &mut rng));
    let y = graph
        .push("fc", ops::Linear::default(), &[y, w])
        .expect("fits");
    let y = follow(&mut graph, "fc.act", Unary::Sigmoid, y);
    let to = vec![1, 1, 1, 12];
    let y = graph
        .push("share", ops::Reshape { to }, &[y])
        .expect("fits");
    let y = graph
        .push("scaled", ops::Binary::MUL, &[sum, y])
        .expect("fits");
    let y = follow(&mut graph, "scaled.act", Unary::Tanh, y);
    graph.output(y);
    graph
}

/// What the layers and the functions behind them give is one step each, and bit for bit what two give.
#[test]
fn functions_of_integers_take_no_steps() {
    let float = quant::prepare(&with_functions(), Scheme::INT8).expect("well formed");
    let mut rng = Rng::new(harness::seed());
    let x = uniform(&[1, 9, 9, 6], -2.0, 2.0, &mut rng);
    let schemes = Scheme::INT8.into();
    let batches = std::iter::once(Ok(vec![x.clone()]));
    let found = quant::calibrate(&Device::Cpu, &float, batches, Observer::MinMax, &schemes);
    let found = pollster::block_on(found).expect("finite");
    let weights = quant::choose_weights(&float, &schemes, None).expect("finite");
    let params = found.with_weights(weights);
    for requant in [Requant::Fixed, Requant::Float] {
        let int8 = quant::freeze(&float, &params, requant).expect("freezes");
        let plan = |every_value| {
            let options = LowerOptions {
                every_value,
                ..LowerOptions::default()
            };
            let caps = harness::gpu().map_or(Caps::portable(), |gpu| gpu.caps().clone());
            Arc::new(lower_with(&int8, &caps, options).expect("lowers"))
        };
        let plans = [plan(false), plan(true)];
        let steps = plans.each_ref().map(|plan| {
            let steps = plan.steps.iter();
            let names: Vec<&str> = steps.map(|step| step.name.as_str()).collect();
            names.join(" ")
        });
        assert_eq!(
            steps,
            [
                // Behind the last layer functions are of floats.
                "quantize x wide deep back gap fc dequantize fc fc.act dequantize sum.act scaled scaled.act",
                "quantize x wide wide.act deep deep.act back sum.act gap gap.act fc dequantize fc fc.act \
                 dequantize sum.act scaled scaled.act",
            ]
        );
        let on_cpu = plans.each_ref().map(|plan| {
            let mut cpu = CpuSession::new(Arc::clone(plan), false);
            cpu.run(&[&x]).expect("runs")
        });
        assert_eq!(on_cpu[0], on_cpu[1]);
        // Sums of two products may be fused in one program and not in another.
        let Some(gpu) = harness::gpu().filter(|_| requant == Requant::Fixed) else {
            continue;
        };
        let on_gpu = plans.map(|plan| {
            pollster::block_on(async {
                let session = Session::new(&gpu, plan, SessionOptions::default()).await?;
                session.run(&[&x])?.await
            })
            .expect("runs")
        });
        assert_eq!(on_gpu[0], on_gpu[1]);
    }
}
