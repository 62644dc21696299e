//! Runs of the binary that learn: stopped and taken up again, taught, from scratch, too short.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wizen::base::Rng;

use crate::cli::{digits, fails, json, text, wizen};

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("written")
}

/// Ctrl-C once the run has kept its state; the exit status and stderr.
#[cfg(unix)]
fn interrupted(args: &[&str], state: &Path) -> (Option<i32>, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_wizen"))
        .args(args)
        .env("WIZEN_CACHE", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let start = Instant::now();
    while !state.exists() && start.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(state.exists(), "no state was kept");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill");
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

#[cfg(unix)]
#[test]
fn a_run_goes_on_where_ctrl_c_ended_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let path = |name: &str| dir.path().join(name);
    let (whole, out, state) = (path("whole.st"), path("out.st"), path("state.st"));
    let args = |out| {
        vec![
            "train",
            "--data",
            text(&data),
            "--out",
            out,
            "--epochs",
            "1",
            "--batch",
            "32",
            "--device",
            "cpu",
        ]
    };
    json(&args(text(&whole)));
    let keep = ["--checkpoint", text(&state), "--checkpoint-every", "3"];
    let kept = [&args(text(&out))[..], &keep].concat();
    let (status, stderr) = interrupted(&kept, &state);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("train: stopped"), "{stderr}");
    assert!(
        stderr.contains("the same command goes on there"),
        "{stderr}"
    );
    assert!(!out.exists(), "a model of half a run");

    // Other options are refused, and nothing is touched.
    let before = bytes(&state);
    let line = fails(&[&kept[..], &["--lr", "0.5"]].concat());
    assert!(line.contains("`--lr`") && line.contains("0.5"), "{line}");
    let line = fails(&[&kept[..], &["--from", text(&whole)]].concat());
    assert!(line.contains("`model`"), "{line}");
    assert_eq!(bytes(&state), before);

    let output = wizen(&kept);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("going on after step"), "{stderr}");
    assert_eq!(bytes(&out), bytes(&whole), "the same model, byte for byte");
    assert!(!state.exists(), "there is nothing left to go on with");

    // A file that is something else stays what it is.
    let line = fails(&[&args(text(&out))[..], &["--checkpoint", text(&whole)]].concat());
    assert!(line.contains("does not hold the state"), "{line}");
    let line = fails(&[&args(text(&out))[..], &["--checkpoint", text(&out)]].concat());
    assert!(line.contains("--out"), "{line}");
    assert_eq!(bytes(&out), bytes(&whole));
}

#[test]
fn teachers_and_learning_rates_by_name() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = digits(dir.path());
    let path = |name: &str| dir.path().join(name);
    let (teacher, student, int8) = (path("teacher.st"), path("student.st"), path("int8.st"));
    let base = |out| {
        vec![
            "train",
            "--data",
            text(&data),
            "--out",
            out,
            "--batch",
            "32",
            "--epochs",
            "5",
        ]
    };
    json(&base(text(&teacher)));
    let taught = [
        &base(text(&student))[..],
        &["--teacher", text(&teacher), "--seed", "2"],
    ]
    .concat();
    let t = json(&taught);
    assert!(t["accuracy"].as_f64() > Some(0.3), "{t}");
    let i = json(&["inspect", text(&student)]);
    assert!(i["history"].to_string().contains("distillation"), "{i}");
    json(
        &[
            &taught[..],
            &["--teacher-weight", "0.3", "--temperature", "2"],
        ]
        .concat(),
    );
    let line = fails(&[&taught[..], &["--teacher-weight", "2"]].concat());
    assert!(line.contains("--teacher-weight"), "{line}");
    let line = fails(&[&taught[..], &["--temperature", "0"]].concat());
    assert!(line.contains("temperature"), "{line}");
    json(&[
        "quantize",
        text(&teacher),
        "--data",
        text(&data),
        "--out",
        text(&int8),
        "--calib",
        "32",
    ]);
    let line = fails(&[&base(text(&student))[..], &["--teacher", text(&int8)]].concat());
    assert!(line.contains("int8"), "{line}");

    let from = [&base(text(&student))[..], &["--from", text(&teacher)]].concat();
    json(&[&from[..], &["--lr-of", "conv=0", "--lr-of", "fc1.weight=0"]].concat());
    let weights = |path: &Path, name: &str| {
        let network = wizen::open(path, None).expect("readable");
        let id = network.graph.find(name).expect("a parameter");
        network
            .graph
            .tensor(id)
            .expect("a parameter")
            .words()
            .to_vec()
    };
    for name in ["conv1.weight", "conv2.bias", "fc1.weight"] {
        assert_eq!(weights(&student, name), weights(&teacher, name), "{name}");
    }
    assert_ne!(
        weights(&student, "fc2.weight"),
        weights(&teacher, "fc2.weight")
    );
    assert!(fails(&[&from[..], &["--lr-of", "conv"]].concat()).contains("PREFIX=FACTOR"));
    assert!(fails(&[&from[..], &["--lr-of", "cnov=0"]].concat()).contains("cnov"));
}

/// CIFAR-10's binary form, with pictures whose brightness tells their class.
fn cifar(dir: &Path) -> std::path::PathBuf {
    let folder = dir.join("cifar");
    std::fs::create_dir_all(&folder).expect("writable");
    let mut rng = Rng::new(3);
    for (name, count) in [("data_batch_1.bin", 40), ("test_batch.bin", 20)] {
        let mut file = Vec::new();
        for i in 0..count {
            let label = i % 10;
            file.push(label as u8);
            file.extend((0..3072).map(|_| (24 * label + rng.below(24)) as u8));
        }
        std::fs::write(folder.join(name), file).expect("writable");
    }
    folder
}

#[test]
fn a_residual_network_learns_from_scratch() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, out) = (cifar(dir.path()), dir.path().join("net.st"));
    let base = [
        "train",
        "--arch",
        "resnet20",
        "--data",
        text(&folder),
        "--out",
        text(&out),
    ];
    let t = json(&[&base[..], &["--epochs", "1", "--batch", "20"]].concat());
    assert!(
        t["loss"]
            .as_f64()
            .is_some_and(|loss| loss > 0.0 && loss < 10.0),
        "{t}"
    );
    let network = wizen::open(&out, None).expect("readable");
    assert_eq!(network.arch, "resnet20");
    let id = network
        .graph
        .find("bn1.running_mean")
        .expect("the stem's norm");
    let mean = network.graph.tensor(id).expect("a parameter").to_f64();
    assert!(
        mean.iter().all(|&x| x != 0.0),
        "statistics that did not move: {mean:?}"
    );
}

#[test]
fn short_runs_reach_the_sparsity_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, fp32, out) = (
        digits(dir.path()),
        dir.path().join("a.st"),
        dir.path().join("b.st"),
    );
    let data = ["--data", text(&folder), "--batch", "320"];
    json(&[&["train", "--out", text(&fp32), "--epochs", "1"][..], &data].concat());
    for epochs in ["0", "1", "2"] {
        let base = [
            "prune",
            text(&fp32),
            "--out",
            text(&out),
            "--sparsity",
            "0.5",
            "--epochs",
            epochs,
        ];
        let p: Value = json(&[&base[..], &data].concat());
        // To one of some 61 000 weights.
        let off = (p["sparsity"].as_f64().expect("a number") - 0.5).abs();
        assert!(off < 1.0 / 61_000.0, "{epochs} epochs: {p}");
    }
    let base = [
        "prune",
        text(&fp32),
        "--out",
        text(&out),
        "--sparsity",
        "0.5",
    ];
    assert!(fails(&[&base[..], &["--checkpoint", "x"]].concat()).contains("without --data"));
}
