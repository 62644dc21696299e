//! Data sets in binary form; and real data, where this machine has it: `WIZEN_DATA`, else a folder beside the project.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use wizen::base::Preprocess;
use wizen::io::{Augment, Dataset, load_data, load_splits};

/// A file or folder of the real data; `None` skips, loudly and counted.
pub fn real(path: &str) -> Option<PathBuf> {
    found(data().join(path))
}

/// As [`real`], of what lies beside the data: `models`, `cases`.
pub fn shared(path: &str) -> Option<PathBuf> {
    found(data().join("..").join(path))
}

fn data() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    std::env::var_os("WIZEN_DATA").map_or_else(beside, PathBuf::from)
}

fn found(path: PathBuf) -> Option<PathBuf> {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    if path.exists() {
        return Some(path);
    }
    let n = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let problem = format!(
        "SKIPPED {n} checks on real data so far: no {}",
        path.display()
    );
    // Not `eprintln`: the test runner would swallow it.
    writeln!(std::io::stderr(), "{problem}").expect("stderr");
    None
}

/// A record of CIFAR-10: planes of 1024 bytes in red, green and blue.
fn record(label: u8, pixel: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let planes = (0..3 * 1024).map(|i| pixel(i / 1024, i % 1024));
    std::iter::once(label).chain(planes).collect()
}

#[test]
fn cifar10_batches_are_turned_to_pixels() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| {
        std::fs::write(dir.path().join(name), content).expect("writable");
    };
    let preprocess = Preprocess::preset("cifar10", [32, 32, 3]).expect("a preset");
    let load = || load_data(dir.path(), &preprocess);
    let wave = |colour: usize, at: usize| (colour * 70 + at % 61) as u8;
    write("data_batch_2.bin", &record(9, |_, _| 255));
    write(
        "data_batch_1.bin",
        &[record(3, wave), record(0, |_, _| 0)].concat(),
    );
    let splits = load().expect("one set");
    assert!(!splits.held_out && splits.train == splits.test);
    write("test_batch.bin", &record(7, wave));
    write("readme.html", b"no batch");
    let splits = load().expect("both sets");
    assert!(splits.held_out);
    assert_eq!(splits.train.labels(), [3, 0, 9]);
    assert_eq!(
        (splits.test.labels(), splits.test.classes()),
        (&[7][..], 10)
    );
    let augment = Augment {
        shift: 4,
        flip: true,
    };
    assert_eq!(splits.train.augment(), augment);
    let (x, _) = splits.train.batch(&[0, 2]).expect("in range");
    assert_eq!(x.shape(), [2, 32, 32, 3]);
    let x = x.as_f32().expect("f32");
    let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]);
    for (i, y) in x.iter().enumerate() {
        let (image, at, colour) = (i / 3072, i % 3072 / 3, i % 3);
        let pixel = if image == 0 { wave(colour, at) } else { 255 };
        assert_eq!(
            *y,
            (f32::from(pixel) / 255.0 - mean[colour]) / std[colour],
            "{i}"
        );
    }
    let plain = load_splits(dir.path()).expect("both sets").train;
    assert_eq!(
        plain.batch(&[2]).expect("in range").0.to_f32(),
        vec![1.0; 3072]
    );
    let one = load_data(dir.path().join("test_batch.bin"), &preprocess).expect("one file");
    assert_eq!((one.train.len(), one.held_out), (1, false));

    let large = Preprocess::preset("imagenet", [224, 224, 3]).expect("a preset");
    let error = load_data(dir.path(), &large)
        .expect_err("not resized")
        .to_string();
    assert!(
        error.contains("[32, 32, 3]") && error.contains("[224, 224, 3]"),
        "{error}"
    );
    let says = |content: &[u8], words: &str| {
        write("test_batch.bin", content);
        let error = load().expect_err(words).to_string();
        assert!(
            error.contains(words) && error.contains("test_batch.bin"),
            "{error}"
        );
    };
    says(b"", "it has 0 bytes, expected one or more records of 3073");
    says(&record(1, wave)[1..], "it has 3072 bytes");
    says(&[record(1, wave), vec![0]].concat(), "it has 3074 bytes");
    says(
        &[record(1, wave), record(10, wave)].concat(),
        "the label of image 1 is 10",
    );
}

#[test]
fn the_real_cifar10_is_read() {
    let Some(folder) = real("cifar10") else {
        return;
    };
    // ResNet20 of the same folder was trained with ImageNet's mean and deviation.
    let preprocess = Preprocess::for_input([32, 32, 3]).expect("three channels");
    assert_eq!(preprocess.mean, [0.485, 0.456, 0.406]);
    let splits = load_data(&folder, &preprocess).expect("complete");
    assert!(splits.held_out);
    assert_eq!((splits.train.len(), splits.test.len()), (10_000, 10_000));
    // A thousand of each class are for testing; a batch to learn from has about as many.
    for class in 0..10 {
        let of = |data: &Dataset| data.labels().iter().filter(|&&l| l == class).count();
        assert_eq!(of(&splits.test), 1000);
        assert!(of(&splits.train) > 850);
    }
    // Neighbours are alike in a picture, and not where planes were taken for pixels.
    let pixels = splits.test.pixels().expect("in memory");
    let far = |step: usize| -> u64 {
        let pairs = pixels.iter().zip(&pixels[step..]).take(3_000_000);
        pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    assert!(far(3) * 3 < far(3072), "{} {}", far(3), far(3072));
}
