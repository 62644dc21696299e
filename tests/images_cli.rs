//! `eval`, `quantize`, `train` and `predict` on image files.

use std::path::{Path, PathBuf};

use image::GrayImage;
use serde_json::Value;

use crate::cli::{digits, fails, json, text, wizen};

/// A LeNet-5 that has seen a few hundred digits, trained on the CPU.
fn model(dir: &Path, data: &Path) -> PathBuf {
    let out = dir.join("model.st");
    let args = ["train", "--data", text(data), "--out", text(&out)];
    let settings = ["--epochs", "1", "--batch", "64", "--shift", "0"];
    json(&[&args[..], &settings].concat());
    out
}

/// The first `n` test digits of [`digits`] as PNG files, with a table beside them.
fn pictures(dir: &Path, n: usize) -> (PathBuf, Vec<u64>) {
    let folder = dir.join("pictures");
    std::fs::create_dir(&folder).expect("writable");
    let test = wizen::io::synthetic_splits(3, 640, 250)
        .expect("digits")
        .test;
    let pixels = test.pixels().expect("in memory").chunks(28 * 28).take(n);
    let mut table = "filename,class_index,class_name\n".to_owned();
    for (i, (image, label)) in pixels.zip(test.labels()).enumerate() {
        let image = GrayImage::from_raw(28, 28, image.to_vec()).expect("28 x 28");
        image
            .save(folder.join(format!("{i:04}.png")))
            .expect("writable");
        table += &format!("{i:04}.png,{label},\"digit, {label}\"\n");
    }
    std::fs::write(dir.join("pictures.csv"), table).expect("writable");
    let labels = test
        .labels()
        .iter()
        .take(n)
        .map(|&l| u64::from(l))
        .collect();
    (folder, labels)
}

#[test]
fn files_are_judged_as_the_same_pixels_in_memory() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let model = model(dir.path(), &data);
    let (folder, labels) = pictures(dir.path(), 50);
    let (folder, model) = (text(&folder), text(&model));

    let pixels = json(&["eval", model, "--data", text(&data), "--limit", "50"]);
    // 50 is no multiple of 16: the last batch is filled up, and counted right.
    let files = json(&["eval", model, "--data", folder, "--batch", "16"]);
    assert_eq!(files["images"], 50);
    assert_eq!(
        (&files["top1"], &files["top5"]),
        (&pixels["top1"], &pixels["top5"])
    );
    assert!(
        files["data"]
            .as_str()
            .is_some_and(|name| name.contains("pictures"))
    );
    let line = fails(&["eval", model, "--data", folder, "--batch", "0"]);
    assert!(line.contains("--batch"), "{line}");

    // predict sees what eval sees.
    let names: Vec<String> = (0..50).map(|i| format!("{folder}/{i:04}.png")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let p = json(&[&["predict", model, "--top", "10"], &names[..]].concat());
    let predictions = p["predictions"].as_array().expect("a list");
    assert_eq!(predictions.len(), 50);
    let mut right = 0;
    for ((prediction, name), label) in predictions.iter().zip(&names).zip(&labels) {
        assert_eq!(prediction["file"], *name);
        let classes = prediction["classes"].as_array().expect("a list");
        let share = |class: &Value| class["probability"].as_f64().expect("a number");
        assert_eq!(classes.len(), 10);
        // Half ULPs of 1: 9 in the sum of the exponentials, 1 in the division, 2 in reading JSON, 9 in this sum.
        let sum: f64 = classes.iter().map(share).sum();
        assert!((sum - 1.0).abs() <= 21.0 / 2.0 * f64::EPSILON, "{sum}");
        assert!(
            classes
                .windows(2)
                .all(|pair| share(&pair[0]) >= share(&pair[1]))
        );
        for class in classes {
            let label = class["label"].as_str().map(str::parse);
            assert_eq!(label, class["index"].as_u64().map(Ok), "{class}");
        }
        right += usize::from(classes[0]["index"].as_u64() == Some(*label));
    }
    assert_eq!(files["top1"].as_f64(), Some(right as f64 / 50.0));

    // One image alone answers as in company, for every kind of names.
    let lines = dir.path().join("lines.txt");
    let ten: Vec<String> = (0..10).map(|i| format!("digit, {i}")).collect();
    std::fs::write(&lines, ten.join("\n")).expect("writable");
    let array = dir.path().join("array.json");
    std::fs::write(&array, serde_json::to_string(&ten).expect("strings")).expect("writable");
    for file in [&lines, &array, &dir.path().join("pictures.csv")] {
        let p = json(&[
            "predict",
            model,
            names[7],
            "--top",
            "2",
            "--labels",
            text(file),
        ]);
        let classes = p["predictions"][0]["classes"].as_array().expect("a list");
        assert_eq!(classes.len(), 2);
        for (class, before) in classes
            .iter()
            .zip(predictions[7]["classes"].as_array().expect("a list"))
        {
            assert_eq!(class["index"], before["index"]);
            assert_eq!(class["label"], format!("digit, {}", class["index"]));
        }
    }
    let human = wizen(&["predict", model, names[7], "--labels", text(&lines)]);
    let human = String::from_utf8(human.stdout).expect("UTF-8");
    assert!(
        human.contains("0007.png") && human.contains("digit, "),
        "{human}"
    );

    std::fs::write(&lines, ten[..9].join("\n")).expect("writable");
    let line = fails(&["predict", model, names[0], "--labels", text(&lines)]);
    let words = "it has 9 names, the model knows 10 classes";
    assert!(line.contains(words) && line.contains("lines.txt"), "{line}");
    assert!(fails(&["predict", model, names[0], "--top", "0"]).contains("--top"));
    assert_eq!(wizen(&["predict", model]).status.code(), Some(2));
    let broken = dir.path().join("broken.png");
    let whole = std::fs::read(names[0]).expect("written");
    std::fs::write(&broken, &whole[..whole.len() / 2]).expect("writable");
    for bad in [&broken, &dir.path().join("missing.png")] {
        let line = fails(&["predict", model, names[0], text(bad)]);
        assert!(line.contains(text(bad)), "{line}");
    }
}

#[test]
fn calibration_and_training_on_files() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let fp32 = model(dir.path(), &data);
    let (folder, _) = pictures(dir.path(), 40);
    let out = dir.path().join("out.st");
    let (fp32, folder, out) = (text(&fp32), text(&folder), text(&out));
    let q = json(&["quantize", fp32, "--data", folder, "--out", out]);
    assert_eq!(q["layers"].as_array().map(Vec::len), Some(5), "{q}");
    let p = json(&["predict", out, &format!("{folder}/0000.png"), "--top", "99"]);
    assert_eq!(
        p["predictions"][0]["classes"].as_array().map(Vec::len),
        Some(10)
    );
    assert_eq!(p["precision"], "int8");

    // One set of images: the user is told that it judges on what it learns from.
    let args = ["train", "--from", fp32, "--data", folder, "--out", out];
    let done = wizen(&[&args[..], &["--epochs", "1", "--batch", "20"]].concat());
    let stderr = String::from_utf8_lossy(&done.stderr);
    let stdout = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && stderr.contains("is one set of images"),
        "{stderr}"
    );
    assert!(stdout.contains("of 40 training images"), "{stdout}");

    // A damaged image in the third batch ends a run with a sentence, and nothing hangs.
    std::fs::write(format!("{folder}/0036.png"), "no image").expect("writable");
    let line = fails(&["eval", fp32, "--data", folder, "--batch", "16"]);
    assert!(line.contains("0036.png"), "{line}");
    json(&[
        "eval", fp32, "--data", folder, "--batch", "16", "--limit", "36",
    ]);

    // A class that the model does not know, a folder without images.
    let table = dir.path().join("pictures.csv");
    std::fs::write(&table, "filename,class_index\n0000.png,10\n").expect("writable");
    let line = fails(&["eval", fp32, "--data", folder]);
    assert!(
        line.contains("its labels go up to 10, the model knows 10"),
        "{line}"
    );
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("writable");
    let line = fails(&["eval", fp32, "--data", text(&empty)]);
    assert!(line.contains("there are no images"), "{line}");
}
