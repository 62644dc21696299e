//! Six networks through every command, on a handful of images. What a network cannot do is in a table.

mod forms;

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use wizen::Network;
use wizen::base::{DType, Rng, Tensor};
use wizen::graph::ops::{AvgPool, BatchNorm, Binary, Conv2d, GlobalAvgPool, Linear, Map, Op};
use wizen::graph::{Graph, ValueId};
use wizen::kernels::map::Unary;
use wizen::kernels::{Conv, Pool};
use wizen::models::{ResNet, Shortcut, build, random_weights};

use crate::cli::{fails, json, text};
use crate::resnet::random;

const IMAGES: usize = 10;
/// Commands that a network refuses, and the reason that the sentence must give.
const REFUSALS: [(&str, &str, &str); 4] = [
    // It learns by the cross-entropy of logits.
    (
        "two heads",
        "train",
        "`logits = boxes` has shape [5, 8, 8, 4]",
    ),
    ("two heads", "eval", "no classes"),
    ("two heads", "predict", "no classes"),
    ("two heads", "qat", "logits"),
];
/// Every kind of scheme, and what results are at least, in dB, where the bits promise something.
const SCHEMES: [(&str, Option<f64>); 8] = [
    ("fp16", Some(40.0)),
    ("int8", Some(20.0)),
    // Activations have seven bits.
    ("int8-torch", Some(14.0)),
    ("int8-onnx", Some(20.0)),
    ("w4a8", None),
    ("w2a4", None),
    ("w4", None),
    ("w1a8", None),
];

/// A folder with two images of each of five classes, coloured or the digits of LeNet-5.
fn pictures(dir: &Path, gray: bool) -> PathBuf {
    let folder = dir.join("pictures");
    let mut rng = Rng::new(4);
    for i in 0..IMAGES {
        let own = folder.join((i / 2).to_string());
        std::fs::create_dir_all(&own).expect("writable");
        let path = own.join(format!("{}.png", i % 2));
        let bright = |x: u32, y: u32, rng: &mut Rng| {
            let inside = (x / 6 + y / 6) as usize % 5 == i / 2;
            rng.below(90) as u8 + if inside { 150 } else { 0 }
        };
        if gray {
            let image = GrayImage::from_fn(28, 28, |x, y| Luma([bright(x, y, &mut rng)]));
            image.save(path).expect("writable");
        } else {
            let image =
                RgbImage::from_fn(32, 32, |x, y| Rgb([0; 3].map(|_| bright(x, y, &mut rng))));
            image.save(path).expect("writable");
        }
    }
    folder
}

/// A network being written down.
struct Sketch {
    graph: Graph,
    rng: Rng,
}

impl Sketch {
    fn param(&mut self, name: &str, shape: &[usize], low: f32, high: f32) -> ValueId {
        let data: Vec<f32> = (0..shape.iter().product())
            .map(|_| self.rng.range(low, high))
            .collect();
        let tensor = Tensor::from_f32(shape, &data).expect("as many as the shape says");
        self.graph.param(name, tensor)
    }

    fn push(&mut self, name: &str, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        self.graph.push(name, op, inputs).expect("fits")
    }

    /// A convolution to `out` channels, with a bias or with a batch norm behind it.
    fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        k: usize,
        conv: Conv,
        norm: bool,
    ) -> ValueId {
        let c = self.graph.value(x).shape[3] / conv.groups;
        let bound = (6.0 / (c * k * k) as f32).sqrt();
        let w = self.param(&format!("{name}.weight"), &[out, k, k, c], -bound, bound);
        let op = Conv2d::new(conv);
        if !norm {
            let b = self.param(&format!("{name}.bias"), &[out], -0.2, 0.2);
            return self.push(name, op, &[x, w, b]);
        }
        let y = self.push(name, op.without_bias(), &[x, w]);
        let mut of =
            |what: &str, low, high| self.param(&format!("{name}.norm.{what}"), &[out], low, high);
        let (gamma, beta) = (of("weight", 0.5, 1.5), of("bias", -0.3, 0.3));
        let (mean, var) = (of("running_mean", -0.3, 0.3), of("running_var", 0.5, 2.0));
        let op = BatchNorm { eps: 1e-5 };
        self.push(&format!("{name}.norm"), op, &[y, gamma, beta, mean, var])
    }

    fn act(&mut self, name: &str, f: Unary, x: ValueId) -> ValueId {
        self.push(name, Map { f }, &[x])
    }
}

/// A block of MobileNetV3: expanded, depthwise, squeezed and excited, projected, added.
fn mobile() -> Graph {
    let (graph, rng) = (Graph::new(), Rng::new(8));
    let mut it = Sketch { graph, rng };
    let x = it.graph.input("images", DType::F32, &[1, 16, 16, 3]);
    let point = Conv::square(1, 0, 1, 1);
    let x = it.conv("stem", x, 8, 3, Conv::square(2, 1, 1, 1), true);
    let stem = it.act("stem.act", Unary::HardSwish, x);
    let x = it.conv("expand", stem, 16, 1, point, true);
    let x = it.act("expand.act", Unary::HardSwish, x);
    let x = it.conv("depthwise", x, 16, 3, Conv::square(1, 1, 1, 16), true);
    let x = it.act("depthwise.act", Unary::HardSwish, x);
    let pool = Pool::whole(8, 8);
    let s = it.push("squeeze", AvgPool { pool }, &[x]);
    let s = it.conv("reduce", s, 4, 1, point, false);
    let s = it.act("reduce.act", Unary::Relu, s);
    let s = it.conv("excite", s, 16, 1, point, false);
    let f = Unary::HardSigmoid {
        alpha: 1.0 / 6.0,
        beta: 0.5,
    };
    let s = it.act("excite.act", f, s);
    let x = it.push("scaled", Binary::MUL, &[x, s]);
    let x = it.conv("project", x, 8, 1, point, true);
    let x = it.push("added", Binary::ADD, &[x, stem]);
    let x = it.push("mean", GlobalAvgPool, &[x]);
    let w = it.param("classes.weight", &[5, 8], -0.6, 0.6);
    let b = it.param("classes.bias", &[5], -0.2, 0.2);
    let y = it.push("classes", Linear::default(), &[x, w, b]);
    it.graph.output(y);
    it.graph
}

/// Boxes and scores of a detector: two convolutions are the results.
fn two_heads() -> Graph {
    let (graph, rng) = (Graph::new(), Rng::new(9));
    let mut it = Sketch { graph, rng };
    let x = it.graph.input("images", DType::F32, &[1, 16, 16, 3]);
    let x = it.conv("body", x, 8, 3, Conv::square(2, 1, 1, 1), true);
    let x = it.act("body.act", Unary::Relu, x);
    let x = it.conv("neck", x, 12, 3, Conv::square(1, 1, 1, 1), true);
    let x = it.act("neck.act", Unary::Relu, x);
    let boxes = it.conv("boxes", x, 4, 3, Conv::square(1, 1, 1, 1), false);
    let scores = it.conv("scores", x, 3, 1, Conv::square(1, 0, 1, 1), false);
    it.graph.output(boxes);
    it.graph.output(scores);
    it.graph
}

/// One network, its file and its images.
struct Row {
    name: &'static str,
    network: Network,
    dir: tempfile::TempDir,
    data: PathBuf,
    file: PathBuf,
    /// Every command again on the references.
    also_cpu: bool,
}

impl Row {
    fn new(name: &'static str, graph: Graph, also_cpu: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let network = Network::new(name, graph);
        let gray = network.image_shape().is_some_and(|[_, _, c]| c == 1);
        let data = pictures(dir.path(), gray);
        // One of them starts as a file of somebody else's.
        let file = dir.path().join(if name == "onnx" {
            "fp32.onnx"
        } else {
            "fp32.st"
        });
        wizen::save(&network, &file).expect("writable");
        Self {
            name,
            network,
            dir,
            data,
            file,
            also_cpu,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command that must succeed, or that must refuse in the sentence of the table.
    fn cell(&self, args: &[&str]) -> Option<Value> {
        let refusal = REFUSALS
            .iter()
            .find(|(name, command, _)| *name == self.name && *command == args[0]);
        let Some((_, _, reason)) = refusal else {
            return Some(json(args));
        };
        let sentence = fails(args);
        assert!(sentence.contains(reason), "{args:?}: {sentence}");
        None
    }

    fn all(&self) {
        let devices = ["auto", "cpu"]
            .into_iter()
            .take(1 + usize::from(self.also_cpu));
        for device in devices {
            self.judged(&self.file, device);
        }
        self.inspected();
        self.trained();
        self.quantized();
        self.pruned();
        self.benched();
        self.converted();
        self.run();
        self.kept_float();
    }

    fn inspected(&self) {
        let seen = self.cell(&["inspect", text(&self.file)]).expect("runs");
        assert_eq!(
            (&seen["arch"], &seen["precision"]),
            (&self.name.into(), &"fp32".into())
        );
        assert_eq!(seen["macs"], self.network.macs());
        let layers = seen["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), self.network.layers().len());
    }

    /// What `eval` counts is what `predict` answers; returns the accuracy.
    fn judged(&self, file: &Path, device: &str) -> Option<f64> {
        let data = text(&self.data);
        let judged = self.cell(&["eval", text(file), "--data", data, "--device", device]);
        let of = |class: usize, i: usize| self.data.join(format!("{class}/{i}.png"));
        let files: Vec<PathBuf> = (0..IMAGES).map(|i| of(i / 2, i % 2)).collect();
        let mut args = vec!["predict", text(file), "--device", device, "--top", "100"];
        args.extend(files.iter().map(|path| text(path)));
        let answers = self.cell(&args);
        let (judged, answers) = (judged?, answers?);
        assert_eq!(judged["images"], IMAGES);
        let predictions = answers["predictions"].as_array().expect("a list");
        let mut right = 0;
        for (i, prediction) in predictions.iter().enumerate() {
            let classes = prediction["classes"].as_array().expect("a list");
            let sum: f64 = classes
                .iter()
                .filter_map(|c| c["probability"].as_f64())
                .sum();
            // Shares that the network makes itself are f32.
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            right += usize::from(classes[0]["index"] == i / 2);
        }
        let top1 = judged["top1"].as_f64().expect("a number");
        assert_eq!(top1, right as f64 / IMAGES as f64, "{}", self.name);
        Some(top1)
    }

    /// One epoch of two steps; what was written is as good as was said.
    fn trained(&self) {
        let (data, model) = (text(&self.data), text(&self.file));
        let fit = [
            "--data", data, "--epochs", "1", "--batch", "5", "--shift", "0",
        ];
        let (further, qat) = (self.path("further.st"), self.path("qat.st"));
        let made = self.cell(
            &[
                &["train", "--from", model, "--out", text(&further)],
                &fit[..],
            ]
            .concat(),
        );
        if let Some(made) = made {
            assert_eq!(made["accuracy"].as_f64(), self.judged(&further, "auto"));
            assert!(made["loss"].as_f64() > Some(0.0));
        }
        let own = [
            "--scheme",
            "int8",
            "--calib",
            "8",
            "--alone",
            "0",
            "--requant",
            "fixed",
        ];
        let made = self.cell(&[&["qat", model, "--out", text(&qat)], &fit[..], &own].concat());
        if let Some(made) = made {
            // Integers alone: other batches and devices give the same.
            assert_eq!(made["accuracy"].as_f64(), self.judged(&qat, "auto"));
            let same = json(&["compare", text(&qat), "--data", data, "--limit", "2"]);
            assert!(self.is_exact(&same), "{same}");
        }
    }

    fn quantized(&self) {
        let (data, model) = (text(&self.data), text(&self.file));
        for (scheme, least) in SCHEMES {
            let out = self.path(scheme);
            let args = [
                "quantize",
                model,
                "--data",
                data,
                "--out",
                text(&out),
                "--scheme",
                scheme,
            ];
            let args = [
                &args[..],
                &["--calib", "8", "--alone", "0", "--requant", "fixed"],
            ]
            .concat();
            let made = self.cell(&args).expect("runs");
            assert_eq!(made["scheme"], scheme);
            // ONNX has other words for a graph, and this network is hardly more than its graph.
            let smaller = made["bytes_after"].as_u64() < made["bytes_before"].as_u64();
            assert!(smaller || self.name == "onnx", "{made}");
            let layers = made["layers"].as_array().expect("layers");
            assert_eq!(layers.len(), self.network.layers().len());
            for layer in layers {
                let db = layer["sqnr_db"].as_f64();
                assert!(
                    db.is_none_or(|db| least.is_none_or(|least| db > least)),
                    "{} {scheme}: {layer}",
                    self.name
                );
            }
            let seen = json(&["inspect", text(&out)]);
            let precision = seen["precision"].as_str().expect("a word");
            let bits = match scheme {
                "int8-torch" => "w8a7",
                "int8-onnx" => "int8",
                other => other,
            };
            assert_eq!(precision, bits, "{}", self.name);
        }
        let int8 = self.path("int8");
        let exact = self
            .cell(&["compare", text(&int8), "--data", data, "--limit", "2"])
            .expect("runs");
        assert!(self.is_exact(&exact), "{exact}");
        assert_eq!(exact["agreement"], 1.0);
        let float = json(&[
            "compare",
            text(&int8),
            "--against",
            model,
            "--data",
            data,
            "--limit",
            "4",
        ]);
        assert!(
            float["output_sqnr_db"].as_f64() > Some(20.0),
            "{}: {float}",
            self.name
        );
        self.judged(&int8, "auto");
        let alike = json(&["compare", model, "--data", data, "--limit", "2"]);
        let steps = alike["steps"].as_array().expect("steps");
        assert!(
            !steps.is_empty() && steps.iter().all(|step| step["mismatches"] == 0),
            "{alike}"
        );
    }

    fn pruned(&self) {
        let (data, model) = (text(&self.data), text(&self.file));
        let (sparse, thin) = (self.path("sparse.st"), self.path("thin.st"));
        let made = self
            .cell(&["prune", model, "--out", text(&sparse), "--sparsity", "0.5"])
            .expect("runs");
        let weights = |layer: &wizen::LayerInfo| layer.shape.iter().product::<usize>();
        let weights: usize = self.network.layers().iter().map(weights).sum();
        let asked = (0.5 * weights as f64).round_ties_even() / weights as f64;
        let close = |value: &Value| (value.as_f64().expect("a number") - asked).abs() < 1e-9;
        assert!(close(&made["sparsity"]), "{made}");
        assert!(close(&json(&["inspect", text(&sparse)])["sparsity"]));
        let channels = [
            "--method",
            "channels",
            "--multiple",
            "2",
            "--sparsity",
            "0.5",
        ];
        let made = self
            .cell(&[&["prune", model, "--out", text(&thin)], &channels[..]].concat())
            .expect("runs");
        let (before, after) = (made["macs_before"].as_u64(), made["macs_after"].as_u64());
        assert_eq!(before, Some(self.network.macs()));
        assert!(after < before.map(|macs| macs * 3 / 4), "{made}");
        assert_eq!(json(&["inspect", text(&thin)])["macs"].as_u64(), after);
        let runs = json(&["compare", text(&thin), "--data", data, "--limit", "2"]);
        let steps = runs["steps"].as_array().expect("steps");
        assert!(steps.iter().all(|step| step["mismatches"] == 0), "{runs}");
    }

    fn benched(&self) {
        let args = [
            "bench",
            text(&self.file),
            "--batch",
            "2",
            "--runs",
            "1",
            "--no-tune",
        ];
        let times = self.cell(&args).expect("runs");
        let rows = times["rows"].as_array().expect("rows").iter();
        let precisions: Vec<&str> = rows.filter_map(|row| row["precision"].as_str()).collect();
        assert_eq!(precisions, ["fp32", "fp16", "int8"], "{times}");
    }
}

#[test]
fn lenet5() {
    let weights = random_weights("lenet5", 1).expect("known");
    Row::new("lenet5", build("lenet5", 1, &weights).expect("fits"), true).all();
}

/// ResNet18 but for its widths.
#[test]
fn resnet18() {
    let net = ResNet {
        image: 32,
        channels: 3,
        stem: 7,
        stem_width: 8,
        stages: vec![(2, 8), (2, 8), (2, 16), (2, 16)],
        bottleneck: false,
        shortcut: Shortcut::Projection,
        classes: 5,
    };
    assert_eq!(net.name(), "resnet18");
    Row::new(
        "resnet18",
        net.graph(1, &random(&net, 2)).expect("fits"),
        false,
    )
    .all();
}

#[test]
fn resnet20() {
    let net = ResNet::named("resnet20").expect("known");
    Row::new(
        "resnet20",
        net.graph(1, &random(&net, 3)).expect("fits"),
        false,
    )
    .all();
}

#[test]
fn depthwise_with_squeeze_and_excite() {
    Row::new("mobile", mobile(), true).all();
}

#[test]
fn two_convolutions_as_results() {
    Row::new("two heads", two_heads(), true).all();
}

#[test]
fn a_file_of_somebody_else() {
    Row::new("onnx", forms::with_shares(), false).all();
}
