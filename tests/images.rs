//! Photographs as data: decoding, folders, `eval` and `predict` on them.

use std::path::PathBuf;

use wizen::io::{ImageTransform, load_image_folder};

/// The folder of real data, if this machine has it; `None` skips, loudly.
fn real_photographs() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("WIZEN_DATA").map_or_else(beside, PathBuf::from);
    let folder = data.join("imagenet-mini");
    if folder.is_dir() {
        return Some(folder);
    }
    use std::io::Write as _;
    let problem = format!("SKIPPED 1 check: no photographs in {}", folder.display());
    // Not `eprintln`: the test runner would swallow it.
    writeln!(std::io::stderr(), "{problem}").expect("stderr");
    None
}

#[test]
fn real_photographs_are_read() {
    let Some(folder) = real_photographs() else {
        return;
    };
    let transform = ImageTransform::default();
    for (set, images, classes) in [("calib", 128, 1000), ("eval", 300, 1000)] {
        let data = load_image_folder(folder.join(set), &transform).expect("complete");
        assert_eq!((data.len(), data.image_shape()), (images, [224, 224, 3]));
        assert!(data.classes() <= classes, "{}", data.classes());
        let all: Vec<usize> = (0..data.len()).collect();
        let (x, labels) = data.batch(&all).expect("all can be decoded");
        assert_eq!(labels.as_u32().expect("u32"), data.labels());
        let first = data.batch(&[images - 1, 0]).expect("decoded again").0;
        let image = 224 * 224 * 3;
        let (x, first) = (x.as_f32().expect("f32"), first.as_f32().expect("f32"));
        assert_eq!(first[image..], x[..image], "decoding is not deterministic");
        assert_eq!(first[..image], x[x.len() - image..]);
        // Pixels lie where 0 and 255 go; photographs are neither all black nor all the same.
        let (low, high) = (-0.485 / 0.229, (1.0 - 0.406) / 0.225);
        assert!(x.iter().all(|v| (low - 1e-6..=high + 1e-6).contains(v)));
        for image in x.chunks(image) {
            let mean = image.iter().sum::<f32>() / image.len() as f32;
            let spread = image.iter().map(|v| (v - mean).abs()).sum::<f32>();
            assert!(spread > 0.05 * image.len() as f32, "an empty picture");
        }
    }
}
