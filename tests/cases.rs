//! Inputs on which commands once failed without a word, with the right answers of PyTorch.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::{fails, json, text};
use crate::data::shared;

fn case(name: &str, files: &[&str]) -> Option<Vec<String>> {
    let folder: PathBuf = shared(&format!("cases/{name}"))?;
    let path = |file: &&str| text(&folder.join(file)).to_owned();
    Some(files.iter().map(path).collect())
}

/// Probability of every class of the first picture, by index.
fn shares(answer: &Value) -> Vec<f64> {
    let classes = answer["predictions"][0]["classes"]
        .as_array()
        .expect("classes");
    let mut shares = vec![f64::NAN; classes.len()];
    for class in classes {
        let index = class["index"].as_u64().expect("an index") as usize;
        shares[index] = class["probability"].as_f64().expect("a number");
    }
    shares
}

/// Four digits of PyTorch's are known.
fn near(got: &[f64], want: &[f64], within: f64) {
    assert_eq!(got.len(), want.len());
    let close = got
        .iter()
        .zip(want)
        .all(|(got, want)| (got - want).abs() < within);
    assert!(close, "{got:?}, expected {want:?}");
}

#[test]
fn preprocessing_is_what_the_user_says() {
    let Some(files) = case("cifar-transform", &["model.safetensors", "picture.png"]) else {
        return;
    };
    let (mean, std) = ("0.4914,0.4822,0.4465", "0.2470,0.2435,0.2616");
    let args = [
        "predict", &files[0], &files[1], "--top", "10", "--mean", mean, "--std", std,
    ];
    let want = [
        0.0615, 0.0396, 0.2856, 0.0515, 0.0815, 0.1356, 0.0585, 0.0975, 0.0582, 0.1305,
    ];
    near(&shares(&json(&args)), &want, 1e-4);
    let args = [
        "predict", &files[0], &files[1], "--top", "10", "--preset", "cifar10",
    ];
    near(&shares(&json(&args)), &want, 1e-4);
    let Some(files) = case("gray-stem", &["model.safetensors", "picture.png"]) else {
        return;
    };
    let args = [
        "predict", &files[0], &files[1], "--top", "5", "--preset", "imagenet",
    ];
    near(
        &shares(&json(&args)),
        &[0.1646, 0.1497, 0.6621, 0.0108, 0.0128],
        1e-4,
    );
}

#[test]
fn classes_are_not_assumed() {
    let Some(files) = case("few-classes", &["model.safetensors", "photos"]) else {
        return;
    };
    let error = fails(&["eval", &files[0], "--data", &files[1]]);
    assert!(
        error.contains("it has 2 classes") && error.contains("knows 5"),
        "{error}"
    );
    let dir = tempfile::tempdir().expect("a temporary folder");
    let names = dir.path().join("names.txt");
    // What the pictures are put into without exception.
    std::fs::write(&names, "a\nb\nn02102040\nd\nn03028079\n").expect("writable");
    let right = json(&[
        "eval",
        &files[0],
        "--data",
        &files[1],
        "--labels",
        text(&names),
    ]);
    assert_eq!((&right["images"], &right["top1"]), (&6.into(), &1.0.into()));
}

#[test]
fn folders_and_tables_as_they_come() {
    if let Some(files) = case("folder-layouts", &["model.safetensors", "split", "nested"]) {
        for data in &files[1..] {
            assert_eq!(json(&["eval", &files[0], "--data", data])["images"], 5);
        }
    }
    if let Some(files) = case(
        "table-dialects",
        &["model.safetensors", "semicolon", "wide"],
    ) {
        for data in &files[1..] {
            let found = json(&["eval", &files[0], "--data", data]);
            assert_eq!((&found["images"], &found["top1"]), (&4.into(), &1.0.into()));
        }
    }
    let wanted = ["model.safetensors", "picture.png", "class_index.json"];
    if let Some(files) = case("labels-dictionary", &wanted) {
        let args = [
            "predict", &files[0], &files[1], "--labels", &files[2], "--top", "1",
        ];
        let class = &json(&args)["predictions"][0]["classes"][0];
        assert_eq!(class["label"], "goldfish");
        near(
            &[class["probability"].as_f64().expect("a number")],
            &[0.6879],
            1e-4,
        );
    }
    if let Some(files) = case("one-logit", &["model.safetensors", "picture.png"]) {
        let args = ["predict", &files[0], &files[1], "--top", "2"];
        near(&shares(&json(&args)), &[0.6341, 0.3659], 1e-4);
    }
}

#[test]
fn overflow_in_fp16_is_named_and_the_remedy_works() {
    let Some(files) = case(
        "fp16-overflow",
        &["model.safetensors", "photos", "picture.png"],
    ) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("h.st");
    let args = [
        "quantize",
        &files[0],
        "--data",
        &files[1],
        "--out",
        text(&out),
        "--calib",
        "3",
    ];
    let half = [&args[..], &["--scheme", "fp16"]].concat();
    let error = fails(&half);
    assert!(
        error.starts_with("wizen: conv1: ") && error.contains("65504"),
        "{error}"
    );
    assert!(!out.exists());
    json(&args);
    let int8 = json(&["predict", text(&out), &files[2], "--top", "5"]);
    assert_eq!(int8["predictions"][0]["classes"][0]["index"], 2);
}

#[test]
fn short_runs_do_what_they_are_asked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out.st");
    let run = [
        "--epochs",
        "1",
        "--batch",
        "4",
        "--shift",
        "0",
        "--out",
        text(&out),
    ];
    if let Some(files) = case("prune-short-run", &["model.safetensors", "photos"]) {
        let args = ["prune", &files[0], "--data", &files[1], "--sparsity", "0.5"];
        let sparsity = json(&[&args[..], &run].concat())["sparsity"].as_f64();
        near(&[sparsity.expect("a number")], &[0.5], 1e-3);
        let found = json(&["inspect", text(&out)])["sparsity"].as_f64();
        assert_eq!(found, sparsity);
    }
    if let Some(files) = case("qat-batch-norm", &["model.safetensors", "photos"]) {
        let args = [
            "qat", &files[0], "--data", &files[1], "--calib", "8", "--lr", "1e-5",
        ];
        json(&[&args[..], &run].concat());
        assert_eq!(
            json(&["eval", text(&out), "--data", &files[1]])["top1"],
            1.0
        );
    }
    if let Some(files) = case("channels-residual", &["model.safetensors", "picture.png"]) {
        let args = [
            "prune",
            &files[0],
            "--sparsity",
            "0.5",
            "--method",
            "channels",
        ];
        let made = json(&[&args[..], &["--out", text(&out)]].concat());
        let macs = |field: &str| made[field].as_f64().expect("a number");
        assert!(macs("macs_after") < 0.5 * macs("macs_before"), "{made}");
        json(&["predict", text(&out), &files[1]]);
    }
}
