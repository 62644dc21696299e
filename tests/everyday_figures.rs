//! Figures that mean something: answers that are no numbers, one logit, layers that stay float, inputs that are no
//! pictures.

use wizen::Network;
use wizen::base::{DType, Preprocess, QParams, Range, Requant, Tensor};
use wizen::graph::Graph;
use wizen::graph::ops::{GlobalAvgPool, Linear};
use wizen::io::{StoredTensor, StoredType, write_safetensors};

use wizen::kernels::map::Unary;
use wizen::quant::{QuantParams, Scheme, choose_weights, freeze};

use crate::cli::{fails, json, text};
use crate::everyday::{SIDE, colours, picture, stderr, temporary, three_colours};

#[test]
fn one_logit_is_a_sigmoid() {
    let dir = temporary();
    let mut graph = Graph::new();
    let x = graph.input("images", DType::F32, &[1, SIDE, SIDE, 3]);
    let x = graph.push("mean", GlobalAvgPool, &[x]).expect("fits");
    let w = Tensor::from_f32(&[1, 3], &[3f32.ln(), -(9f32.ln()), 0.0]).expect("fits");
    let w = graph.param("fc.weight", w);
    let y = graph.push("fc", Linear::default(), &[x, w]).expect("fits");
    graph.output(y);
    let network = Network {
        preprocess: Some(Preprocess::preset("unit", [SIDE, SIDE, 3]).expect("a preset")),
        ..Network::new("yes", graph)
    };
    let model = dir.path().join("m.st");
    network.save(&model).expect("writable");
    let data = dir.path().join("data");
    let red = picture(data.join("yes/1.png"), 0);
    let green = picture(data.join("no/1.png"), 1);
    let p = json(&[
        "predict",
        text(&model),
        text(&red),
        text(&green),
        "--top",
        "1",
    ]);
    for (i, (label, share)) in [("yes", 0.75), ("no", 0.9)].into_iter().enumerate() {
        let class = &p["predictions"][i]["classes"][0];
        assert_eq!(class["label"], label);
        assert!(
            (class["probability"].as_f64().expect("a number") - share).abs() < 1e-5,
            "{p}"
        );
    }
    assert_eq!(
        json(&["eval", text(&model), "--data", text(&data)])["top1"],
        1.0
    );
    let error = fails(&[
        "train",
        "--from",
        text(&model),
        "--data",
        text(&data),
        "--batch",
        "1",
        "--out",
        text(&dir.path().join("x.st")),
    ]);
    assert!(error.contains("one logit"), "{error}");
}

#[test]
fn answers_that_are_no_numbers_end_the_job() {
    let dir = temporary();
    // The weights of both are within fp16; what comes out of the first is not.
    let small = colours(dir.path(), "small.st", 3e4, 0, &["red", "green", "blue"]);
    let model = dir.path().join("m.st");
    let mut network = wizen::open(&small, None).expect("just written");
    if let Some(preprocess) = &mut network.preprocess {
        preprocess.std = vec![0.1; 3];
    }
    network.save(&model).expect("writable");
    let data = dir.path().join("data");
    three_colours(&data);
    let (model, data) = (text(&model), text(&data));
    assert_eq!(json(&["eval", model, "--data", data])["top1"], 1.0);
    let out = dir.path().join("h.st");
    let half = [
        "quantize",
        model,
        "--data",
        data,
        "--out",
        text(&out),
        "--scheme",
        "fp16",
    ];
    for device in ["cpu", "auto"] {
        let error = fails(&[&half[..], &["--device", device]].concat());
        assert!(
            error.contains("conv: ") && error.contains("fp16 cannot hold"),
            "{error}"
        );
        assert!(!out.exists());
    }
    // The remedy that the sentence names.
    json(&[&half[..], &["--layer", "conv=float", "--layer", "fc=float"]].concat());
    assert_eq!(json(&["eval", text(&out), "--data", data])["top1"], 1.0);
    let file = dir.path().join("bad.st");
    let mut network = wizen::open(model, None).expect("just written");
    let id = network.graph.find("fc.bias").expect("there");
    let bad = Tensor::from_f32(&[3], &[0.0, f32::NAN, 0.0]).expect("fits");
    network.graph.set_tensor(id, bad).expect("fits");
    network.save(&file).expect("writable");
    for command in ["eval", "compare"] {
        let error = fails(&[command, text(&file), "--data", data]);
        assert!(
            error.contains("fc: it is the first layer whose result is not finite: NaN"),
            "{error}"
        );
    }
}

#[test]
fn a_layer_stays_float_and_inputs_are_not_overwritten() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1.0, 0, &["red", "green", "blue"]);
    let data = dir.path().join("data");
    three_colours(&data);
    let (model, data) = (text(&model), text(&data));
    let out = dir.path().join("q.st");
    let args = [
        "quantize", model, "--data", data, "--layer", "fc=float", "--out",
    ];
    for scheme in ["int8", "w4a8", "w4", "fp16", "int8-onnx"] {
        let q = json(&[&args[..], &[text(&out), "--scheme", scheme]].concat());
        let bits = |i: usize| q["layers"][i]["bits"].as_u64().expect("a number");
        assert!(bits(0) <= 16 && bits(1) == 32, "{scheme}: {q}");
        let layers = wizen::open(&out, None).expect("just written").layers();
        assert_eq!(layers[1].dtype, "f32", "{scheme}");
        assert_eq!(
            json(&["eval", text(&out), "--data", data])["top1"],
            1.0,
            "{scheme}"
        );
    }
    let error = fails(&[&args[..], &[text(&out), "--layer", "fx=float"]].concat());
    assert!(error.contains("no layer `fx`"), "{error}");
    let before = std::fs::read(model).expect("there");
    let error = fails(&[&args[..], &[model]].concat());
    assert!(error.contains("--force"), "{error}");
    let through = dir.path().join("other");
    std::fs::create_dir(&through).expect("writable");
    let round = through.join("../m.st");
    let prune = ["prune", model, "--sparsity", "0.3", "--out", text(&round)];
    assert!(fails(&prune).contains("--force"));
    assert_eq!(std::fs::read(model).expect("there"), before);
    json(&[&prune[..], &["--force"]].concat());
    assert_ne!(std::fs::read(model).expect("there"), before);
}

#[test]
fn arrays_for_networks_without_pictures() {
    let dir = temporary();
    let mut graph = Graph::new();
    let x = graph.input("signal", DType::F32, &[1, 2, 5, 2]);
    let x = graph.push("mean", GlobalAvgPool, &[x]).expect("fits");
    let w = Tensor::from_f32(&[2, 2], &[1.0, 0.0, 0.0, 1.0]).expect("fits");
    let w = graph.param("fc.weight", w);
    let y = graph.push("fc", Linear::default(), &[x, w]).expect("fits");
    graph.output(y);
    let model = dir.path().join("m.st");
    Network::new("signals", graph)
        .save(&model)
        .expect("writable");
    // Three items whose second channel is the larger one but in the last; as PyTorch has them, [n, c, h, w].
    let mut values = Vec::new();
    for (first, second) in [(0f32, 1f32), (-2.0, -1.0), (3.0, 1.0)] {
        values.extend([[first; 10], [second; 10]].concat());
    }
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let x = StoredTensor::new(StoredType::F32, &[3, 2, 2, 5], bytes).expect("fits");
    let y: Vec<u8> = [1i64, 1, 0].iter().flat_map(|y| y.to_le_bytes()).collect();
    let y = StoredTensor::new(StoredType::I64, &[3], y).expect("fits");
    let file = dir.path().join("data.safetensors");
    let arrays = [("signal".to_owned(), x), ("labels".to_owned(), y)];
    write_safetensors(&file, Default::default(), &arrays).expect("writable");
    let (model, file) = (text(&model), text(&file));
    assert_eq!(json(&["eval", model, "--data", file])["top1"], 1.0);
    let out = dir.path().join("q.st");
    let q = json(&[
        "quantize",
        model,
        "--data",
        file,
        "--eval-data",
        file,
        "--out",
        text(&out),
    ]);
    assert_eq!(q["accuracy"], serde_json::json!([1.0, 1.0]), "{q}");
    assert_eq!(
        json(&["eval", text(&out), "--data", file, "--limit", "2"])["images"],
        2
    );
    let learn = [
        "--epochs",
        "1",
        "--batch",
        "3",
        "--out",
        text(&out),
        "--data",
        file,
    ];
    json(&[&["train", "--from", model], &learn[..]].concat());
    let error = fails(&["eval", model, "--data", text(dir.path())]);
    assert!(
        error.contains("takes no pictures") && error.contains(".npy"),
        "{error}"
    );
    // A npy file by hand, from its specification: magic, version, length of the header, header, elements.
    let npy = |shape: &str, bytes: &[u8]| {
        let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        header += &" ".repeat(117 - header.len());
        header.push('\n');
        [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), bytes].concat()
    };
    let path = dir.path().join("x.npy");
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(&path, npy("(3, 2, 2, 5)", &bytes)).expect("writable");
    json(&[
        "quantize",
        model,
        "--data",
        text(&path),
        "--out",
        text(&out),
    ]);
    for (shape, bytes, words) in [
        ("(3, 2, 2, 5)", &bytes[..8], "cut short"),
        ("(4000000000, 4000000000, 5)", &bytes[..], "cut short"),
        (
            "(3, 4, 5)",
            &bytes[..],
            "the model takes [n, 2, 5, 2] or [n, 2, 2, 5]",
        ),
    ] {
        std::fs::write(&path, npy(shape, bytes)).expect("writable");
        let error = fails(&[
            "quantize",
            model,
            "--data",
            text(&path),
            "--out",
            text(&out),
        ]);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_function_that_integers_lack_behind_a_sum_is_refused_by_name() {
    let mut graph = Graph::new();
    let x = graph.input("x", DType::F32, &[1, 4]);
    let w = graph.param(
        "fc.weight",
        Tensor::from_f32(&[2, 4], &[0.5; 8]).expect("fits"),
    );
    let silu = Linear {
        act: Some(Unary::Silu),
    };
    let y = graph.push("fc", silu, &[x, w]).expect("fits");
    // Read by integers: behind the last layer the function is one of floats.
    let w = Tensor::from_f32(&[3, 2], &[0.25; 6]).expect("fits");
    let w = graph.param("fc2.weight", w);
    let z = graph.push("fc2", Linear::default(), &[y, w]).expect("fits");
    graph.output(z);
    let weights = choose_weights(&graph, &Scheme::INT8.into(), None).expect("finite");
    let q = QParams {
        scale: 0.1,
        zero_point: 0,
        range: Range::affine(8),
    };
    let activations = ["x", "fc"].map(|name| (name.to_owned(), q)).into();
    let params = QuantParams {
        activations,
        weights,
        ..QuantParams::default()
    };
    let error = freeze(&graph, &params, Requant::Fixed).expect_err("SiLU");
    assert!(error.to_string().contains("fc: it ends in silu"), "{error}");
}

#[test]
fn an_emptied_layer_is_said() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1e-3, 0, &[]);
    let out = dir.path().join("p.st");
    // Of 18 weights 12 are zero and the convolution's three are the smallest others.
    let args = ["prune", text(&model), "--out", text(&out), "--sparsity"];
    let said = stderr(&[&args[..], &["0.9"]].concat());
    assert!(said.contains("every weight of `conv` is zero"), "{said}");
    let said = stderr(&[&args[..], &["0.7"]].concat());
    assert!(!said.contains("every weight"), "{said}");
}

#[test]
fn a_new_head_has_the_classes_of_the_data_in_the_order_asked_for() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1.0, 4, &[]);
    let (data, out) = (dir.path().join("data"), dir.path().join("new.st"));
    three_colours(&data);
    let args = [
        "train",
        "--from",
        text(&model),
        "--data",
        text(&data),
        "--out",
        text(&out),
    ];
    let error = fails(&[&args[..], &["--batch", "3"]].concat());
    assert!(error.contains("--new-head"), "{error}");
    let learn = [
        "--new-head",
        "--batch",
        "3",
        "--shift",
        "0",
        "--lr",
        "0.5",
        "--epochs",
        "60",
    ];
    let learn = [&args[..], &learn].concat();
    assert_eq!(json(&learn)["accuracy"], 1.0);
    let labels = || wizen::open(&out, None).expect("just written").labels;
    assert_eq!(labels(), ["blue", "green", "red"]);
    let names = dir.path().join("names.txt");
    std::fs::write(&names, "red\ngreen\nblue\n").expect("writable");
    assert_eq!(
        json(&[&learn[..], &["--labels", text(&names)]].concat())["accuracy"],
        1.0
    );
    assert_eq!(labels(), ["red", "green", "blue"]);
    let red = data.join("red/1.png");
    let answer = json(&["predict", text(&out), text(&red), "--top", "1"]);
    assert_eq!(answer["predictions"][0]["classes"][0]["label"], "red");
}
