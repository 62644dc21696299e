//! Wrong usage and bad input: status 2 or 1, one sentence, nothing written.

use std::path::Path;

use wizen::io::write_safetensors;

use crate::cli::{digits, fails, json, text, wizen};

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["frobnicate"][..],
        &["eval"],
        &["train", "--epochs", "many", "--out", "x"],
        &[],
    ] {
        assert_eq!(wizen(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn bad_input_is_one_sentence_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let good = dir.path().join("good.st");
    json(&[
        "train",
        "--data",
        text(&data),
        "--out",
        text(&good),
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--batch",
        "320",
    ]);
    let out = dir.path().join("out.st");
    let quantize = |model: &Path, extra: &[&str]| -> String {
        let base = [
            "quantize",
            text(model),
            "--data",
            text(&data),
            "--out",
            text(&out),
        ];
        let line = fails(&[&base[..], extra].concat());
        assert!(!out.exists(), "something was written");
        line
    };

    assert!(quantize(&good, &["--scheme", "int7ish"]).contains("int7ish"));
    assert!(quantize(&good, &["--observer", "crystal-ball"]).contains("crystal-ball"));
    assert!(quantize(&good, &["--calib", "0"]).contains("--calib"));
    assert!(quantize(&dir.path().join("missing.st"), &[]).contains("missing.st"));
    assert!(quantize(&good, &["--device", "no such gpu"]).contains("no such gpu"));

    // Truncated at many places, and garbage.
    let bytes = std::fs::read(&good).expect("written");
    let bad = dir.path().join("bad.st");
    for len in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&bad, &bytes[..len]).expect("writable");
        assert!(quantize(&bad, &[]).contains("bad.st"), "{len} bytes");
    }
    std::fs::write(&bad, [0xff; 4096]).expect("writable");
    assert!(quantize(&bad, &[]).contains("bad.st"));

    // NaN, infinite and all-zero weights.
    let (_, tensors) = wizen::io::read_safetensors(&good).expect("valid");
    let (metadata, _) = wizen::io::read_safetensors(&good).expect("valid");
    for (value, expected) in [
        (f32::NAN, Some("NaN")),
        (f32::INFINITY, Some("inf")),
        (0.0, None),
    ] {
        let mut tensors = tensors.clone();
        for (name, tensor) in &mut tensors {
            if name == "fc1.weight" {
                let zeros = value == 0.0;
                let count = if zeros { tensor.bytes.len() / 4 } else { 1 };
                for chunk in tensor.bytes.chunks_exact_mut(4).take(count) {
                    chunk.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        write_safetensors(&bad, metadata.clone(), &tensors).expect("writable");
        match expected {
            Some(word) => {
                let line = quantize(&bad, &[]);
                assert!(line.contains(word) && line.contains("fc1.weight"), "{line}");
            }
            None => {
                let args = [
                    "quantize",
                    text(&bad),
                    "--data",
                    text(&data),
                    "--out",
                    text(&out),
                    "--calib",
                    "32",
                ];
                json(&[&args[..], &["--device", "cpu"]].concat());
                std::fs::remove_file(&out).expect("written");
            }
        }
    }

    // Foreign weights with a wrong shape.
    let mut foreign = tensors.clone();
    foreign.retain(|(name, _)| name != "conv1.bias");
    write_safetensors(&bad, Default::default(), &foreign).expect("writable");
    assert!(quantize(&bad, &["--arch", "lenet5"]).contains("missing: `conv1.bias`"));
    assert!(quantize(&bad, &["--arch", "lenet6"]).contains("lenet6"));

    // Data: an empty folder, a truncated archive.
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("writable");
    let eval = |data: &Path| fails(&["eval", text(&good), "--data", text(data)]);
    assert!(eval(&empty).contains("empty"));
    assert!(eval(&dir.path().join("nowhere")).contains("nowhere"));
    let images = data.join("t10k-images-idx3-ubyte.gz");
    let whole = std::fs::read(&images).expect("written");
    std::fs::write(&images, &whole[..whole.len() / 2]).expect("writable");
    assert!(eval(&data).contains("t10k-images"));

    // A quantized model is not a float one; sparsity outside 0..1.
    assert!(
        fails(&[
            "prune",
            text(&good),
            "--out",
            text(&out),
            "--sparsity",
            "1.5"
        ])
        .contains("1.5")
    );
    assert!(
        fails(&[
            "prune",
            text(&good),
            "--out",
            text(&out),
            "--sparsity",
            "nan"
        ])
        .contains("NaN")
    );
    assert!(!out.exists());
}
