//! ONNX in and out, against ONNX's own cases and what ONNX Runtime answered for networks of other people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pollster::block_on;
use wizen::base::{DType, Preprocess, Tensor};
use wizen::compress::{Job, QuantizeOptions, quantize};
use wizen::data::{Data, FromFn};
use wizen::graph::{Device, Graph, lower};
use wizen::io::{StoredTensor, load_arrays, load_data, read_safetensors};
use wizen::quant::{Scheme, prepare, to_f16};
use wizen::{Network, OpenOptions, onnx, open_with};

use crate::data::shared;
use crate::harness;

fn device() -> Option<Device> {
    harness::gpu().map(Device::Gpu)
}

/// Items of one run.
const BATCH: usize = 24;

/// Results of a network on all items, images as `[n, c, h, w]`.
fn run(device: &Device, graph: &Graph, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let items = inputs.first().map_or(1, |x| x.shape()[0]);
    let mut results = vec![Vec::new(); graph.outputs().len()];
    for start in (0..items).step_by(BATCH) {
        let count = BATCH.min(items - start);
        let part: Vec<Tensor> = inputs.iter().map(|x| rows(x, start, count)).collect();
        let graph = graph.with_batch(count).expect("any batch");
        let plan = lower(&graph, &device.caps()).expect("lowers");
        let mut executor = block_on(device.load(plan)).expect("loads");
        let part: Vec<&Tensor> = part.iter().collect();
        let outputs = block_on(executor.run(&part)).expect("runs");
        for (all, y) in results.iter_mut().zip(&outputs) {
            all.extend(as_stored(y));
        }
    }
    results
}

/// Some items of a batch.
fn rows(x: &Tensor, start: usize, count: usize) -> Tensor {
    let size = x.len() / x.shape()[0];
    let mut shape = x.shape().to_vec();
    shape[0] = count;
    let values = &x.as_f32().expect("floats")[start * size..(start + count) * size];
    Tensor::from_f32(&shape, values).expect("fits")
}

/// Images with their channels in front of rows and columns.
pub fn as_stored(y: &Tensor) -> Vec<f64> {
    let values = y.to_f64();
    let &[_, h, w, c] = y.shape() else {
        return values;
    };
    let turned = values.chunks(h * w * c).flat_map(|image| {
        (0..c).flat_map(move |channel| (0..h * w).map(move |at| image[at * c + channel]))
    });
    turned.collect()
}

/// The largest difference, over the largest value.
fn relative(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
    let difference = got.iter().zip(want).map(|(g, w)| (g - w).abs());
    let difference = difference.fold(0f64, |m, d| if d.is_nan() { f64::NAN } else { m.max(d) });
    difference / largest
}

fn sqnr_db(got: &[f64], want: &[f64]) -> f64 {
    let signal: f64 = want.iter().map(|x| x * x).sum();
    let noise: f64 = got.iter().zip(want).map(|(g, w)| (g - w) * (g - w)).sum();
    10.0 * (signal / noise).log10()
}

/// The elements of a stored tensor of floats.
fn numbers(tensor: &StoredTensor) -> Vec<f64> {
    let values = tensor.to_f32().expect("floats");
    values.into_iter().map(f64::from).collect()
}

/// Every result that is stored, by name.
fn stored(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let tensors = read_safetensors(path).expect("readable").1;
    let values = |(name, tensor): (String, StoredTensor)| (name, numbers(&tensor));
    tensors.into_iter().map(values).collect()
}

/// A network of `shared/models`, what it is fed and what it answers.
struct Case {
    network: Network,
    inputs: Vec<Tensor>,
    want: BTreeMap<String, Vec<f64>>,
}

fn read(folder: &str, shape: Option<(&str, &[usize])>) -> Option<(PathBuf, Network)> {
    let folder = shared(&format!("models/{folder}"))?;
    let inputs = shape.map(|(name, shape)| (name.to_owned(), shape.to_vec()));
    let options = OpenOptions {
        arch: None,
        inputs: inputs.into_iter().collect(),
    };
    let network = open_with(folder.join("model.onnx"), &options).expect("an ONNX network");
    Some((folder, network))
}

/// Networks with arrays beside them.
fn on_arrays(folder: &str, shape: Option<(&str, &[usize])>) -> Option<Case> {
    let (folder, network) = read(folder, shape)?;
    // The arrays are called x, the inputs something else.
    let input = &network.graph.inputs()[0];
    let mut alone = Graph::new();
    alone.input("x", DType::F32, &network.graph.value(*input).shape);
    let arrays = load_arrays(folder.join("eval_inputs.safetensors"), &alone).expect("arrays");
    let want = stored(&folder.join("eval_outputs.safetensors"));
    Some(Case {
        network,
        inputs: arrays.all().to_vec(),
        want,
    })
}

/// Networks with pictures.
fn on_pictures(
    folder: &str,
    pictures: &str,
    shape: Option<(&str, &[usize])>,
    preprocess: &Preprocess,
) -> Option<Case> {
    let (folder, network) = read(folder, shape)?;
    let eval = shared(&format!("models/{pictures}/eval"))?;
    let data = load_data(&eval, preprocess).expect("pictures").test;
    let items: Vec<usize> = (0..data.len()).collect();
    let inputs = data.inputs(&items).expect("decoded");
    let want = stored(&folder.join("eval_outputs.safetensors"));
    Some(Case {
        network,
        inputs,
        want,
    })
}

impl Case {
    /// The largest relative difference over all results.
    fn difference(&self, device: &Device, graph: &Graph) -> f64 {
        let got = run(device, graph, &self.inputs);
        let names = graph.output_names().iter();
        let each = names.zip(&got).map(|(name, got)| {
            let want = self.want.get(name);
            relative(
                got,
                want.unwrap_or_else(|| panic!("no answer is called {name}")),
            )
        });
        let each: Vec<f64> = each.collect();
        assert_eq!(each.len(), self.want.len());
        each.into_iter()
            .fold(0.0, |m, d| if d.is_nan() { d } else { m.max(d) })
    }

    /// fp32, the same written and read again, and fp16.
    fn check(&self, device: &Device, name: &str) {
        let graph = self.network.runnable().expect("runs");
        let fp32 = self.difference(device, &graph);
        assert!(fp32 < 1e-4, "{name}: {fp32:e}");
        let again = write_and_read(&self.network);
        let again = self.difference(device, &again.runnable().expect("runs"));
        assert!(again < 1e-4, "{name}, written and read again: {again:e}");
        // Halves cost the face detector 3e-2 of the largest value, in ONNX Runtime as well.
        if name == "centerface" {
            return;
        }
        let half = prepare(&self.network.graph, Scheme::Fp16).expect("prepares");
        let half = to_f16(&half, &BTreeSet::new()).expect("fp16");
        let half = self.difference(device, &half);
        assert!(half < 1e-2, "{name} in fp16: {half:e}");
    }
}

fn write_and_read(network: &Network) -> Network {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("again.onnx");
    onnx::write(network, &path).expect("written");
    onnx::read(&path, &[]).expect("read again")
}

fn imagenet() -> Preprocess {
    Preprocess::preset("imagenet", [224, 224, 3]).expect("a preset")
}

#[test]
fn images_to_images_and_a_detector_answer_as_in_onnx_runtime() {
    let Some(device) = device() else { return };
    let faces: (&str, &[usize]) = ("input.1", &[1, 3, 192, 256]);
    for (name, shape) in [
        ("centerface", Some(faces)),
        ("espcn_nn_resize", None),
        ("espcn_subpixel", None),
    ] {
        if let Some(case) = on_arrays(name, shape) {
            case.check(&device, name);
        }
    }
}

#[test]
fn a_classifier_with_squeeze_and_excite_answers_as_in_onnx_runtime() {
    let Some(device) = device() else { return };
    let pages = "orientation_pp_lcnet";
    if let Some(case) = on_pictures(pages, pages, None, &imagenet()) {
        case.check(&device, pages);
        let graph = case.network.runnable().expect("runs").to_string();
        assert!(graph.contains("HardSwish"), "{graph}");
    }
}

/// Both of ONNX's ways to write integers run as integers, and give the classes that ONNX Runtime gives.
#[test]
fn quantized_networks_run_in_int8() {
    let Some(device) = device() else { return };
    for name in ["orientation_qdq", "orientation_qoperator"] {
        let Some(case) = on_pictures(name, "orientation_pp_lcnet", None, &imagenet()) else {
            return;
        };
        assert_eq!(case.network.precision(), "int8");
        for layer in case.network.layers() {
            assert_eq!(layer.dtype, "i8", "{name}: {}", layer.name);
        }
        let graph = &case.network.graph;
        for node in graph
            .nodes()
            .iter()
            .filter(|node| node.op.weights().is_some())
        {
            assert_eq!(
                graph.value(node.inputs[0]).dtype,
                DType::I8,
                "{name}: {}",
                node.name
            );
        }
        let got = run(&device, graph, &case.inputs).remove(0);
        let want = &case.want["fetch_name_0"];
        let best = |row: &[f64]| (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        let same = got.chunks(4).zip(want.chunks(4));
        assert_eq!(same.filter(|(g, w)| best(g) == best(w)).count(), 120);
        let db = sqnr_db(&got, want);
        assert!(db >= 30.0, "{name}: {db:.1} dB");
    }
}

/// An int8 network of ours, written as QDQ and read again, is the same network: every bit of its results.
#[test]
fn int8_written_and_read_again_is_the_same() {
    let Some(device) = device() else { return };
    let Some(case) = on_arrays("espcn_subpixel", None) else {
        return;
    };
    let images = case.inputs[0].clone();
    let items = FromFn::new("images", 6, move |i| Ok(vec![rows(&images, i, 1)]));
    let job = Job::new(&device);
    let int8 = block_on(quantize(
        &job,
        &case.network,
        &items,
        &QuantizeOptions::default(),
    ));
    let int8 = int8.expect("quantizes").network;
    let again = write_and_read(&int8);
    assert_eq!(again.precision(), "int8");
    let [want, got] = [&int8, &again].map(|network| {
        let graph = network.runnable().expect("runs");
        run(&device, &graph, &case.inputs)
    });
    assert_eq!(relative(&got[0], &want[0]), 0.0);
}

/// What we write passes ONNX's checker, and ONNX Runtime gives our numbers for it: fp32, fp16, int8 and int4.
#[test]
fn written_files_run_in_onnx_runtime() {
    let Some(device) = device() else { return };
    let Some(python) = std::env::var_os("WIZEN_ONNX_PYTHON") else {
        let skipped = "SKIPPED ONNX Runtime: WIZEN_ONNX_PYTHON is not set";
        writeln!(std::io::stderr(), "{skipped}").expect("stderr");
        return;
    };
    let Some(case) = on_arrays("espcn_subpixel", None) else {
        return;
    };
    let inputs =
        shared("models/espcn_subpixel/eval_inputs.safetensors").expect("beside the network");
    let folder = tempfile::tempdir().expect("a folder");
    let [model, fed, answers] =
        ["m.onnx", "in.safetensors", "out.safetensors"].map(|n| folder.path().join(n));
    // The arrays under the name of the input.
    let array = read_safetensors(inputs).expect("readable").1.remove(0).1;
    let fed_as = [("input".to_owned(), array)];
    wizen::io::write_safetensors(&fed, BTreeMap::new(), &fed_as).expect("written");
    let images = case.inputs[0].clone();
    let items = FromFn::new("images", 6, move |i| Ok(vec![rows(&images, i, 1)]));
    // What is promised: 1e-4 and 1e-2 of the largest value in floats, 35 dB in integers.
    for scheme in ["fp32", "fp16", "int8", "w4a8"] {
        let network = match scheme {
            "fp32" => case.network.clone(),
            scheme => {
                let options = QuantizeOptions {
                    schemes: scheme.parse::<Scheme>().expect("a scheme").into(),
                    ..QuantizeOptions::default()
                };
                let job = Job::new(&device);
                let made = quantize(&job, &case.network, &items, &options);
                block_on(made).expect("quantizes").network
            }
        };
        onnx::write(&network, &model).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/runtime.py");
        let status = std::process::Command::new(&python)
            .arg(script)
            .args([&model, &fed, &answers])
            .status();
        assert!(status.expect("Python runs").success(), "{scheme}");
        let want = &stored(&answers)["output"];
        let graph = network.runnable().expect("runs");
        let got = &run(&device, &graph, &case.inputs)[0];
        let (off, db) = (relative(got, want), sqnr_db(got, want));
        let kept = match scheme {
            "fp32" => off < 1e-4,
            "fp16" => off < 1e-2,
            _ => db >= 35.0,
        };
        assert!(kept, "{scheme}: {off:e}, {db:.1} dB");
    }
}

/// Where ONNX's cases and ONNX Runtime differ (corners of a size that a scale makes no whole number), and we do as
/// the latter.
const AS_IN_ONNX_RUNTIME: [&str; 2] = [
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
];

/// ONNX's own cases of single operators, as `tests/onnx/nodes.py` writes them into `WIZEN_ONNX_CASES`: what
/// is read at all gives ONNX's numbers, on the GPU and on the CPU.
#[test]
fn single_operators_give_onnx_numbers() {
    let Some(gpu) = device() else { return };
    let mut out = std::io::stderr();
    let Some(folder) = std::env::var_os("WIZEN_ONNX_CASES") else {
        writeln!(out, "SKIPPED ONNX's cases: WIZEN_ONNX_CASES is not set").expect("stderr");
        return;
    };
    let folders = std::fs::read_dir(folder).expect("a folder");
    let mut folders: Vec<PathBuf> = folders
        .map(|entry| entry.expect("readable").path())
        .collect();
    folders.sort();
    let (mut passed, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for folder in folders {
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let network = onnx::read(folder.join("all.onnx"), &[])
            .or_else(|_| onnx::read(folder.join("one.onnx"), &[]));
        match network {
            Err(error) => refused.push((name, error.to_string())),
            Ok(network) => {
                let graph = network.runnable().expect("runs");
                let results = [&gpu, &Device::Cpu].map(|device| node_case(device, &folder, &graph));
                let problem = results.into_iter().find_map(Result::err);
                match (problem, AS_IN_ONNX_RUNTIME.contains(&name.as_str())) {
                    (Some(_), true) => {}
                    (None, true) => wrong.push(format!("{name}: it gives ONNX's numbers now")),
                    (None, false) => passed += 1,
                    (Some(problem), false) => wrong.push(format!("{name}: {problem}")),
                }
            }
        }
    }
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, error) in &refused {
        let reason = error.rsplit(": ").next().unwrap_or(error).to_owned();
        reasons.entry(reason).or_default().push(name.clone());
    }
    writeln!(
        out,
        "ONNX's cases: {passed} pass, {} are refused",
        refused.len()
    )
    .expect("stderr");
    for (reason, names) in reasons {
        writeln!(out, "  {reason}: {}", names.join(" ")).expect("stderr");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 0, "no case was found");
}

/// ONNX's own tolerance: 1e-3 of the value, and 1e-7.
fn node_case(device: &Device, folder: &Path, graph: &Graph) -> Result<(), String> {
    let arrays = read_safetensors(folder.join("io.safetensors"))
        .expect("readable")
        .1;
    let arrays: BTreeMap<String, StoredTensor> = arrays.into_iter().collect();
    let mut inputs = Vec::new();
    for id in graph.inputs() {
        let name = format!("in {}", graph.value(id).name);
        let array = arrays.get(&name).ok_or_else(|| format!("no `{name}`"))?;
        let values = array.to_f32().expect("floats");
        let shape = &graph.value(id).shape;
        let values = match shape.as_slice() {
            &[_, h, w, c] => {
                let images = values.chunks(c * h * w);
                let turned = images.flat_map(|image| {
                    (0..h * w).flat_map(move |at| (0..c).map(move |k| image[k * h * w + at]))
                });
                turned.collect()
            }
            _ => values,
        };
        let tensor = Tensor::from_f32(shape, &values);
        inputs.push(tensor.map_err(|e| e.to_string())?);
    }
    let plan = lower(graph, &device.caps()).map_err(|e| format!("lowering: {e}"))?;
    let mut executor = block_on(device.load(plan)).map_err(|e| e.to_string())?;
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let outputs = block_on(executor.run(&inputs)).map_err(|e| e.to_string())?;
    for (name, y) in graph.output_names().iter().zip(&outputs) {
        let name = format!("out {name}");
        let want = numbers(arrays.get(&name).ok_or_else(|| format!("no `{name}`"))?);
        let got = as_stored(y);
        if got.len() != want.len() {
            return Err(format!("{} elements, not {}", got.len(), want.len()));
        }
        let close = |(g, w): (&f64, &f64)| g == w || (g - w).abs() <= 1e-7 + 1e-3 * w.abs();
        if let Some(at) = got.iter().zip(&want).position(|pair| !close(pair)) {
            let device = device.name();
            return Err(format!(
                "{device}: element {at} is {}, not {}",
                got[at], want[at]
            ));
        }
    }
    Ok(())
}
