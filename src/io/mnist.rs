//! Folders with the four files of MNIST.

use std::path::{Path, PathBuf};

use super::augment::Augment;
use super::dataset::{Dataset, Splits};
use super::idx::read_idx;
use crate::error::{Error, Result};

/// Classes of a data set in MNIST's format: ten digits (or ten kinds of clothes).
const MNIST_CLASSES: usize = 10;

/// Beginnings of the files' names, and the axes of what is in them.
const WANTED: [(&str, usize); 4] = [
    ("train-images", 3),
    ("train-labels", 1),
    ("t10k-images", 3),
    ("t10k-labels", 1),
];

/// Loads a folder with the four MNIST-style files, gzipped or not: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` (also with `.` instead
/// of `-` before `idx`). Images are `[n, h, w, 1]`; there are 10 classes.
///
/// # Errors
/// [`Error::Format`] if files are missing (it lists them) or do not belong together; else as
/// [`read_idx`] and [`Dataset::new`].
pub fn load_mnist(folder: impl AsRef<Path>) -> Result<Splits> {
    let folder = folder.as_ref();
    if !folder.is_dir() {
        let problem = "there is no such folder; expected one with the four MNIST files";
        return Err(Error::format(folder, problem));
    }
    let found = WANTED.map(|(stem, axes)| find(folder, stem, axes));
    let missing: Vec<String> = WANTED
        .iter()
        .zip(&found)
        .filter(|(_, path)| path.is_none())
        .map(|((stem, axes), _)| format!("{stem}-idx{axes}-ubyte"))
        .collect();
    let [Some(train_x), Some(train_y), Some(test_x), Some(test_y)] = found else {
        let problem = format!(
            "the MNIST files {} (or the same with .gz) are missing in this folder",
            missing.join(", ")
        );
        return Err(Error::format(folder, problem));
    };
    let name = format!("mnist ({})", folder.display());
    let splits = Splits {
        train: load(&name, &train_x, &train_y)?,
        test: load(&name, &test_x, &test_y)?,
        held_out: true,
    };
    let (train, test) = (splits.train.image_shape(), splits.test.image_shape());
    if train != test {
        let problem = format!("its images are {test:?}, those for training {train:?}");
        return Err(Error::format(test_x, problem));
    }
    Ok(splits)
}

/// Whether any of MNIST's files is in a folder.
pub(super) fn any_file(folder: &Path) -> bool {
    WANTED
        .iter()
        .any(|(stem, axes)| find(folder, stem, *axes).is_some())
}

fn find(folder: &Path, stem: &str, axes: usize) -> Option<PathBuf> {
    ["-", "."]
        .iter()
        .flat_map(|dash| ["", ".gz"].map(|gz| format!("{stem}{dash}idx{axes}-ubyte{gz}")))
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn load(name: &str, images: &Path, labels: &Path) -> Result<Dataset> {
    let (x, y) = (read_idx(images, 3)?, read_idx(labels, 1)?);
    if x.shape[0] != y.shape[0] {
        let problem = format!(
            "it has {} labels, but {} has {} images",
            y.shape[0],
            images.display(),
            x.shape[0]
        );
        return Err(Error::format(labels, problem));
    }
    let labels = y.data.iter().map(|&label| u32::from(label)).collect();
    let shape = [x.shape[1], x.shape[2], 1];
    let data = Dataset::new(name, x.data, labels, shape, MNIST_CLASSES)?;
    Ok(data.with_augment(Augment::LITTLE))
}

#[cfg(test)]
mod tests {
    use super::super::idx::write_idx;
    use super::*;

    #[test]
    fn mnist_folders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        let error = load_mnist(path("nowhere")).expect_err("missing");
        assert!(error.to_string().contains("no such folder"), "{error}");

        write_idx(path("train-images-idx3-ubyte.gz"), &[3, 2, 2], &[9; 12]).expect("writable");
        write_idx(path("train-labels.idx1-ubyte"), &[3], &[0, 9, 5]).expect("writable");
        write_idx(path("t10k-images-idx3-ubyte"), &[1, 2, 2], &[7; 4]).expect("writable");
        let error = load_mnist(folder.path())
            .expect_err("a file is missing")
            .to_string();
        assert!(
            error.contains("files t10k-labels-idx1-ubyte (or"),
            "{error}"
        );

        let labels = path("t10k-labels-idx1-ubyte.gz");
        write_idx(&labels, &[2], &[1, 2]).expect("writable");
        let error = load_mnist(folder.path())
            .expect_err("two labels, one image")
            .to_string();
        assert!(error.contains("it has 2 labels, but"), "{error}");
        write_idx(&labels, &[1], &[10]).expect("writable");
        let error = load_mnist(folder.path()).expect_err("label 10").to_string();
        assert!(error.contains("label of image 0 is 10"), "{error}");

        write_idx(&labels, &[1], &[4]).expect("writable");
        let splits = load_mnist(folder.path()).expect("complete");
        assert_eq!(splits.train.labels(), [0, 9, 5]);
        assert_eq!(splits.test.pixels(), Some(&[7; 4][..]));
        assert_eq!(
            (splits.train.classes(), splits.train.image_shape()),
            (10, [2, 2, 1])
        );
        assert!(splits.test.name().starts_with("mnist (") && !splits.test.is_synthetic());
    }
}
