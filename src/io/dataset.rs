//! Labelled images, in memory or in files.

#[cfg(feature = "data")]
use std::path::PathBuf;
use std::sync::Arc;

use super::augment::{Augment, Move};
use crate::base::parallel::*;
use crate::base::{Preprocess, Rng, Tensor};
use crate::error::{Error, Result};

/// Images as a network takes them, with one label each or none at all. At least one image; every label is below
/// `classes`. A clone shares the pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    source: Source,
    preprocess: Preprocess,
    augment: Augment,
    /// Empty if they are not known.
    pub(super) labels: Vec<u32>,
    pub(super) classes: usize,
    /// Names of the classes by number; empty if they have none.
    pub(super) class_names: Vec<String>,
    /// Class numbers follow the order of the names alone.
    pub(super) sorted: bool,
    name: String,
    synthetic: bool,
    /// What people should know about where it came from.
    pub(super) notes: Vec<String>,
}

/// Where the images are.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// `[n, height, width, channels]`, 0 ..= 255, of the size that the network takes.
    Pixels(Arc<Vec<u8>>),
    /// Decoded whenever they are asked for; one path per label.
    #[cfg(feature = "data")]
    Files(Arc<Vec<PathBuf>>),
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

impl Splits {
    /// As [`Dataset::with_preprocess`], both sets.
    ///
    /// # Errors
    /// As [`Dataset::with_preprocess`].
    pub fn with_preprocess(self, preprocess: &Preprocess) -> Result<Self> {
        Ok(Self {
            train: self.train.with_preprocess(preprocess)?,
            test: self.test.with_preprocess(preprocess)?,
            ..self
        })
    }
}

impl Dataset {
    /// From pixels `[n, height, width, channels]` (0 ..= 255) and `n` labels; the network takes
    /// `x / 255` (the preset `unit`) unless [`Dataset::with_preprocess`] says otherwise.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no image, if the pixels are not `n` images of `image_shape =
    /// [height, width, channels]`, if a label is not below `classes`, and as [`Preprocess::preset`].
    pub fn new(
        name: impl Into<String>,
        images: Vec<u8>,
        labels: Vec<u32>,
        image_shape: [usize; 3],
        classes: usize,
    ) -> Result<Self> {
        let unit = Preprocess::preset("unit", image_shape)?;
        let data = Self::of(
            name.into(),
            Source::Pixels(Arc::new(images)),
            labels,
            unit,
            classes,
        )?;
        match data.labels.is_empty() {
            true => Err(data.wrong("it has no images".to_owned())),
            false => Ok(data),
        }
    }

    /// From picture files with a label each, or no labels at all. Nothing is read yet: batches decode the
    /// files, so that memory holds one batch, whatever the number of images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no file, if the labels are not as many as the files or not below
    /// `classes`, and as [`Preprocess::check`].
    #[cfg(feature = "data")]
    pub fn from_files(
        name: impl Into<String>,
        paths: Vec<PathBuf>,
        labels: Vec<u32>,
        preprocess: Preprocess,
        classes: usize,
    ) -> Result<Self> {
        let files = Source::Files(Arc::new(paths));
        Self::of(name.into(), files, labels, preprocess, classes)
    }

    fn of(
        name: String,
        source: Source,
        labels: Vec<u32>,
        preprocess: Preprocess,
        classes: usize,
    ) -> Result<Self> {
        let data = Self {
            source,
            preprocess,
            augment: Augment::default(),
            labels,
            classes,
            class_names: Vec::new(),
            sorted: false,
            name,
            synthetic: false,
            notes: Vec::new(),
        };
        data.check()?;
        Ok(data)
    }

    fn wrong(&self, problem: String) -> Error {
        Error::invalid(format!("data set `{}`", self.name), problem)
    }

    fn check(&self) -> Result<()> {
        self.preprocess.check()?;
        let wrong = |problem: String| Err(self.wrong(problem));
        let (labels, image_shape, classes) = (&self.labels, self.image_shape(), self.classes);
        match &self.source {
            Source::Pixels(pixels) => {
                let expected = labels.len().checked_mul(self.image_len());
                if expected != Some(pixels.len()) {
                    return wrong(format!(
                        "{} labels with images of {image_shape:?} do not fit {} pixels",
                        labels.len(),
                        pixels.len()
                    ));
                }
            }
            #[cfg(feature = "data")]
            Source::Files(paths) if paths.is_empty() => {
                return wrong("it has no images".to_owned());
            }
            #[cfg(feature = "data")]
            Source::Files(paths) if !labels.is_empty() && paths.len() != labels.len() => {
                return wrong(format!(
                    "{} labels do not fit {} files",
                    labels.len(),
                    paths.len()
                ));
            }
            #[cfg(feature = "data")]
            Source::Files(_) => {}
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

    /// The same images for a network that takes them otherwise.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`Preprocess::check`], and for images in memory if it asks for another size or
    /// other channels: they are not resized.
    pub fn with_preprocess(self, preprocess: &Preprocess) -> Result<Self> {
        preprocess.check()?;
        let (have, want) = (self.image_shape(), preprocess.shape());
        if self.pixels().is_some() && have != want {
            return Err(self.wrong(format!(
                "its images are {have:?} (height, width, channels), the model takes {want:?}; use a model or \
                 images of the other size"
            )));
        }
        let preprocess = preprocess.clone();
        Ok(Self { preprocess, ..self })
    }

    /// What is done to the images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The same images, with these changes recommended to those who learn from them.
    #[must_use]
    pub fn with_augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }

    /// The random changes that suit these images: whether a mirrored one still shows the same.
    pub fn augment(&self) -> Augment {
        self.augment
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
        match &self.source {
            Source::Pixels(_) => self.labels.len(),
            #[cfg(feature = "data")]
            Source::Files(paths) => paths.len(),
        }
    }

    /// Always false: an empty data set cannot be made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[height, width, channels]` of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.preprocess.shape()
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

    /// Names of the classes by number; empty if they have none.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// What people should know about where it came from: files that were skipped, how classes were numbered.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The label of every image; empty if they are not known.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// All pixels, `[n, height, width, channels]`, 0 ..= 255; `None` if the images are in files.
    pub fn pixels(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Pixels(pixels) => Some(pixels),
            #[cfg(feature = "data")]
            Source::Files(_) => None,
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
            #[cfg(feature = "data")]
            Source::Files(paths) => Source::Files(Arc::new(paths[..n].to_vec())),
        };
        Self {
            source,
            labels: self.labels.iter().take(n).copied().collect(),
            ..self.clone()
        }
    }

    fn image_len(&self) -> usize {
        self.image_shape().iter().product()
    }

    /// Images and labels at these indices: `f32 [n, h, w, c]` as [`Preprocess`] says and `u32 [n]` (`[0]` where
    /// labels are not known). Files are decoded on all cores.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an index is not below [`Dataset::len`]; for files as [`super::load_image`].
    pub fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        self.gather(indices, Move::default)
    }

    /// As [`Dataset::batch`], each image changed at random.
    ///
    /// # Errors
    /// As [`Dataset::batch`], and if the shift exceeds an image side.
    pub fn batch_augmented(
        &self,
        indices: &[usize],
        rng: &mut Rng,
        augment: Augment,
    ) -> Result<(Tensor, Tensor)> {
        let [height, width, _] = self.image_shape();
        let shift = augment.shift;
        if shift > height.min(width) {
            let problem =
                format!("the shift is {shift}, more than a side of {height} x {width} images");
            return Err(Error::invalid("batch_augmented", problem));
        }
        self.gather(indices, || augment.draw(rng))
    }

    /// `change` is called for each image in turn.
    fn gather(
        &self,
        indices: &[usize],
        mut change: impl FnMut() -> Move,
    ) -> Result<(Tensor, Tensor)> {
        let shape @ [height, width, channels] = self.image_shape();
        if let Some(index) = indices.iter().find(|&&index| index >= self.len()) {
            let problem = format!("index {index} is not below the {} images", self.len());
            return Err(Error::invalid("batch", problem));
        }
        let known = indices.iter().filter_map(|&index| self.labels.get(index));
        let labels: Vec<u32> = known.copied().collect();
        let changes: Vec<_> = indices.iter().map(|_| change()).collect();
        let mut black = vec![0f32; channels];
        self.preprocess.normalise(&vec![0; channels], &mut black);
        let image_len = self.image_len();
        let mut x = vec![0f32; indices.len() * image_len];
        x.par_chunks_exact_mut(image_len)
            .zip(indices)
            .zip(&changes)
            .try_for_each(|((out, &index), change)| {
                if *change == Move::default() {
                    return self.read(index, out);
                }
                let mut still = vec![0f32; image_len];
                self.read(index, &mut still)?;
                change.apply(&still, out, shape, &black);
                Ok(())
            })?;
        let x = Tensor::from_f32(&[indices.len(), height, width, channels], &x)?;
        Ok((x, Tensor::from_u32(&[labels.len()], &labels)?))
    }

    /// One image as the network takes it.
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        match &self.source {
            Source::Pixels(pixels) => {
                let image = &pixels[index * self.image_len()..][..self.image_len()];
                self.preprocess.normalise(image, out);
                Ok(())
            }
            #[cfg(feature = "data")]
            Source::Files(paths) => super::picture::load_into(&paths[index], &self.preprocess, out),
        }
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
    fn changes_fill_with_black() {
        let moved = |down, right, flip| {
            let change = Move { down, right, flip };
            let (x, _) = tiny().gather(&[0], || change).expect("in range");
            let x = x.to_f32().into_iter();
            let x: Vec<u32> = x.map(|v| (v * 255.0).round() as u32).collect();
            [[x[0], x[1], x[2]], [x[3], x[4], x[5]]]
        };
        assert_eq!(moved(0, 0, false), [[0, 10, 20], [30, 40, 50]]);
        assert_eq!(moved(-1, 0, false), [[30, 40, 50], [0, 0, 0]]);
        assert_eq!(moved(1, 1, false), [[0, 0, 0], [0, 0, 10]]);
        assert_eq!(moved(0, -2, false), [[20, 0, 0], [50, 0, 0]]);
        assert_eq!(moved(0, 3, false), [[0; 3]; 2]);
        assert_eq!(moved(-2, -3, true), [[0; 3]; 2]);
        assert_eq!(moved(0, 0, true), [[20, 10, 0], [50, 40, 30]]);
        assert_eq!(moved(-1, 1, true), [[0, 50, 40], [0, 0, 0]]);
        // Black is what a pixel of 0 becomes.
        let mnist = Preprocess::preset("mnist", [2, 3, 1]).expect("a preset");
        let dark = tiny().with_preprocess(&mnist).expect("the same size");
        let away = || Move {
            down: 2,
            ..Move::default()
        };
        let (x, _) = dark.gather(&[2], away).expect("in range");
        assert_eq!(x.to_f32(), [-0.1307f32 / 0.3081; 6]);
        let wide = Preprocess::preset("mnist", [3, 3, 1]).expect("a preset");
        let error = tiny().with_preprocess(&wide).expect_err("another size");
        assert!(error.to_string().contains("[2, 3, 1]"), "{error}");
    }

    #[test]
    fn changes_are_drawn_evenly_and_by_the_seed() {
        let data = tiny();
        let draw = |seed, shift, flip, n| {
            let (mut rng, augment) = (Rng::new(seed), Augment { shift, flip });
            data.batch_augmented(&vec![1; n], &mut rng, augment)
        };
        assert_eq!(
            draw(1, 0, false, 2).expect("in range"),
            data.batch(&[1, 1]).expect("in range")
        );
        assert!(draw(1, 3, false, 1).is_err());
        let batch = |seed| draw(seed, 1, true, 1800).expect("in range").0;
        assert_eq!(batch(5), batch(5));
        assert_ne!(batch(5), batch(6));
        // Nine places, two directions: each 100 times, five deviations of √(1800 · 1/18 · 17/18) around it.
        let mut counts = std::collections::BTreeMap::new();
        for image in batch(5).to_f32().chunks(6) {
            let key: Vec<u32> = image.iter().map(|x| x.to_bits()).collect();
            *counts.entry(key).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 18);
        assert!(
            counts.values().all(|n| (51..=149).contains(n)),
            "{counts:?}"
        );
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
