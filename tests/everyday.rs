//! Pictures, tables, arrays and classes as people have them. The network answers with the colour of a picture, so
//! that every answer can be worked out by hand.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use wizen::Network;
use wizen::base::{DType, Preprocess, Tensor};
use wizen::graph::Graph;
use wizen::graph::ops::{Conv2d, GlobalAvgPool, Linear};
use wizen::kernels::Conv;

use crate::cli::{fails, json, text, wizen};

pub const SIDE: usize = 8;
/// Red, green, blue.
const COLOURS: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];

/// A convolution that multiplies by `gain`, the mean of the picture, and ten times each colour's share: classes
/// red, green, blue and, behind them, `more` that never win. It takes 0 to 1.
pub fn colours(dir: &Path, name: &str, gain: f32, more: usize, labels: &[&str]) -> PathBuf {
    let mut graph = Graph::new();
    let x = graph.input("images", DType::F32, &[1, SIDE, SIDE, 3]);
    let mut kernel = [0.0; 9];
    let classes = 3 + more;
    let mut fc = vec![0.0; classes * 3];
    for c in 0..3 {
        kernel[4 * c] = gain;
        fc[4 * c] = 10.0 / gain;
    }
    let param = |graph: &mut Graph, name: &str, shape: &[usize], values: &[f32]| {
        graph.param(name, Tensor::from_f32(shape, values).expect("fits"))
    };
    let w = param(&mut graph, "conv.weight", &[3, 1, 1, 3], &kernel);
    let conv = Conv2d::new(Conv::square(1, 0, 1, 1)).without_bias();
    let x = graph.push("conv", conv, &[x, w]).expect("fits");
    let x = graph.push("mean", GlobalAvgPool, &[x]).expect("fits");
    let w = param(&mut graph, "fc.weight", &[classes, 3], &fc);
    let mut bias = vec![0.0; 3];
    bias.resize(classes, -9.0);
    let b = param(&mut graph, "fc.bias", &[classes], &bias);
    let y = graph.push("fc", Linear::default(), &[x, w, b]);
    graph.output(y.expect("fits"));
    let network = Network {
        preprocess: Some(Preprocess::preset("unit", [SIDE, SIDE, 3]).expect("a preset")),
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
        ..Network::new("colours", graph)
    };
    let path = dir.join(name);
    network.save(&path).expect("writable");
    path
}

/// A folder for each colour, called like it, with a picture in it.
pub fn three_colours(data: &Path) {
    for (i, name) in ["red", "green", "blue"].iter().enumerate() {
        picture(data.join(name).join("1.png"), i);
    }
}

/// A picture of one colour; what it is, its ending says.
pub fn picture(path: PathBuf, colour: usize) -> PathBuf {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    let image = RgbImage::from_pixel(SIDE as u32, SIDE as u32, Rgb(COLOURS[colour]));
    image.save(&path).expect("writable");
    path
}

pub fn stderr(args: &[&str]) -> String {
    let output = wizen(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {stderr}");
    stderr
}

pub fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn classes_of_folders_are_those_of_the_network() {
    let dir = temporary();
    let named = colours(
        dir.path(),
        "named.st",
        1.0,
        2,
        &["Red", "leaf green", "blue", "x", "y"],
    );
    let unnamed = colours(dir.path(), "unnamed.st", 1.0, 2, &[]);
    let data = dir.path().join("data");
    for (folder, colour) in [("leaf_green", 1), ("blue", 2)] {
        picture(data.join(folder).join("deep/inside/1.png"), colour);
    }
    std::fs::write(data.join("blue/notes.txt"), "x").expect("writable");
    let eval = |model: &Path, more: &[&str]| {
        json(&[&["eval", text(model), "--data", text(&data)], more].concat())["top1"].clone()
    };
    assert_eq!(eval(&named, &[]), 1.0);
    let said = stderr(&["eval", text(&named), "--data", text(&data)]);
    assert!(
        said.contains("not used, being no pictures") && said.contains("notes.txt"),
        "{said}"
    );
    assert!(
        said.contains("pictures: 8 x 8 RGB, stretched to it; 0 to 1"),
        "{said}"
    );
    // Two folders, five classes, no names: which is which cannot be known.
    let error = fails(&["eval", text(&unnamed), "--data", text(&data)]);
    assert!(
        error.contains("it has 2 classes (`blue`, `leaf_green`), the model knows 5"),
        "{error}"
    );
    let names = dir.path().join("names.json");
    std::fs::write(
        &names,
        r#"{"red": 0, "leaf green": 1, "blue": 2, "x": 3, "y": 4}"#,
    )
    .expect("writable");
    assert_eq!(eval(&unnamed, &["--labels", text(&names)]), 1.0);
    let other = dir.path().join("other.txt");
    std::fs::write(&other, "red\ngreen\nblue\nx\ny\n").expect("writable");
    let error = fails(&[
        "eval",
        text(&unnamed),
        "--data",
        text(&data),
        "--labels",
        text(&other),
    ]);
    assert!(error.contains("no class called `leaf_green`"), "{error}");
    // As many folders as classes: the order of their names, with a word.
    let three = colours(dir.path(), "three.st", 1.0, 0, &[]);
    picture(data.join("a red one/1.png"), 0);
    let said = stderr(&["eval", text(&three), "--data", text(&data)]);
    assert!(
        said.contains("0 = a red one, 1 = blue, 2 = leaf_green"),
        "{said}"
    );
    assert_eq!(eval(&three, &[]), 1.0 / 3.0);
    // Calibration needs no classes at all.
    // A file that says nothing is guessed at, and that is said.
    let mut silent = wizen::open(&unnamed, None).expect("just written");
    silent.preprocess = None;
    let file = dir.path().join("silent.st");
    silent.save(&file).expect("writable");
    let red = text(&data.join("a red one/1.png")).to_owned();
    let said = stderr(&["predict", text(&file), &red]);
    assert!(
        said.contains("(a guess: the model's file does not say"),
        "{said}"
    );
    let said = stderr(&["predict", text(&file), &red, "--preset", "unit"]);
    assert!(!said.contains("guess"), "{said}");
    let out = dir.path().join("q.st");
    json(&[
        "quantize",
        text(&unnamed),
        "--data",
        text(&data),
        "--out",
        text(&out),
    ]);
}

#[test]
fn folders_that_divide_a_set() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1.0, 0, &["red", "green", "blue"]);
    let data = dir.path().join("data");
    for (set, n) in [("train", 3), ("valid", 2)] {
        for (i, name) in ["red", "green", "blue"].iter().enumerate().take(n) {
            picture(data.join(set).join(name).join("1.png"), i);
        }
    }
    // The smaller set may lack a class, its numbers stay those of the other; it may have none of its own.
    let two = json(&["eval", text(&model), "--data", text(&data)]);
    assert_eq!((&two["images"], &two["top1"]), (&2.into(), &1.0.into()));
    std::fs::rename(data.join("train/red"), data.join("red")).expect("writable");
    let error = fails(&["eval", text(&model), "--data", text(&data)]);
    assert!(error.contains("a class `red` that"), "{error}");
    std::fs::rename(data.join("red"), data.join("train/red")).expect("writable");
    std::fs::create_dir(data.join("more")).expect("writable");
    let said = stderr(&[
        "quantize",
        text(&model),
        "--data",
        text(&data),
        "--out",
        text(&dir.path().join("q.st")),
    ]);
    assert!(
        said.contains("not used, for the sets are `train` and `valid`"),
        "{said}"
    );
    picture(data.join("valid/blue/1.png"), 1);
    let e = json(&["eval", text(&model), "--data", text(&data)]);
    assert_eq!((&e["images"], &e["top1"]), (&3.into(), &(2.0 / 3.0).into()));
    // Classes may be called so: then the pictures lie in them.
    let classes = dir.path().join("classes");
    for (i, name) in ["train", "val", "x"].iter().enumerate() {
        picture(classes.join(name).join("1.png"), [1, 2, 0][i]);
    }
    let model = colours(dir.path(), "t.st", 1.0, 0, &["x", "train", "val"]);
    let e = json(&["eval", text(&model), "--data", text(&classes)]);
    assert_eq!((&e["images"], &e["top1"]), (&3.into(), &1.0.into()));
    // No classes: enough to calibrate, not to judge.
    let plain = dir.path().join("plain");
    picture(plain.join("1.png"), 0);
    let out = dir.path().join("q.st");
    json(&[
        "quantize",
        text(&model),
        "--data",
        text(&plain),
        "--out",
        text(&out),
    ]);
    let error = fails(&["eval", text(&model), "--data", text(&plain)]);
    assert!(error.contains("it has no labels"), "{error}");
    let error = fails(&[
        "qat",
        text(&model),
        "--data",
        text(&plain),
        "--out",
        text(&out),
    ]);
    assert!(error.contains("--teacher"), "{error}");
    let learn = [
        "--epochs",
        "1",
        "--batch",
        "1",
        "--shift",
        "0",
        "--teacher",
        text(&model),
    ];
    let q = json(
        &[
            &[
                "qat",
                text(&model),
                "--data",
                text(&plain),
                "--out",
                text(&out),
            ][..],
            &learn,
        ]
        .concat(),
    );
    assert!(
        q["accuracy"].is_null() && q["outputs"][0]["agreement"] == 1.0,
        "{q}"
    );
}

#[test]
fn every_kind_of_picture_and_table() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1.0, 0, &["red", "green", "blue"]);
    let data = dir.path().join("data");
    let endings = ["png", "webp", "bmp", "gif", "tiff", "TIF"];
    for (i, ending) in endings.iter().enumerate() {
        picture(data.join(format!("{i}.{ending}")), i % 3);
    }
    let table = |head: &str, line: &dyn Fn(usize) -> String| {
        let lines = (0..endings.len()).map(|i| format!("{}\n", line(i)));
        format!("{head}\n{}", lines.collect::<String>())
    };
    let file = |i: usize| format!("{i}.{}", endings[i]);
    let names = ["red", "green", "blue"];
    let tables = [
        table("filename,class_index", &|i| {
            format!("{},{}", file(i), i % 3)
        }),
        table("Label;File;note", &|i| {
            format!("{};{};\"a;b\"", i % 3, file(i))
        }),
        table("image\tclass", &|i| {
            format!("{}\t{}", file(i), names[i % 3])
        }),
    ];
    for (i, table) in tables.iter().enumerate() {
        let wide: Vec<u8> = table.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [table.as_bytes(), &[&[0xff, 0xfe], &wide[..]].concat()] {
            std::fs::write(dir.path().join("data.csv"), bytes).expect("writable");
            let e = json(&["eval", text(&model), "--data", text(&data)]);
            assert_eq!(
                (&e["images"], &e["top1"]),
                (&6.into(), &1.0.into()),
                "table {i}"
            );
        }
    }
    let p = json(&[
        "predict",
        text(&model),
        text(&data.join("1.webp")),
        "--top",
        "1",
    ]);
    assert_eq!(p["predictions"][0]["classes"][0]["label"], "green");
}

#[test]
fn pictures_are_prepared_as_asked_and_the_file_remembers() {
    let dir = temporary();
    let model = colours(dir.path(), "m.st", 1.0, 0, &[]);
    let red = picture(dir.path().join("red.png"), 0);
    let logit_of_red = |model: &Path, more: &[&str]| {
        let args = [&["predict", text(model), text(&red), "--top", "3"], more].concat();
        let p = json(&args);
        let classes = p["predictions"][0]["classes"]
            .as_array()
            .expect("three")
            .clone();
        let share = |index: u64| {
            let found = classes
                .iter()
                .find(|class| class["index"] == index)
                .expect("there");
            found["probability"].as_f64().expect("a number")
        };
        (share(0) / share(1)).ln()
    };
    let near = |x: f64, y: f64| assert!((x - y).abs() < 1e-4, "{x} is not {y}");
    near(logit_of_red(&model, &[]), 10.0);
    near(logit_of_red(&model, &["--std", "2"]), 5.0);
    near(
        logit_of_red(&model, &["--mean", "0.5,0.25,0", "--std", "1"]),
        5.0 + 2.5,
    );
    near(logit_of_red(&model, &["--bgr"]), 0.0);
    // The mean of a smaller or larger network is the same, and pictures are scaled to it.
    near(logit_of_red(&model, &["--crop", "16"]), 10.0);
    let data = dir.path().join("data");
    picture(data.join("1.png"), 0);
    picture(data.join("2.png"), 1);
    let out = dir.path().join("q.st");
    let args = [
        "quantize",
        text(&model),
        "--data",
        text(&data),
        "--out",
        text(&out),
    ];
    json(
        &[
            &args[..],
            &["--std", "2", "--scheme", "fp16", "--crop", "12"],
        ]
        .concat(),
    );
    near(logit_of_red(&out, &[]), 5.0);
    let said = stderr(&["predict", text(&out), text(&red)]);
    assert!(
        said.contains("pictures: 12 x 12 RGB, stretched to it; mean 0 0 0, deviation 2 2 2"),
        "{said}"
    );
}

#[test]
fn calibration_sees_all_of_a_set_and_the_same_again() {
    let some = wizen::data::sample(5 * 1000, 128, 1);
    let classes: std::collections::BTreeSet<usize> = some.iter().map(|item| item / 5).collect();
    assert!(classes.len() >= 100, "{} classes", classes.len());
    assert_eq!(some, wizen::data::sample(5 * 1000, 128, 1));
    assert_ne!(some, wizen::data::sample(5 * 1000, 128, 2));
    let all: std::collections::BTreeSet<usize> = (0..200)
        .flat_map(|seed| wizen::data::sample(7, 3, seed))
        .collect();
    assert_eq!(all.len(), 7, "every item can be chosen");
}
