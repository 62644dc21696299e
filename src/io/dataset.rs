//! Labelled images in memory.

use std::path::{Path, PathBuf};

use super::idx::read_idx;
use crate::base::{Rng, Tensor};
use crate::error::{Error, Result};

/// Classes of a data set in MNIST's format: ten digits (or ten kinds of clothes).
const MNIST_CLASSES: usize = 10;

/// Images of one size with one label each. At least one image; every label is below `classes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    images: Vec<u8>,
    labels: Vec<u32>,
    image_shape: [usize; 3],
    classes: usize,
    name: String,
    synthetic: bool,
}

/// The images to learn from and those to judge by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// For training and calibration.
    pub train: Dataset,
    /// For measuring accuracy, never for anything else.
    pub test: Dataset,
}

impl Dataset {
    /// From pixels `[n, height, width, channels]` (0 ..= 255) and `n` labels.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no image, if the pixels are not `n` images of `image_shape =
    /// [height, width, channels]`, or if a label is not below `classes`.
    pub fn new(
        name: impl Into<String>,
        images: Vec<u8>,
        labels: Vec<u32>,
        image_shape: [usize; 3],
        classes: usize,
    ) -> Result<Self> {
        let name = name.into();
        let wrong = |problem: String| Err(Error::invalid(format!("data set `{name}`"), problem));
        if labels.is_empty() {
            return wrong("it has no images".to_string());
        }
        let expected = image_shape
            .iter()
            .try_fold(labels.len(), |product, &dim| product.checked_mul(dim));
        if expected != Some(images.len()) || images.is_empty() {
            return wrong(format!(
                "{} labels with images of {image_shape:?} do not fit {} pixels",
                labels.len(),
                images.len()
            ));
        }
        if let Some((i, label)) = labels
            .iter()
            .enumerate()
            .find(|&(_, &l)| l as usize >= classes)
        {
            return wrong(format!(
                "the label of image {i} is {label}, expected less than {classes} (classes)"
            ));
        }
        Ok(Self {
            images,
            labels,
            image_shape,
            classes,
            name,
            synthetic: false,
        })
    }

    /// The same data, marked as generated rather than collected.
    pub(super) fn into_synthetic(self) -> Self {
        Self {
            synthetic: true,
            ..self
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: an empty data set cannot be made.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `[height, width, channels]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.image_shape
    }

    /// Number of classes; labels are below it.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Where it came from, for people: `mnist (folder)` or `synthetic digits`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if the images were generated, so that accuracies say nothing about real data.
    pub fn is_synthetic(&self) -> bool {
        self.synthetic
    }

    /// The label of every image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// All pixels, `[n, height, width, channels]`, 0 ..= 255.
    pub fn pixels(&self) -> &[u8] {
        &self.images
    }

    /// The first `n` images (all of them if there are fewer; at least one).
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        let n = n.clamp(1, self.len());
        Self {
            images: self.images[..n * self.image_len()].to_vec(),
            labels: self.labels[..n].to_vec(),
            name: self.name.clone(),
            ..*self
        }
    }

    fn image_len(&self) -> usize {
        self.image_shape.iter().product()
    }

    /// Images and labels at these indices: `f32 [n, h, w, c]` with `x = pixel / 255` in 0 ..= 1 (no mean,
    /// no deviation), and `u32 [n]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an index is not below [`Dataset::len`].
    pub fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        self.gather(indices, || (0, 0))
    }

    /// As [`Dataset::batch`], each image moved by a whole number of pixels, uniformly drawn from
    /// `−max_shift ..= max_shift` along both axes; zeros come in at the border.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an index is not below [`Dataset::len`] or `max_shift` exceeds an image side.
    pub fn batch_augmented(
        &self,
        indices: &[usize],
        rng: &mut Rng,
        max_shift: usize,
    ) -> Result<(Tensor, Tensor)> {
        let [height, width, _] = self.image_shape;
        if max_shift > height.min(width) {
            return Err(Error::invalid(
                "batch_augmented",
                format!("max_shift is {max_shift}, more than a side of {height} x {width} images"),
            ));
        }
        let mut draw = || rng.below(2 * max_shift + 1) as isize - max_shift as isize;
        self.gather(indices, || (draw(), draw()))
    }

    /// `shift` gives (rows down, columns right) for each image in turn.
    fn gather(
        &self,
        indices: &[usize],
        mut shift: impl FnMut() -> (isize, isize),
    ) -> Result<(Tensor, Tensor)> {
        let [height, width, channels] = self.image_shape;
        let image_len = self.image_len();
        let mut x = vec![0f32; indices.len() * image_len];
        let mut labels = Vec::with_capacity(indices.len());
        for (&index, out) in indices.iter().zip(x.chunks_exact_mut(image_len)) {
            let Some(&label) = self.labels.get(index) else {
                return Err(Error::invalid(
                    "batch",
                    format!("index {index} is not below the {} images", self.len()),
                ));
            };
            labels.push(label);
            let image = &self.images[index * image_len..][..image_len];
            let (down, right) = shift();
            // Destination columns `first .. last` have a source column inside the image.
            let first = right.max(0) as usize;
            let last = width.saturating_add_signed(right).min(width);
            if first >= last {
                continue;
            }
            let source_first = first.saturating_add_signed(-right);
            for row in 0..height {
                let Some(from) = row.checked_add_signed(-down).filter(|&r| r < height) else {
                    continue;
                };
                let source = &image[(from * width + source_first) * channels..];
                let target = &mut out[(row * width + first) * channels..];
                for (t, &s) in target[..(last - first) * channels].iter_mut().zip(source) {
                    *t = f32::from(s) / 255.0;
                }
            }
        }
        let x = Tensor::from_f32(&[indices.len(), height, width, channels], &x)?;
        Ok((x, Tensor::from_u32(&[indices.len()], &labels)?))
    }
}

/// Loads a folder with the four MNIST-style files, gzipped or not: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` (also with `.` instead
/// of `-` before `idx`). Images are `[n, h, w, 1]`; there are 10 classes.
///
/// # Errors
/// [`Error::Format`] if files are missing (it lists them) or do not belong together; else as
/// [`read_idx`] and [`Dataset::new`].
pub fn load_splits(folder: impl AsRef<Path>) -> Result<Splits> {
    let folder = folder.as_ref();
    if !folder.is_dir() {
        let problem = "there is no such folder; expected one with the four MNIST files";
        return Err(Error::format(folder, problem));
    }
    let wanted = [
        ("train-images", 3),
        ("train-labels", 1),
        ("t10k-images", 3),
        ("t10k-labels", 1),
    ];
    let found = wanted.map(|(stem, axes)| find(folder, stem, axes));
    let missing: Vec<String> = wanted
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
    };
    let (train, test) = (splits.train.image_shape, splits.test.image_shape);
    if train != test {
        let problem = format!("its images are {test:?}, those for training {train:?}");
        return Err(Error::format(test_x, problem));
    }
    Ok(splits)
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
    Dataset::new(
        name,
        x.data,
        labels,
        [x.shape[1], x.shape[2], 1],
        MNIST_CLASSES,
    )
}

#[cfg(test)]
mod tests {
    use super::super::idx::write_idx;
    use super::*;

    fn tiny() -> Dataset {
        let pixels = (0..3 * 2 * 3).map(|i| i * 10).collect();
        Dataset::new("tiny", pixels, vec![2, 0, 1], [2, 3, 1], 3).expect("consistent")
    }

    #[test]
    fn batches_are_pixels_over_255() {
        let (x, y) = tiny().batch(&[2, 0, 2]).expect("indices in range");
        assert_eq!(x.shape(), [3, 2, 3, 1]);
        assert_eq!(y.as_u32().expect("u32"), [1, 2, 1]);
        let x = x.as_f32().expect("f32");
        assert_eq!(x[0], 120.0 / 255.0);
        assert_eq!(
            x[6..12],
            [0.0, 10.0, 20.0, 30.0, 40.0, 50.0].map(|p| p / 255.0)
        );
        assert!(tiny().batch(&[3]).is_err());
        assert_eq!(
            tiny().batch(&[]).expect("nothing is fine").0.shape(),
            [0, 2, 3, 1]
        );
        assert_eq!(tiny().take(2).labels(), [2, 0]);
        assert_eq!(tiny().take(99), tiny());
    }

    #[test]
    fn shifts_fill_with_zero() {
        let shifted = |down, right| {
            let (x, _) = tiny().gather(&[0], || (down, right)).expect("in range");
            let x: Vec<u32> = x
                .to_f32()
                .iter()
                .map(|v| (v * 255.0).round() as u32)
                .collect();
            [[x[0], x[1], x[2]], [x[3], x[4], x[5]]]
        };
        assert_eq!(shifted(0, 0), [[0, 10, 20], [30, 40, 50]]);
        assert_eq!(shifted(-1, 0), [[30, 40, 50], [0, 0, 0]]);
        assert_eq!(shifted(1, 1), [[0, 0, 0], [0, 0, 10]]);
        assert_eq!(shifted(0, -2), [[20, 0, 0], [50, 0, 0]]);
        assert_eq!(shifted(0, 3), [[0; 3]; 2]);
        assert_eq!(shifted(-2, -3), [[0; 3]; 2]);
        let (data, mut rng) = (tiny(), Rng::new(1));
        let still = data
            .batch_augmented(&[0, 1], &mut rng, 0)
            .expect("in range");
        assert_eq!(still, data.batch(&[0, 1]).expect("in range"));
        assert!(data.batch_augmented(&[0; 50], &mut rng, 2).is_ok());
        assert!(data.batch_augmented(&[0], &mut rng, 3).is_err());
    }

    #[test]
    fn inconsistent_data_is_refused() {
        let says = |pixels: usize, labels: Vec<u32>, words: &str| {
            let result = Dataset::new("d", vec![0; pixels], labels, [2, 3, 1], 3);
            let error = result.expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        says(0, vec![], "it has no images");
        says(
            11,
            vec![0, 1],
            "2 labels with images of [2, 3, 1] do not fit 11 pixels",
        );
        says(12, vec![0, 3], "the label of image 1 is 3");
    }

    #[test]
    fn mnist_folders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        let error = load_splits(path("nowhere")).expect_err("missing");
        assert!(error.to_string().contains("no such folder"), "{error}");

        write_idx(path("train-images-idx3-ubyte.gz"), &[3, 2, 2], &[9; 12]).expect("writable");
        write_idx(path("train-labels.idx1-ubyte"), &[3], &[0, 9, 5]).expect("writable");
        write_idx(path("t10k-images-idx3-ubyte"), &[1, 2, 2], &[7; 4]).expect("writable");
        let error = load_splits(folder.path())
            .expect_err("a file is missing")
            .to_string();
        assert!(
            error.contains("files t10k-labels-idx1-ubyte (or"),
            "{error}"
        );

        let labels = path("t10k-labels-idx1-ubyte.gz");
        write_idx(&labels, &[2], &[1, 2]).expect("writable");
        let error = load_splits(folder.path())
            .expect_err("two labels, one image")
            .to_string();
        assert!(error.contains("it has 2 labels, but"), "{error}");
        write_idx(&labels, &[1], &[10]).expect("writable");
        let error = load_splits(folder.path())
            .expect_err("label 10")
            .to_string();
        assert!(error.contains("label of image 0 is 10"), "{error}");

        write_idx(&labels, &[1], &[4]).expect("writable");
        let splits = load_splits(folder.path()).expect("complete");
        assert_eq!(splits.train.labels(), [0, 9, 5]);
        assert_eq!(splits.test.pixels(), [7; 4]);
        assert_eq!(
            (splits.train.classes(), splits.train.image_shape()),
            (10, [2, 2, 1])
        );
        assert!(splits.test.name().starts_with("mnist (") && !splits.test.is_synthetic());
    }
}
