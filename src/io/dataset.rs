//! Labelled images, in memory or in files.

use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::picture::ImageTransform;
use crate::base::{Rng, Tensor};
use crate::error::{Error, Result};

/// Images of one size with one label each. At least one image; every label is below `classes`. A clone
/// shares the pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    source: Source,
    labels: Vec<u32>,
    image_shape: [usize; 3],
    classes: usize,
    name: String,
    synthetic: bool,
}

/// Where the images are.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// `[n, height, width, channels]`, 0 ..= 255.
    Pixels(Arc<Vec<u8>>),
    /// Decoded whenever they are asked for; one path per label.
    Files {
        paths: Arc<Vec<PathBuf>>,
        transform: ImageTransform,
    },
}

/// The images to learn from and those to judge by.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// For training and calibration.
    pub train: Dataset,
    /// For measuring accuracy, never for anything else.
    pub test: Dataset,
    /// False if there is only one set of images and both are that: accuracy after training then says
    /// nothing about other images.
    pub held_out: bool,
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
        let data = Self {
            source: Source::Pixels(Arc::new(images)),
            labels,
            image_shape,
            classes,
            name: name.into(),
            synthetic: false,
        };
        data.check()?;
        Ok(data)
    }

    /// From JPEG and PNG files with a label each. Nothing is read yet: batches decode the files, so that
    /// memory holds one batch, whatever the number of images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no file, if the labels are not as many as the files or not below
    /// `classes`, and as [`ImageTransform::check`].
    pub fn from_files(
        name: impl Into<String>,
        paths: Vec<PathBuf>,
        labels: Vec<u32>,
        transform: ImageTransform,
        classes: usize,
    ) -> Result<Self> {
        transform.check()?;
        let data = Self {
            image_shape: transform.shape(),
            source: Source::Files {
                paths: Arc::new(paths),
                transform,
            },
            labels,
            classes,
            name: name.into(),
            synthetic: false,
        };
        data.check()?;
        Ok(data)
    }

    fn check(&self) -> Result<()> {
        let wrong =
            |problem: String| Err(Error::invalid(format!("data set `{}`", self.name), problem));
        let (labels, image_shape, classes) = (&self.labels, self.image_shape, self.classes);
        if labels.is_empty() {
            return wrong("it has no images".to_string());
        }
        match &self.source {
            Source::Pixels(pixels) => {
                let expected = image_shape
                    .iter()
                    .try_fold(labels.len(), |product, &dim| product.checked_mul(dim));
                if expected != Some(pixels.len()) || pixels.is_empty() {
                    return wrong(format!(
                        "{} labels with images of {image_shape:?} do not fit {} pixels",
                        labels.len(),
                        pixels.len()
                    ));
                }
            }
            Source::Files { paths, .. } if paths.len() != labels.len() => {
                return wrong(format!(
                    "{} labels do not fit {} files",
                    labels.len(),
                    paths.len()
                ));
            }
            Source::Files { .. } => {}
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
        Ok(())
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

    /// All pixels, `[n, height, width, channels]`, 0 ..= 255; `None` if the images are in files.
    pub fn pixels(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Pixels(pixels) => Some(pixels),
            Source::Files { .. } => None,
        }
    }

    /// The first `n` images (all of them if there are fewer; at least one).
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        let n = n.clamp(1, self.len());
        if n == self.len() {
            return self.clone();
        }
        let source = match &self.source {
            Source::Pixels(pixels) => {
                Source::Pixels(Arc::new(pixels[..n * self.image_len()].to_vec()))
            }
            Source::Files { paths, transform } => Source::Files {
                paths: Arc::new(paths[..n].to_vec()),
                transform: transform.clone(),
            },
        };
        Self {
            source,
            labels: self.labels[..n].to_vec(),
            name: self.name.clone(),
            ..*self
        }
    }

    fn image_len(&self) -> usize {
        self.image_shape.iter().product()
    }

    /// Images and labels at these indices: `f32 [n, h, w, c]` and `u32 [n]`. Pixels in memory become
    /// `x = pixel / 255` in 0 ..= 1 (no mean, no deviation), files what their [`ImageTransform`] says,
    /// decoded on all cores.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an index is not below [`Dataset::len`]; for files as [`ImageTransform::load`].
    pub fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        self.gather(indices, || (0, 0))
    }

    /// As [`Dataset::batch`], each image moved by a whole number of pixels, uniformly drawn from
    /// `−max_shift ..= max_shift` along both axes; zeros come in at the border.
    ///
    /// # Errors
    /// As [`Dataset::batch`], and if `max_shift` exceeds an image side.
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
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            labels.push(*self.labels.get(index).ok_or_else(|| {
                let problem = format!("index {index} is not below the {} images", self.len());
                Error::invalid("batch", problem)
            })?);
        }
        let shifts: Vec<_> = indices.iter().map(|_| shift()).collect();
        let image_len = self.image_len();
        let mut x = vec![0f32; indices.len() * image_len];
        x.par_chunks_exact_mut(image_len)
            .zip(indices)
            .zip(&shifts)
            .try_for_each(|((out, &index), &shift)| {
                if shift == (0, 0) {
                    return self.read(index, out);
                }
                let mut still = vec![0f32; image_len];
                self.read(index, &mut still)?;
                shifted(&still, out, self.image_shape, shift);
                Ok(())
            })?;
        let x = Tensor::from_f32(&[indices.len(), height, width, channels], &x)?;
        Ok((x, Tensor::from_u32(&[indices.len()], &labels)?))
    }

    /// One image as the network takes it.
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        match &self.source {
            Source::Pixels(pixels) => {
                let image = &pixels[index * self.image_len()..];
                for (y, &x) in out.iter_mut().zip(image) {
                    *y = f32::from(x) / 255.0;
                }
                Ok(())
            }
            Source::Files { paths, transform } => transform.load_into(&paths[index], out),
        }
    }
}

/// Copies `image` into `out`, which holds zeros, moved by (rows down, columns right).
fn shifted(image: &[f32], out: &mut [f32], shape: [usize; 3], (down, right): (isize, isize)) {
    let [height, width, channels] = shape;
    // Destination columns `first .. last` have a source column inside the image.
    let first = right.max(0) as usize;
    let last = width.saturating_add_signed(right).min(width);
    if first >= last {
        return;
    }
    let source_first = first.saturating_add_signed(-right);
    let length = (last - first) * channels;
    for row in 0..height {
        let Some(from) = row.checked_add_signed(-down).filter(|&r| r < height) else {
            continue;
        };
        let source = &image[(from * width + source_first) * channels..][..length];
        out[(row * width + first) * channels..][..length].copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests {
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
}
