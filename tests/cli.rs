//! The command line as its users see it: exit status, one JSON object, nothing half-written.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wizen::io::write_idx;

use crate::resnet_cli::self_contained;

pub fn wizen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wizen"))
        .args(args)
        .env("WIZEN_CACHE", "off")
        .output()
        .expect("the binary was built")
}

/// Runs a command that must succeed and returns its JSON object.
pub fn json(args: &[&str]) -> Value {
    let output = wizen(&[args, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        stdout.trim_end().lines().count(),
        1,
        "exactly one object: {stdout}"
    );
    serde_json::from_str(&stdout).expect("JSON")
}

/// Runs a command that must fail with status 1 and one sentence, and returns the sentence.
pub fn fails(args: &[&str]) -> String {
    let output = wizen(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
    let line = stderr.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("wizen: "), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    line
}

/// A folder with a few hundred synthetic digits as the four IDX files.
pub fn digits(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let splits = wizen::io::synthetic_splits(3, 640, 250).expect("digits");
    for (set, prefix) in [(&splits.train, "train"), (&splits.test, "t10k")] {
        let labels: Vec<u8> = set.labels().iter().map(|&l| l as u8).collect();
        let images = data.join(format!("{prefix}-images-idx3-ubyte.gz"));
        let pixels = set.pixels().expect("in memory");
        write_idx(images, &[set.len(), 28, 28], pixels).expect("writable");
        write_idx(
            data.join(format!("{prefix}-labels-idx1-ubyte")),
            &[set.len()],
            &labels,
        )
        .expect("writable");
    }
    data
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8 path")
}

#[test]
fn the_whole_life_of_a_model() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let data = text(&data);
    let path = |name: &str| dir.path().join(name);
    let (fp32, int8, w4, sparse, low) = (
        path("fp32.st"),
        path("int8.st"),
        path("w4.st"),
        path("sparse.st"),
        path("low.st"),
    );

    let trained = json(&[
        "train",
        "--data",
        data,
        "--out",
        text(&fp32),
        "--epochs",
        "4",
        "--batch",
        "32",
        "--shift",
        "0",
    ]);
    for field in ["accuracy", "loss", "epochs", "seconds", "images_per_second"] {
        assert!(trained[field].is_number(), "{field}: {trained}");
    }
    assert!(trained["accuracy"].as_f64() > Some(0.5), "{trained}");

    let q = json(&[
        "quantize",
        text(&fp32),
        "--data",
        data,
        "--out",
        text(&int8),
        "--calib",
        "64",
        "--requant",
        "fixed",
    ]);
    assert_eq!(q["scheme"], "int8");
    assert_eq!(q["layers"].as_array().map(Vec::len), Some(5));
    assert!(q["layers"][0]["sqnr_db"].as_f64() > Some(20.0), "{q}");
    json(&[
        "quantize",
        text(&fp32),
        "--data",
        data,
        "--out",
        text(&w4),
        "--scheme",
        "w4a8",
        "--calib",
        "64",
    ]);

    let mixed = path("mixed.st");
    let base = [
        "quantize",
        text(&fp32),
        "--data",
        data,
        "--out",
        text(&mixed),
        "--calib",
        "32",
    ];
    let own = [
        "--scheme",
        "w4a8",
        "--layer",
        "conv1=w8a8",
        "--layer",
        "fc3=w2a8",
    ];
    let q = json(&[&base[..], &own].concat());
    let bits = |i: usize| q["layers"][i]["bits"].as_u64();
    assert_eq!([bits(0), bits(1), bits(4)], [Some(8), Some(4), Some(2)]);
    assert!(fails(&[&base[..], &["--layer", "fc9=w4a8"]].concat()).contains("fc9"));
    assert!(fails(&[&base[..], &["--layer", "fc3=fp16"]].concat()).contains("fp16"));

    let p = json(&[
        "prune",
        text(&fp32),
        "--out",
        text(&sparse),
        "--sparsity",
        "0.8",
    ]);
    assert!(
        (p["sparsity"].as_f64().expect("number") - 0.8).abs() < 0.001,
        "{p}"
    );
    assert_eq!(p["macs_before"], p["macs_after"]);
    let p = json(&[
        "prune",
        text(&fp32),
        "--out",
        text(&sparse),
        "--sparsity",
        "0.9",
        "--data",
        data,
        "--epochs",
        "2",
        "--batch",
        "32",
    ]);
    assert!(
        (p["sparsity"].as_f64().expect("number") - 0.9).abs() < 0.001,
        "{p}"
    );
    assert!(p["accuracy"].is_number());
    assert!(p["bytes_after"].as_u64() < p["bytes_before"].as_u64());

    let thin = path("thin.st");
    let base = [
        "prune",
        text(&fp32),
        "--out",
        text(&thin),
        "--sparsity",
        "0.5",
    ];
    let extra = [
        "--method", "channels", "--data", data, "--epochs", "1", "--batch", "32",
    ];
    let t = json(&[&base[..], &extra].concat());
    assert!(
        t["macs_after"].as_u64() < t["macs_before"].as_u64().map(|m| m / 2),
        "{t}"
    );
    assert_eq!(
        t["layers"][1]["shape"],
        serde_json::json!([8, 5, 5, 4]),
        "{t}"
    );
    let thin8 = path("thin8.st");
    let base = [
        "quantize",
        text(&thin),
        "--data",
        data,
        "--out",
        text(&thin8),
        "--calib",
        "32",
    ];
    json(&base);
    json(&["eval", text(&thin8), "--data", data, "--limit", "50"]);

    let page = dir.path().join("qat.html");
    let a = json(&[
        "qat",
        text(&sparse),
        "--data",
        data,
        "--out",
        text(&low),
        "--scheme",
        "w4a4",
        "--epochs",
        "1",
        "--batch",
        "32",
        "--calib",
        "64",
        "--report",
        text(&page),
    ]);
    self_contained(&page, a["layers"].as_array().expect("layers"));
    assert!(a["accuracy"].is_number() && a["layers"].is_array(), "{a}");

    for (file, precision) in [
        (&fp32, "fp32"),
        (&int8, "int8"),
        (&w4, "w4a8"),
        (&sparse, "fp32"),
        (&low, "w4a4"),
    ] {
        let e = json(&["eval", text(file), "--data", data, "--limit", "200"]);
        assert_eq!(
            (&e["precision"], &e["images"]),
            (&precision.into(), &200.into())
        );
        assert!(e["top5"].as_f64() >= e["top1"].as_f64());
        let i = json(&["inspect", text(file)]);
        assert_eq!(i["arch"], "lenet5");
        assert_eq!(i["layers"].as_array().map(Vec::len), Some(5), "{i}");
        assert!(!i["history"].as_array().expect("history").is_empty());
    }
    let c = json(&["compare", text(&int8), "--data", data, "--limit", "4"]);
    assert_eq!(c["equal"], true, "fixed requantisation: {c}");
    let c = json(&[
        "compare",
        text(&fp32),
        "--data",
        data,
        "--limit",
        "4",
        "--against",
        text(&int8),
    ]);
    assert!(c["output_sqnr_db"].as_f64() > Some(15.0), "{c}");
    assert!(c["steps"].as_array().is_some_and(|s| s.len() >= 4));

    // 90 % of the weights are still zero after QAT.
    let i = json(&["inspect", text(&low)]);
    assert!(i["sparsity"].as_f64() > Some(0.89), "{i}");
    let b = json(&["bench", text(&fp32), "--batch", "2", "--runs", "2"]);
    assert_eq!(b["rows"].as_array().map(Vec::len), Some(3), "{b}");
    assert!(b["advice"].as_str().is_some_and(|a| a.contains("int8")));
    if b["device"] != "CPU reference" {
        for peak in ["f32_gops", "f16_gops", "i8_gops", "copy_gbs"] {
            assert!(b["peaks"][peak].as_f64() > Some(0.0), "{b}");
        }
        let shares = b["layers"].as_array().expect("layers").iter();
        for share in shares.map(|layer| &layer["peak"]["share"]) {
            assert!(share.as_f64() > Some(0.0), "{b}");
        }
    }
}

#[test]
fn tensor_bytes_shrink_as_theory_says() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let data = text(&data);
    let path = |name: &str| dir.path().join(name);
    let (fp32, sparse, out) = (path("a.st"), path("b.st"), path("c.st"));
    json(&[
        "train",
        "--data",
        data,
        "--out",
        text(&fp32),
        "--epochs",
        "1",
        "--batch",
        "64",
    ]);
    json(&[
        "prune",
        text(&fp32),
        "--out",
        text(&sparse),
        "--sparsity",
        "0.9",
    ]);
    let sizes = |file: &Path| {
        let bytes = std::fs::read(file).expect("written");
        let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        (header, bytes.len() as u64 - 8 - header)
    };
    let full = sizes(&fp32).1 as f64;
    let limits = [
        (&fp32, "int8", 0.26),
        (&fp32, "w4a8", 0.14),
        (&sparse, "int8", 0.07),
        (&fp32, "fp16", 0.51),
    ];
    for (model, scheme, limit) in limits {
        json(&[
            "quantize",
            text(model),
            "--data",
            data,
            "--out",
            text(&out),
            "--scheme",
            scheme,
            "--calib",
            "32",
        ]);
        let (header, tensors) = sizes(&out);
        assert!(
            tensors as f64 <= limit * full,
            "{scheme}: {tensors} of {full} bytes"
        );
        assert!(header <= 8 * 1024, "{scheme}: {header} bytes of metadata");
    }
}

#[test]
fn devices_lists_what_there_is() {
    let d = json(&["devices"]);
    let devices = d["devices"].as_array().expect("a list");
    if std::env::var("WIZEN_REQUIRE_GPU").is_ok_and(|v| v == "1") {
        assert!(!devices.is_empty());
    }
    for device in devices {
        for field in [
            "name",
            "backend",
            "driver",
            "device_type",
            "f16",
            "index",
            "default",
        ] {
            assert!(!device[field].is_null(), "{field}: {device}");
        }
    }
}
