//! A foreign residual network through every command, on generated photographs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use wizen::base::Rng;
use wizen::io::{StoredTensor, StoredType, write_safetensors};
use wizen::models::{ResNet, Shortcut};

use crate::cli::{fails, json, text, wizen};
use crate::resnet::{foreign, random};

const CLASSES: usize = 5;

fn net() -> ResNet {
    ResNet {
        image: 32,
        channels: 3,
        stem: 3,
        stem_width: 8,
        stages: vec![(1, 8), (1, 16), (1, 16)],
        bottleneck: false,
        shortcut: Shortcut::Projection,
        classes: CLASSES,
    }
}

/// The network as PyTorch would save it, in this float type.
pub fn checkpoint(dir: &Path, name: &str, dtype: StoredType, counters: bool) -> PathBuf {
    let path = dir.join(name);
    let mut tensors = Vec::new();
    for (name, shape, data) in foreign(&random(&net(), 2)) {
        let bytes: Vec<u8> = match dtype {
            StoredType::F16 => data
                .iter()
                .flat_map(|&x| half::f16::from_f32(x).to_le_bytes())
                .collect(),
            StoredType::BF16 => data
                .iter()
                .flat_map(|&x| half::bf16::from_f32(x).to_le_bytes())
                .collect(),
            _ => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        if counters && name.ends_with("running_var") {
            let counter = StoredTensor::new(StoredType::I64, &[], 9i64.to_le_bytes().to_vec());
            let name = name.replace("running_var", "num_batches_tracked");
            tensors.push((name, counter.expect("one number")));
        }
        tensors.push((name, StoredTensor::new(dtype, &shape, bytes).expect("fits")));
    }
    write_safetensors(&path, BTreeMap::new(), &tensors).expect("writable");
    path
}

/// Pictures of coloured squares, one subfolder per class.
fn pictures(dir: &Path) -> PathBuf {
    let folder = dir.join("pictures");
    let mut rng = Rng::new(11);
    for class in 0..CLASSES {
        let own = folder.join(format!("class{class}"));
        std::fs::create_dir_all(&own).expect("writable");
        for i in 0..4 {
            let mut image = RgbImage::new(48, 40);
            for _ in 0..12 {
                let colour = Rgb([0, 1, 2].map(|_| rng.below(256) as u8));
                let (x, y, side) = (rng.below(40) as u32, rng.below(32) as u32, 8);
                for at in 0..side * side {
                    image.put_pixel(x + at % side, y + at / side, colour);
                }
            }
            image.save(own.join(format!("{i}.png"))).expect("writable");
        }
    }
    folder
}

/// The page of a quantized network needs nothing from outside, and shows every layer.
pub fn self_contained(page: &Path, layers: &[serde_json::Value]) {
    let html = std::fs::read_to_string(page).expect("written");
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    let xml = "xmlns=\"http://www.w3.org/2000/svg\"";
    let outside = html.replace(xml, "");
    for word in [
        "http:", "https:", "src=", "href", "url(", "@import", "<script", "<link", "NaN",
    ] {
        assert!(!outside.contains(word), "{word}");
    }
    // Errors, costs alone, ranges of weights and, but for the last layer's floats, of results.
    assert_eq!(html.matches("<svg ").count(), 4);
    for layer in layers {
        let name = layer["name"].as_str().expect("a name");
        let cell = format!("<td>{name}</td>");
        assert_eq!(html.matches(&cell).count(), 2, "{name}: results, weights");
        let weight = layer["weight_range"][1].as_f64().expect("a number");
        assert!(weight.is_finite());
    }
}

#[test]
fn a_foreign_checkpoint_goes_through_every_command() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = pictures(dir.path());
    let data = text(&folder);
    let model = checkpoint(dir.path(), "resnet.safetensors", StoredType::F32, true);
    let model = text(&model);
    let out = |name: &str| dir.path().join(name);

    let whole = json(&["eval", model, "--data", data]);
    assert_eq!(whole["images"], 20);
    assert_eq!(whole["top5"], 1.0, "there are five classes");
    let inspected = json(&["inspect", model]);
    assert_eq!(inspected["arch"], "resnet8");
    for (name, dtype) in [("half.st", StoredType::F16), ("brain.st", StoredType::BF16)] {
        let path = checkpoint(dir.path(), name, dtype, false);
        let same = json(&["compare", text(&path), "--against", model, "--data", data]);
        let sqnr = same["output_sqnr_db"].as_f64().expect("rounded weights");
        // 11 and 8 bits of a weight.
        let least = if dtype == StoredType::F16 { 50.0 } else { 30.0 };
        assert!(sqnr > least, "{name}: {sqnr} dB");
    }

    let int8 = out("int8.st");
    let page = out("new folder/int8.html");
    let quantized = json(&[
        "quantize",
        model,
        "--data",
        data,
        "--out",
        text(&int8),
        "--calib",
        "16",
        "--requant",
        "fixed",
        "--report",
        text(&page),
    ]);
    let layers = quantized["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 10, "nine convolutions and fc: {quantized}");
    assert_eq!(quantized["report"], text(&page));
    self_contained(&page, layers);
    for layer in layers {
        for field in ["sqnr_db", "weight_sqnr_db", "alone_sqnr_db"] {
            assert!(layer[field].as_f64() > Some(20.0), "{field}: {layer}");
        }
        assert!(
            layer["cosine"].as_f64() > Some(0.99) && layer["weight_cosine"].as_f64() > Some(0.99)
        );
        assert!(layer["clipped"].as_f64() < Some(0.05), "{layer}");
    }
    let against_cpu = json(&["compare", text(&int8), "--data", data, "--limit", "4"]);
    assert_eq!(against_cpu["equal"], true, "{against_cpu}");
    let against_float = json(&["compare", text(&int8), "--against", model, "--data", data]);
    assert!(
        against_float["output_sqnr_db"].as_f64() > Some(20.0),
        "{against_float}"
    );

    for scheme in ["fp16", "w4a8", "w8", "int8-torch", "int8-onnx"] {
        let file = out(scheme);
        let made = json(&[
            "quantize",
            model,
            "--data",
            data,
            "--out",
            text(&file),
            "--scheme",
            scheme,
            "--alone",
            "0",
        ]);
        assert!(
            made["bytes_after"].as_u64() < made["bytes_before"].as_u64(),
            "{made}"
        );
        let judged = json(&["eval", text(&file), "--data", data]);
        // PyTorch's activations have 7 bits.
        let precision = match scheme {
            "int8-torch" => "w8a7",
            "int8-onnx" => "int8",
            other => other,
        };
        assert_eq!(judged["precision"], precision);
    }

    let picture = folder.join("class1/2.png");
    let float = json(&["predict", model, text(&picture), "--top", "2"]);
    let classes = &float["predictions"][0]["classes"];
    assert_eq!(classes.as_array().map(Vec::len), Some(2), "{float}");
    let ours = json(&["predict", text(&int8), text(&picture), "--top", "1"]);
    let probability = |value: &serde_json::Value| value["probability"].as_f64().expect("a number");
    let ours = &ours["predictions"][0]["classes"][0];
    assert!(
        (probability(ours) - probability(&classes[0])).abs() < 0.2,
        "{ours} {classes}"
    );

    let bench = json(&["bench", model, "--runs", "2"]);
    let precisions: Vec<&str> = bench["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["precision"].as_str())
        .collect();
    assert_eq!(precisions, ["fp32", "fp16", "int8"]);
}

#[test]
fn what_does_not_fit_is_said() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let model = checkpoint(dir.path(), "resnet.safetensors", StoredType::F32, false);
    let model = text(&model);
    let line = fails(&["inspect", model, "--arch", "resnet34"]);
    assert!(line.contains("missing: `layer1.1.conv1.weight`"), "{line}");
    let line = fails(&["eval", model, "--data", text(dir.path())]);
    assert!(line.contains(text(dir.path())), "{line}");
    // A cut file.
    let bytes = std::fs::read(model).expect("just written");
    let cut = dir.path().join("cut.safetensors");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("writable");
    let line = fails(&["inspect", text(&cut)]);
    assert!(line.contains("cut.safetensors"), "{line}");
    let usage = wizen(&["predict", model]);
    assert_eq!(usage.status.code(), Some(2), "an image is missing");
}
