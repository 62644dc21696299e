//! Checkpoints of PyTorch: every form and element type, damage, lies, and what real ones hold.

use std::path::Path;

use wizen::Result;
use wizen::base::Preprocess;
use wizen::graph::{Device, lower, optimize, sqnr_db};
use wizen::io::{
    Form, StoredTensor, StoredType, file_form, float_tensors, load_data, read_safetensors,
    read_weights,
};
use wizen::models::{self, ResNet};
use wizen::train::argmax_rows;

use crate::cli::{fails, json, text};
use crate::data::{real, shared};
use crate::harness;

/// A tensor of a checkpoint: name, PyTorch's storage, shape, strides, the elements of its storage.
type Saved<'a> = (&'a str, &'a str, &'a [usize], &'a [usize], Vec<u8>);

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, n: usize) {
    out.push(b'J');
    out.extend((n as u32).to_le_bytes());
}

fn element(storage: &str) -> usize {
    match storage {
        "DoubleStorage" | "LongStorage" => 8,
        "FloatStorage" => 4,
        _ => 2,
    }
}

/// `{"epoch": 3, key: {name: tensor, …}}` as `torch.save` pickles it.
fn pickle(key: &str, tensors: &[Saved<'_>], legacy: bool) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    string(&mut out, "epoch");
    out.extend(b"K\x03");
    string(&mut out, key);
    out.extend(b"}(");
    for (i, (name, storage, shape, strides, bytes)) in tensors.iter().enumerate() {
        string(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        string(&mut out, "storage");
        out.extend(format!("ctorch\n{storage}\n").as_bytes());
        string(&mut out, &i.to_string());
        string(&mut out, "cpu");
        number(&mut out, bytes.len() / element(storage));
        out.extend(if legacy { &b"NtQK\0"[..] } else { b"tQK\0" });
        for dims in [shape, strides] {
            out.push(b'(');
            dims.iter().for_each(|&dim| number(&mut out, dim));
            out.push(b't');
        }
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"uu.");
    out
}

/// PyTorch before 1.6: pickles, then the storages.
fn legacy(key: &str, tensors: &[Saved<'_>]) -> Vec<u8> {
    let mut out =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}"
            .to_vec();
    string(&mut out, "little_endian");
    out.extend(b"\x88s.");
    out.extend(pickle(key, tensors, true));
    out.extend(b"\x80\x02](");
    (0..tensors.len()).for_each(|i| string(&mut out, &i.to_string()));
    out.extend(b"e.");
    for (_, storage, _, _, bytes) in tensors {
        out.extend((bytes.len() as u64 / element(storage) as u64).to_le_bytes());
        out.extend(bytes);
    }
    out
}

/// A zip archive of stored files, as PyTorch writes it since 1.6.
fn zip(key: &str, tensors: &[Saved<'_>]) -> Vec<u8> {
    let mut files = vec![("archive/data.pkl".to_owned(), pickle(key, tensors, false))];
    for (i, tensor) in tensors.iter().enumerate() {
        files.push((format!("archive/data/{i}"), tensor.4.clone()));
    }
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in &files {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut about = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        about.extend(crc.sum().to_le_bytes());
        about.extend((content.len() as u32).to_le_bytes().repeat(2));
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        directory.extend([b"PK\x01\x02\x0a\0", &about[..], &[0; 10]].concat());
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend([b"PK\x03\x04", &about[..], name.as_bytes(), content].concat());
    }
    let (start, count) = (out.len() as u32, (files.len() as u16).to_le_bytes());
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.repeat(2));
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn read(folder: &Path, content: &[u8]) -> Result<Vec<(String, StoredTensor)>> {
    let path = folder.join("model.pth");
    std::fs::write(&path, content).expect("writable");
    read_weights(&path)
}

/// One of each element type; the last is transposed.
fn samples() -> Vec<Saved<'static>> {
    let floats = [1.5f32, -2.0, 0.25, 8.0, -0.5, 3.0];
    let bytes = |of: fn(f32) -> Vec<u8>| floats.iter().flat_map(|&x| of(x)).collect();
    let shape: &[usize] = &[2, 3];
    let rows: &[usize] = &[3, 1];
    vec![
        (
            "module.z.f32",
            "FloatStorage",
            shape,
            rows,
            bytes(|x| x.to_le_bytes().into()),
        ),
        (
            "module.f64",
            "DoubleStorage",
            shape,
            rows,
            bytes(|x| f64::from(x).to_le_bytes().into()),
        ),
        (
            "module.f16",
            "HalfStorage",
            shape,
            rows,
            bytes(|x| half::f16::from_f32(x).to_le_bytes().into()),
        ),
        (
            "module.bf16",
            "BFloat16Storage",
            shape,
            rows,
            bytes(|x| half::bf16::from_f32(x).to_le_bytes().into()),
        ),
        (
            "module.count",
            "LongStorage",
            &[],
            &[],
            7i64.to_le_bytes().into(),
        ),
        (
            "module.turned",
            "FloatStorage",
            &[3, 2],
            &[1, 3],
            bytes(|x| x.to_le_bytes().into()),
        ),
    ]
}

#[test]
fn both_forms_and_every_type_are_read() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (form, content) in [
        ("legacy", legacy("state_dict", &samples())),
        ("zip", zip("model", &samples())),
    ] {
        let found = read(dir.path(), &content).unwrap_or_else(|e| panic!("{form}: {e}"));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let sorted = ["bf16", "count", "f16", "f32", "f64", "turned"];
        let sorted = sorted.map(|n| format!("module.{}{n}", if n == "f32" { "z." } else { "" }));
        assert_eq!(names.len(), 6, "{form}");
        assert!(
            sorted.iter().all(|name| names.contains(&name.as_str())),
            "{form}: {names:?}"
        );
        assert!(names.is_sorted(), "{form}: {names:?}");
        for (name, tensor) in &found {
            let expected = match name.as_str() {
                "module.count" => {
                    assert_eq!(
                        (tensor.dtype, &tensor.bytes[..]),
                        (StoredType::I64, &7i64.to_le_bytes()[..])
                    );
                    continue;
                }
                "module.turned" => [1.5, 8.0, -2.0, -0.5, 0.25, 3.0],
                _ => [1.5, -2.0, 0.25, 8.0, -0.5, 3.0],
            };
            assert_eq!(tensor.to_f32().expect("float"), expected, "{form} {name}");
        }
        assert_eq!(
            float_tensors(&found).expect("floats and a counter").len(),
            5
        );
        assert_eq!(
            file_form(dir.path().join("model.pth")).expect("readable"),
            Form::PyTorch
        );
    }
}

#[test]
fn damage_is_a_sentence() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for whole in [
        legacy("state_dict", &samples()),
        zip("state_dict", &samples()),
    ] {
        for len in 0..whole.len() {
            let error = read(dir.path(), &whole[..len])
                .expect_err("cut short")
                .to_string();
            assert!(error.contains("model.pth"), "{len}: {error}");
        }
        // Nothing panics, whatever a byte is; no error is without the file's name.
        for at in 0..whole.len() {
            for flip in [0x01, 0x5a, 0x80] {
                let mut bad = whole.clone();
                bad[at] ^= flip;
                if let Err(error) = read(dir.path(), &bad) {
                    assert!(error.to_string().contains("model.pth"), "{at}: {error}");
                }
            }
        }
    }
}

#[test]
fn lies_and_programs_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let says = |content: &[u8], words: &str| {
        let error = read(dir.path(), content).expect_err(words).to_string();
        assert!(
            error.contains(words) && error.contains("model.pth"),
            "{error}"
        );
    };
    // One element, seen two billion times; a view behind the end of its storage.
    let one = || 1f32.to_le_bytes().to_vec();
    let (wide, far): (&[usize], &[usize]) = (&[1 << 30], &[2]);
    for form in [legacy, zip] {
        says(
            &form("state_dict", &[("w", "FloatStorage", wide, &[0], one())]),
            "4294967296 bytes",
        );
        says(
            &form("state_dict", &[("w", "FloatStorage", far, &[1], one())]),
            "PyTorch checkpoint",
        );
        says(&form("state_dict", &[]), "holds no tensors");
        says(
            &form("state_dict", &[("w", "QInt8Storage", &[2], &[1], one())]),
            "PyTorch checkpoint",
        );
    }
    // A pickle that would create a file, were it executed.
    let target = dir.path().join("created");
    let mut program = b"\x80\x02}X\x05\0\0\0stateccodecs\nopen\n(".to_vec();
    string(&mut program, text(&target));
    string(&mut program, "w");
    program.extend(b"tRs.");
    says(&program, "holds no tensors");
    assert!(!target.exists());
}

#[test]
fn other_files_are_named() {
    let Some(cases) = shared("cases/foreign-files") else {
        return;
    };
    let line = fails(&["inspect", text(&cases.join("pointer.safetensors"))]);
    assert!(
        line.contains("git lfs pull") && line.contains("pointer.safetensors"),
        "{line}"
    );
    let network = json(&["inspect", text(&cases.join("network.onnx"))]);
    assert_eq!(network["layers"].as_array().map(Vec::len), Some(4));
    let found = read_weights(cases.join("weights.pth")).expect("a zip");
    assert_eq!(found.len(), 20);
}

/// Probabilities of the first picture, by class.
fn predicted(case: &str, model: &str) -> Option<Vec<f64>> {
    let folder = shared(&format!("cases/{case}"))?;
    let (model, picture) = (folder.join(model), folder.join("picture.png"));
    let found = json(&["predict", text(&model), text(&picture), "--top", "99"]);
    let classes = found["predictions"][0]["classes"]
        .as_array()
        .expect("classes")
        .clone();
    let mut by_index = vec![f64::NAN; classes.len()];
    for class in classes {
        let index = class["index"].as_u64().expect("an index") as usize;
        by_index[index] = class["probability"].as_f64().expect("a number");
    }
    Some(by_index)
}

#[test]
fn weights_of_other_programs_predict_as_in_torch() {
    let usual = vec![0.0315, 0.6879, 0.0822, 0.1831, 0.0153];
    for (case, model, expected) in [
        ("prefixes", "lightning.safetensors", usual.clone()),
        ("prefixes", "compiled.safetensors", usual.clone()),
        ("head-after-dropout", "model.safetensors", usual.clone()),
        ("names-transformers", "model.safetensors", usual),
        (
            "pruned-by-torch",
            "model.safetensors",
            vec![0.0791, 0.6250, 0.1639, 0.1225, 0.0095],
        ),
        (
            "gray-stem",
            "model.safetensors",
            vec![0.1772, 0.0461, 0.7693, 0.0027, 0.0047],
        ),
        (
            "cifar-transform",
            "model.safetensors",
            vec![
                0.0071, 0.0001, 0.9322, 0.0064, 0.0036, 0.0239, 0.0004, 0.0089, 0.0103, 0.0072,
            ],
        ),
    ] {
        let Some(got) = predicted(case, model) else {
            continue;
        };
        assert_eq!(got.len(), expected.len(), "{case}");
        for (g, e) in got.iter().zip(&expected) {
            // Four digits are published.
            assert!(
                (g - e).abs() < 1e-4,
                "{case} {model}: {got:?}, torch {expected:?}"
            );
        }
    }
}

#[test]
fn pruned_layers_keep_their_zeros() {
    let Some(folder) = shared("cases/pruned-by-torch") else {
        return;
    };
    let found = json(&["inspect", text(&folder.join("model.safetensors"))]);
    for layer in found["layers"].as_array().expect("layers") {
        let pruned = ["layer1.0.conv1", "fc"].contains(&layer["name"].as_str().expect("a name"));
        let sparsity = layer["sparsity"].as_f64().expect("a number");
        assert_eq!(sparsity, if pruned { 0.5 } else { 0.0 }, "{layer}");
    }
}

#[test]
fn the_published_resnet20_is_recognised() {
    let Some(path) = shared("models/cifar10_resnet20/checkpoint.th") else {
        return;
    };
    let tensors = read_weights(&path).expect("a legacy checkpoint");
    let found = models::import(None, &float_tensors(&tensors).expect("floats")).expect("complete");
    assert_eq!(found.arch, "resnet20");
    assert!(found.masks.is_empty());
    let shapes: Vec<_> = found
        .weights
        .iter()
        .map(|(name, w)| (name.clone(), w.shape().to_vec()))
        .collect();
    let mut expected = ResNet::named("resnet20").expect("known").params();
    expected.sort();
    assert_eq!(shapes, expected);
}

#[test]
fn the_published_resnet20_answers_as_onnx_runtime() {
    let (Some(folder), Some(data)) = (shared("models/cifar10_resnet20"), real("cifar10")) else {
        return;
    };
    let Some(gpu) = harness::gpu() else { return };
    let tensors = read_weights(folder.join("checkpoint.th")).expect("a legacy checkpoint");
    let found = models::import(None, &float_tensors(&tensors).expect("floats")).expect("complete");
    let graph = models::build(&found.arch, 50, &found.weights).expect("builds");
    let graph = optimize(&graph).expect("well formed");
    let plan = lower(&graph, gpu.caps()).expect("lowers");
    let mut network = pollster::block_on(Device::Gpu(gpu).load(plan)).expect("loads");

    let preprocess = Preprocess::for_input([32, 32, 3]).expect("three channels");
    let images = load_data(data, &preprocess)
        .expect("complete")
        .test
        .take(200);
    let file = folder.join("test_first200_logits.safetensors");
    let (_, expected) = read_safetensors(file).expect("complete");
    let expected = expected[0].1.to_f32().expect("floats");
    let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
    let (mut got, mut classes) = (Vec::new(), Vec::new());
    for start in (0..200).step_by(50) {
        let indices: Vec<usize> = (start..start + 50).collect();
        let (x, _) = images.batch(&indices).expect("in range");
        let logits = pollster::block_on(network.run(&[&x])).expect("runs");
        got.extend(logits[0].to_f64());
        classes.extend(argmax_rows(&logits[0]));
    }
    // The rounding of one sum of 576 products may be 576 · 2⁻²⁴ of it.
    let most = 20.0 * (f64::from(1 << 24) / 576.0).log10();
    let sqnr = sqnr_db(&expected, &got).expect("another order of sums");
    println!("{sqnr:.1} dB, {most:.1} dB asked for");
    assert!(sqnr > most, "{sqnr} dB");
    let right = classes.iter().zip(images.labels());
    assert_eq!(right.filter(|(c, l)| **c == **l as usize).count(), 182);
}
