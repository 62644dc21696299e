//! Tiny networks with every operator that is read, and what ONNX Runtime answers for them.
//! `tests/onnx/small.py` writes them; the test needs no Python.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pollster::block_on;
use wizen::base::{DType, Tensor};
use wizen::graph::{Device, Graph, ValueId, lower};
use wizen::io::{StoredTensor, read_safetensors};
use wizen::{Network, OpenOptions, onnx, open_with};

use crate::harness;
use crate::onnx::as_stored;

/// Networks that the script writes.
const NETWORKS: usize = 40;

/// A file, an example, and what ONNX Runtime answers for it.
struct Case {
    name: String,
    path: PathBuf,
    inputs: BTreeMap<String, StoredTensor>,
    want: BTreeMap<String, StoredTensor>,
    /// What one integer of a result stands for, where it is made of integers.
    steps: BTreeMap<String, f64>,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx/small");
    let entries = std::fs::read_dir(folder).expect("the folder of the networks");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    paths.sort();
    assert_eq!(paths.len(), NETWORKS, "the script writes as many");
    paths.into_iter().map(Case::new).collect()
}

impl Case {
    fn new(path: PathBuf) -> Self {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let arrays = read_safetensors(path.with_extension("safetensors"));
        let mut case = Self {
            name: name.into_owned(),
            path: path.clone(),
            inputs: BTreeMap::new(),
            want: BTreeMap::new(),
            steps: BTreeMap::new(),
        };
        for (key, array) in arrays.expect("an example").1 {
            let (kind, name) = key.split_once(':').expect("kind:name");
            let name = name.to_owned();
            match kind {
                "in" => drop(case.inputs.insert(name, array)),
                "out" => drop(case.want.insert(name, array)),
                "step" => drop(case.steps.insert(name, numbers(&array)[0])),
                kind => panic!("{key}: {kind}"),
            }
        }
        assert!(
            !case.inputs.is_empty() && !case.want.is_empty(),
            "{}",
            case.name
        );
        case
    }

    fn read(&self) -> Network {
        // Sizes of pictures that the file leaves open are those of the example.
        let given = match self.name.as_str() {
            "open_size" => self.inputs.iter(),
            _ => Default::default(),
        };
        let inputs = given.map(|(name, array)| (name.clone(), array.shape.clone()));
        let options = OpenOptions {
            arch: None,
            inputs: inputs.collect(),
        };
        open_with(&self.path, &options).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Results by name, in the order of the file's axes.
    fn run(&self, device: &Device, graph: &Graph) -> BTreeMap<String, Vec<f64>> {
        let name = &self.name;
        let first = self.inputs.values().next().expect("an input").shape[0];
        let graph = match graph.batch() == first {
            true => graph.clone(),
            false => graph.with_batch(first).expect("any batch"),
        };
        let inputs: Vec<Tensor> = graph
            .inputs()
            .iter()
            .map(|&id| {
                let value = graph.value(id);
                let array = &self.inputs[&value.name];
                let tensor = as_ours(array);
                assert_eq!(tensor.shape(), value.shape, "{name}: {}", value.name);
                tensor
            })
            .collect();
        let plan = lower(&graph, &device.caps()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut executor = block_on(device.load(plan)).expect("loads");
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let outputs = block_on(executor.run(&inputs)).expect("runs");
        let names = graph.output_names().iter().cloned();
        names.zip(outputs.iter().map(as_stored)).collect()
    }

    /// As many results as the file has, of as many elements, none further away than `limit` says.
    fn compare(
        &self,
        got: &BTreeMap<String, Vec<f64>>,
        limit: impl Fn(&str, &[f64]) -> f64,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let names = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(got.keys().collect()),
            names(self.want.keys().collect()),
            "{}",
            self.name
        );
        for (output, want) in &self.want {
            let (want, got) = (numbers(want), &got[output]);
            assert_eq!(want.len(), got.len(), "{}: {output}", self.name);
            let limit = limit(output, &want);
            let off = want.iter().zip(got).map(|(w, g)| (w - g).abs());
            let off = off.fold(0.0, |m, d| if d.is_nan() { d } else { f64::max(m, d) });
            if off.is_nan() || off > limit {
                wrong.push(format!(
                    "{} {output}: off by {off:e}, allowed {limit:e}",
                    self.name
                ));
            }
        }
        wrong
    }
}

fn numbers(array: &StoredTensor) -> Vec<f64> {
    let values = array.to_f32().expect("floats");
    values.into_iter().map(f64::from).collect()
}

/// Images with their channels last.
fn as_ours(array: &StoredTensor) -> Tensor {
    let values = array.to_f32().expect("floats");
    let &[n, c, h, w] = array.shape.as_slice() else {
        return Tensor::from_f32(&array.shape, &values).expect("fits");
    };
    let images = values.chunks(c * h * w);
    let turned = images.flat_map(|image| {
        (0..h * w).flat_map(move |at| (0..c).map(move |k| image[k * h * w + at]))
    });
    let turned: Vec<f32> = turned.collect();
    Tensor::from_f32(&[n, h, w, c], &turned).expect("fits")
}

/// The GPU, if there is one, and the references.
fn devices() -> Vec<Device> {
    let gpu = harness::gpu().map(Device::Gpu);
    gpu.into_iter().chain([Device::Cpu]).collect()
}

/// How far answers of floats may be, over the largest value of a result.
fn close(name: &str) -> f64 {
    match name {
        // Sums of halves are rounded to halves at each layer's end, wherever they are summed.
        "halves" => 1e-3,
        // ONNX Runtime rounds activations to 8 bits as it runs; here they stay what they are.
        "ranges_as_it_runs" => 1e-2,
        _ => 1e-4,
    }
}

#[test]
fn floats_are_those_of_onnx_runtime() {
    let devices = devices();
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.steps.is_empty()) {
        let network = case.read();
        // As it runs, and as it was read.
        for graph in [&network.runnable().expect("runs"), &network.graph] {
            for device in &devices {
                let got = case.run(device, graph);
                let largest = |want: &[f64]| want.iter().fold(0.0, |m, w| f64::max(m, w.abs()));
                wrong.extend(case.compare(&got, |_, want| close(&case.name) * largest(want)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Steps of a result's scale that answers of integers may be away.
fn steps(name: &str) -> f64 {
    match name {
        // ONNX Runtime's softmax of integers adds up a table of exponentials: at the edge of a step it may
        // round the other way.
        "qlinear_classifier" => 1.0,
        // Sums, rounding and saturation are those of ONNX Runtime, to the bit.
        _ => 0.0,
    }
}

#[test]
fn integers_are_those_of_onnx_runtime() {
    let devices = devices();
    let mut wrong = Vec::new();
    let mut layers = 0;
    for case in cases().iter().filter(|case| !case.steps.is_empty()) {
        let network = case.read();
        let graph = network.runnable().expect("runs");
        for device in &devices {
            let got = case.run(device, &graph);
            // A step is the product of the integer and the scale, rounded to f32.
            wrong.extend(case.compare(&got, |y, _| (steps(&case.name) + 1e-3) * case.steps[y]));
            for (name, want) in &case.want {
                if let &[_, classes] = want.shape.as_slice() {
                    let [want, got] = [&numbers(want), &got[name]].map(|y| best(y, classes));
                    assert_eq!(want, got, "{}: {name}", case.name);
                }
            }
        }
        for node in graph.nodes() {
            if node.op.weights().is_some() {
                let types = [0, 1].map(|i| graph.value(node.inputs[i]).dtype);
                assert_eq!(types, [DType::I8; 2], "{}: {}", case.name, node.name);
                layers += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(layers > 15, "{layers} layers of integers");
}

/// The class of each row.
fn best(rows: &[f64], classes: usize) -> Vec<Option<usize>> {
    let rows = rows.chunks(classes);
    let best = rows.map(|row| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])));
    best.collect()
}

/// What a graph says but for the names of what it computes: operations with their attributes, where each operand
/// comes from, shapes, types and scales, and every number of its parameters.
fn said(graph: &Graph) -> Vec<String> {
    let mut places: HashMap<ValueId, String> = HashMap::new();
    for id in graph.inputs() {
        places.insert(id, graph.value(id).name.clone());
    }
    let mut lines = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let operands = node.inputs.iter().map(|id| match graph.tensor(*id) {
            Some(tensor) => format!("{:?} {:?}", graph.value(*id).quant, tensor),
            None => places[id].clone(),
        });
        let operands: Vec<String> = operands.collect();
        let made = node.outputs.iter().map(|id| {
            let value = graph.value(*id);
            format!("{:?} {:?} {:?}", value.dtype, value.shape, value.quant)
        });
        let made: Vec<String> = made.collect();
        lines.push(format!("{:?} of {operands:?} makes {made:?}", node.op));
        for (k, &id) in node.outputs.iter().enumerate() {
            places.insert(id, format!("{i}.{k}"));
        }
    }
    let results = graph.outputs().iter().map(|id| places[id].clone());
    lines.extend(results);
    lines
}

fn again(name: &str, network: &Network) -> Network {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("again.onnx");
    onnx::write(network, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut read = onnx::read(&path, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
    // Files leave the batch open where they can.
    let batch = network.graph.batch();
    if read.graph.batch() != batch {
        read.graph = read.graph.with_batch(batch).expect("any batch");
    }
    read
}

/// Networks that are written in other steps than they were read in, with the same results; read once more they
/// stay what they are.
const IN_OTHER_STEPS: [&str; 3] = [
    // Sequences get their axis of rows before their channels are last, not after.
    "conv_sequence",
    "conv_transposed",
    // Blocks of pixels that become channels are put together in front of the columns.
    "depth_and_space",
];

#[test]
fn written_and_read_again_they_are_the_same() {
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.name.as_str();
        let first = case.read();
        let second = again(name, &first);
        let [a, b] = [&first, &second].map(|n| case.run(&Device::Cpu, &n.graph));
        if a != b {
            wrong.push(format!("{name}: other bits"));
        }
        let same = said(&first.graph) == said(&second.graph);
        if same == IN_OTHER_STEPS.contains(&name) {
            let [a, b] = [&first.graph, &second.graph];
            wrong.push(format!("{name}, the same: {same}\n{a}\n----\n{b}"));
        }
        let third = again(name, &second);
        if said(&second.graph) != said(&third.graph) {
            let [a, b] = [&second.graph, &third.graph];
            wrong.push(format!("{name}, a second time:\n{a}\n----\n{b}"));
        }
        // Layers keep their names, also those whose result is one of the network.
        let [a, b] = [&first, &second].map(|network| {
            let layers = network.layers().into_iter().map(|layer| layer.name);
            layers.collect::<Vec<String>>()
        });
        if same && a != b {
            wrong.push(format!("{name}: layers {a:?} are called {b:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_and_sizes_are_found() {
    for case in cases() {
        let graph = case.read().graph.to_string();
        let has = |word: &str, count: usize| {
            assert_eq!(
                graph.matches(word).count(),
                count,
                "{}:\n{graph}",
                case.name
            );
        };
        match case.name.as_str() {
            // Each spelling is the function, and nothing of it is left.
            "hard_swish_spelled" => {
                has("HardSwish", 3);
                has("Clip", 0);
            }
            "gates_spelled" => ["Silu", "{ f: Gelu }", "GeluTanh", "Mish"]
                .map(|f| has(f, 1))
                .into_iter()
                .collect(),
            // Shape arithmetic is done when the file is read.
            "known_shapes" => has(" = ", 8),
            "open_size" => {
                let error = onnx::read(&case.path, &[]).expect_err("a size is missing");
                let error = error.to_string();
                assert!(error.contains("--input x=1x3x224x224"), "{error}");
            }
            _ => {}
        }
    }
}
