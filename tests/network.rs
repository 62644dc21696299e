//! Whole networks: the same plan on CPU and GPU, every intermediate value; int8 against fake-quant.

use std::sync::Arc;

use wizen::base::{DType, Requant, Rng, Tensor};
use wizen::gpu::Caps;
use wizen::graph::{
    CpuSession, Device, Graph, Plan, Session, SessionOptions, compare_steps, lower, optimize,
};
use wizen::models::{lenet5, random_weights};
use wizen::quant::{self, Observer, QuantParams, Scheme};

use crate::harness;

const BATCH: usize = 3;

fn images(n: usize, seed: u64) -> Tensor {
    let digits = wizen::io::synthetic_splits(seed, n, 1)
        .expect("digits")
        .train;
    digits
        .batch(&(0..n).collect::<Vec<_>>())
        .expect("indices exist")
        .0
}

fn float_lenet(batch: usize) -> Graph {
    let weights = random_weights("lenet5", harness::seed()).expect("lenet5 exists");
    optimize(&lenet5(batch, &weights).expect("weights fit")).expect("well formed")
}

fn calibrated(graph: &Graph, device: &Device, scheme: Scheme) -> QuantParams {
    let weights = quant::choose_weights(graph, &scheme.into(), None).expect("finite weights");
    let batches = (0..4).map(|i| Ok(vec![images(BATCH, 100 + i)]));
    let found = pollster::block_on(quant::calibrate(
        device,
        graph,
        batches,
        Observer::Mse,
        &scheme.into(),
    ))
    .expect("calibration");
    // Without means: some tests compare with networks that know no bias correction.
    QuantParams {
        activations: found.activations,
        weights,
        ..QuantParams::default()
    }
}

fn trace_gpu(gpu: &wizen::gpu::Gpu, plan: &Arc<Plan>, x: &Tensor) -> Vec<Option<Tensor>> {
    let options = SessionOptions {
        trace: true,
        ..Default::default()
    };
    pollster::block_on(async {
        Session::new(gpu, Arc::clone(plan), options)
            .await?
            .trace(&[x])
            .await
    })
    .expect("trace")
}

#[test]
fn every_step_agrees_in_fp32_fp16_and_int8() {
    let Some(gpu) = harness::gpu() else { return };
    let float = float_lenet(BATCH);
    let params = calibrated(&float, &Device::Cpu, Scheme::INT8);
    let networks = [
        ("fp32", float.clone()),
        (
            "fp16",
            quant::to_f16(&float, &Default::default()).expect("small weights"),
        ),
        (
            "int8 float",
            quant::freeze(&float, &params, Requant::Float).expect("freezes"),
        ),
        (
            "w8",
            quant::to_weight_only(&float, &params).expect("freezes"),
        ),
    ];
    let x = images(BATCH, 7);
    for (name, graph) in networks {
        let plan = Arc::new(lower(&graph, gpu.caps()).expect("lowers"));
        let steps = compare_steps(&plan, &trace_gpu(&gpu, &plan, &x)).expect("complete trace");
        assert_eq!(steps.len(), plan.steps.len());
        for step in steps {
            assert_eq!(step.mismatches, 0, "{name}: {step:?}");
        }
    }
}

#[test]
fn int8_with_fixed_requantisation_is_equal_in_every_value() {
    let Some(gpu) = harness::gpu() else { return };
    let float = float_lenet(BATCH);
    for scheme in ["int8", "w4a8", "w4a4", "w2a4"] {
        let scheme: Scheme = scheme.parse().expect("known");
        let params = calibrated(&float, &Device::Gpu(gpu.clone()), scheme);
        let graph = quant::freeze(&float, &params, Requant::Fixed).expect("freezes");
        let plan = Arc::new(lower(&graph, gpu.caps()).expect("lowers"));
        let x = images(BATCH, 9);
        let got = trace_gpu(&gpu, &plan, &x);
        let mut cpu = CpuSession::new(Arc::clone(&plan), true);
        let want = cpu.trace(&[&x]).expect("runs");
        let mut compared = 0;
        for ((value, got), want) in plan.values.iter().zip(&got).zip(&want) {
            if let (Some(got), Some(want)) = (got, want) {
                assert_eq!(got, want, "{scheme}: `{}` differs", value.name);
                compared += 1;
            }
        }
        assert!(
            compared > plan.steps.len(),
            "only {compared} values were compared"
        );
        // Different images give different answers: the network computes something.
        let logits = got[plan.outputs[0]].as_ref().expect("logits").to_f32();
        assert!(
            logits.windows(2).any(|w| w[0] != w[1]),
            "{scheme}: {logits:?}"
        );
    }
}

#[test]
fn calibration_is_the_same_on_cpu_and_gpu() {
    let Some(gpu) = harness::gpu() else { return };
    let float = float_lenet(BATCH);
    let on_cpu = calibrated(&float, &Device::Cpu, Scheme::INT8);
    let on_gpu = calibrated(&float, &Device::Gpu(gpu), Scheme::INT8);
    assert_eq!(on_cpu.weights, on_gpu.weights);
    for (name, cpu) in &on_cpu.activations {
        let gpu = on_gpu.activation(name).expect("same points");
        // Activations differ in their last bits, so the window may move by a bin of 2048.
        assert!(
            (cpu.scale / gpu.scale - 1.0).abs() < 2e-3,
            "{name}: {cpu:?} {gpu:?}"
        );
        assert!(
            (cpu.zero_point - gpu.zero_point).abs() <= 1,
            "{name}: {cpu:?} {gpu:?}"
        );
    }
}

/// Each layer of the fake-quantized float network, fed the int8 network's own input of that layer, gives
/// the int8 network's result, but for single steps next to a tie.
#[test]
fn the_fake_quantized_network_equals_the_int8_network() {
    let float = float_lenet(BATCH);
    for scheme in ["int8", "w4a4"] {
        let scheme: Scheme = scheme.parse().expect("known");
        let params = calibrated(&float, &Device::Cpu, scheme);
        let int8 = quant::freeze(&float, &params, Requant::Float).expect("freezes");
        let snapped = quant::snap_parameters(&float, &params).expect("calibrated");
        let plan = Arc::new(lower(&int8, &Caps::portable()).expect("lowers"));
        let mut cpu = CpuSession::new(Arc::clone(&plan), true);
        let x = images(BATCH, 11);
        let values = cpu.trace(&[&x]).expect("runs");
        let int8_value = |name: &str| -> &Tensor {
            let index = plan.find(name).expect("named like the float value");
            values[index].as_ref().expect("traced")
        };
        let mut layers = 0;
        for node in snapped.nodes() {
            let y = snapped.value(node.outputs[0]);
            let Some(q) = params.activations.get(&y.name) else {
                continue;
            };
            let source = snapped.value(node.inputs[0]).name.clone();
            let (name, input_params) = input_of(&params, &source);
            let input = dequantized(
                int8_value(&name),
                &input_params,
                &snapped.value(node.inputs[0]).shape,
            );
            let one = single_node(&snapped, node, &input);
            let want = int8_value(&y.name).to_i8().expect("i8");
            let mut off = 0;
            for (real, &want) in one.iter().zip(&want) {
                let got = q.quantize(*real as f32);
                if got != i32::from(want) {
                    let steps = real / f64::from(q.scale);
                    let to_tie = ((steps - steps.floor()) - 0.5).abs();
                    // f32 products and sums of the int8 path: a few ULP of the number of steps.
                    assert!(
                        to_tie <= 4.0 * wizen::kernels::ulp_f32(steps.abs().max(1.0)),
                        "{}: {real} {want}",
                        y.name
                    );
                    assert!(
                        (got - i32::from(want)).abs() == 1,
                        "{}: {got} {want}",
                        y.name
                    );
                    off += 1;
                }
            }
            assert!(
                off * 100 <= want.len(),
                "{}: {off} of {} next to ties",
                y.name,
                want.len()
            );
            layers += 1;
        }
        assert_eq!(layers, 4, "{scheme}: conv1, conv2, fc1, fc2");
    }
}

/// The int8 value that feeds a layer, and its parameters: pooling and flattening keep those of their source.
fn input_of(params: &QuantParams, source: &str) -> (String, wizen::base::QParams) {
    let (value, layer) = match source {
        "images" => ("quantize images", "images"),
        "pool1" => ("pool1", "conv1"),
        "pool2" | "flatten" => ("pool2", "conv2"),
        other => (other, other),
    };
    (
        value.to_owned(),
        params.activation(layer).expect("calibrated"),
    )
}

fn dequantized(q: &Tensor, params: &wizen::base::QParams, shape: &[usize]) -> Vec<f64> {
    assert_eq!(q.dtype(), DType::I8);
    assert_eq!(q.len(), shape.iter().product::<usize>());
    let real = |q: i8| f64::from(params.scale) * f64::from(i32::from(q) - params.zero_point);
    q.to_i8().expect("i8").into_iter().map(real).collect()
}

/// One linear layer or convolution in f64: `max(0, x · w + b)` without any rounding to f32.
fn single_node(graph: &Graph, node: &wizen::graph::Node, x: &[f64]) -> Vec<f64> {
    use wizen::graph::{Op, ops::Conv2d};
    let tensor = |i: usize| graph.tensor(node.inputs[i]).expect("parameter").to_f64();
    let (w, bias) = (tensor(1), tensor(2));
    let y = &graph.value(node.outputs[0]).shape;
    let mut out = vec![0.0; y.iter().product()];
    match &node.op {
        Op::Linear(_) => {
            let k = w.len() / bias.len();
            for (i, out) in out.iter_mut().enumerate() {
                let (row, o) = (i / bias.len(), i % bias.len());
                let dot: f64 = (0..k).map(|j| x[row * k + j] * w[o * k + j]).sum();
                *out = (dot + bias[o]).max(0.0);
            }
        }
        Op::Conv2d(Conv2d { conv, .. }) => {
            let [_, h, wd, c] =
                <[usize; 4]>::try_from(graph.value(node.inputs[0]).shape.as_slice())
                    .expect("image");
            let kernel = graph.value(node.inputs[1]).shape[1];
            let (oh, ow, o_len) = (y[1], y[2], y[3]);
            let [top, left, ..] = conv.padding;
            for (i, out) in out.iter_mut().enumerate() {
                let (o, px, py, n) = (
                    i % o_len,
                    i / o_len % ow,
                    i / o_len / ow % oh,
                    i / o_len / ow / oh,
                );
                let mut sum = bias[o];
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let (iy, ix) = (py + ky, px + kx);
                        if iy < top || ix < left || iy - top >= h || ix - left >= wd {
                            continue;
                        }
                        let at = ((n * h + iy - top) * wd + ix - left) * c;
                        for ch in 0..c {
                            sum += x[at + ch] * w[((o * kernel + ky) * kernel + kx) * c + ch];
                        }
                    }
                }
                *out = sum.max(0.0);
            }
        }
        other => panic!("{other:?} has no parameters"),
    }
    out
}

#[test]
fn random_inputs_of_another_shape_are_refused() {
    let graph = float_lenet(1);
    let plan = Arc::new(lower(&graph, &Caps::portable()).expect("lowers"));
    let mut cpu = CpuSession::new(plan, false);
    let wrong = Tensor::zeros(&[2, 28, 28, 1], DType::F32);
    let error = cpu.run(&[&wrong]).expect_err("batch 2").to_string();
    assert_eq!(
        error,
        "run: `images` has shape [2, 28, 28, 1], expected [1, 28, 28, 1]"
    );
    let _ = Rng::new(0);
}
