//! Data sets that commands take.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use wizen::base::{Preprocess, Rng, Tensor};
use wizen::graph::Graph;
use wizen::io::{Augment, Dataset, Splits, load_data, load_splits, synthetic_splits};
use wizen::{Error, Result};

use super::context::Context;

/// Seed of the synthetic digits: the same for everyone, whatever the training seed.
const SYNTHETIC_SEED: u64 = 1;

/// The data in `folder` as a network takes it; without a folder, synthetic digits.
pub fn splits(folder: Option<&Path>, graph: &Graph, synthetic: (usize, usize)) -> Result<Splits> {
    match folder {
        Some(folder) => load_data(folder, &Preprocess::for_input(image_shape(graph)?)?),
        None => digits(None, synthetic),
    }
}

/// As [`splits`], for commands that learn from `train` and judge on `test`: says if these are the same.
pub fn splits_to_learn(
    context: &Context,
    folder: Option<&Path>,
    graph: &Graph,
    synthetic: (usize, usize),
) -> Result<Splits> {
    let splits = splits(folder, graph, synthetic)?;
    if !splits.held_out {
        context.say(&format!(
            "{} is one set of images: the accuracy is that on the images it learns from; use `wizen eval` \
             on others",
            splits.train.name()
        ));
    }
    Ok(splits)
}

/// The MNIST or CIFAR-10 files in `folder`; without one, synthetic digits.
pub fn digits(folder: Option<&Path>, synthetic: (usize, usize)) -> Result<Splits> {
    match folder {
        Some(folder) => load_splits(folder),
        None => synthetic_splits(SYNTHETIC_SEED, synthetic.0, synthetic.1),
    }
}

/// `[height, width, channels]` of the images that a network takes.
pub fn image_shape(graph: &Graph) -> Result<[usize; 3]> {
    let inputs = graph.inputs();
    let shape = inputs.first().map(|&id| graph.value(id).shape.as_slice());
    match shape {
        Some(&[_, height, width, channels]) => Ok([height, width, channels]),
        other => Err(Error::invalid(
            "model",
            format!("its input has shape {other:?}, expected images [n, height, width, channels]"),
        )),
    }
}

/// Number of classes that a network knows.
pub fn classes(graph: &Graph) -> usize {
    graph
        .outputs()
        .first()
        .and_then(|&id| graph.value(id).shape.last().copied())
        .unwrap_or(0)
}

/// Checks that a network takes these images and knows these classes.
pub fn check_fits(graph: &Graph, data: &Dataset) -> Result<()> {
    let (input, classes) = (image_shape(graph)?, classes(graph));
    if input != data.image_shape() {
        let got = data.image_shape();
        return Err(Error::shape(
            data.name(),
            "images",
            format!("{input:?} (h, w, c of the model)"),
            &got,
        ));
    }
    if data.classes() > classes {
        let problem = format!(
            "its labels have {} classes, the model knows {classes}",
            data.classes()
        );
        return Err(Error::invalid(data.name(), problem));
    }
    Ok(())
}

/// Endless batches in a new random order every epoch, changed at random.
pub struct Shuffled<'a> {
    data: &'a Dataset,
    batch: usize,
    augment: Augment,
    order: Vec<usize>,
    at: usize,
    rng: Rng,
}

impl<'a> Shuffled<'a> {
    pub fn new(data: &'a Dataset, batch: usize, augment: Augment, seed: u64) -> Result<Self> {
        if batch == 0 || data.len() < batch {
            let problem = format!("it has {} images, a batch takes {batch}", data.len());
            return Err(Error::invalid(data.name(), problem));
        }
        let order = (0..data.len()).collect();
        Ok(Self {
            data,
            batch,
            augment,
            order,
            at: usize::MAX,
            rng: Rng::new(seed).fork(77),
        })
    }

    pub fn steps_per_epoch(&self) -> usize {
        self.data.len() / self.batch
    }

    /// Images and labels of the next full batch.
    pub fn next(&mut self) -> Result<(Tensor, Tensor)> {
        if self.at.saturating_add(self.batch) > self.order.len() {
            self.rng.shuffle(&mut self.order);
            self.at = 0;
        }
        let indices = &self.order[self.at..self.at + self.batch];
        self.at += self.batch;
        self.data
            .batch_augmented(indices, &mut self.rng, self.augment)
    }
}

/// Input bytes of a batch, at most: large images run in smaller batches.
const BATCH_BYTES: usize = 16 << 20;

/// Images of an evaluation batch where the user names none: `most`, fewer if they are large.
pub fn batch_size(data: &Dataset, most: usize) -> usize {
    let bytes = data.image_shape().iter().product::<usize>() * size_of::<f32>();
    (BATCH_BYTES / bytes.max(1)).clamp(1, most).min(data.len())
}

/// All images in order, in batches of exactly `batch`: the last is filled up with copies of its last
/// image; the number beside each batch counts the real ones. The next batch is read on another thread while
/// the caller works on one, so two are in memory. It ends after an error.
pub struct InOrder {
    /// `None` when there is nothing more to come.
    batches: Option<Receiver<Result<(Tensor, usize)>>>,
    thread: Option<JoinHandle<()>>,
}

pub fn in_order(data: &Dataset, batch: usize) -> InOrder {
    let data = data.clone();
    // Without room: a batch is handed over, or waits in the thread's hands.
    let (sender, batches) = sync_channel(0);
    let thread = std::thread::spawn(move || {
        for start in (0..data.len()).step_by(batch) {
            let count = batch.min(data.len() - start);
            let indices: Vec<usize> = (0..batch).map(|i| start + i.min(count - 1)).collect();
            let images = data.batch(&indices).map(|(images, _)| (images, count));
            let failed = images.is_err();
            if sender.send(images).is_err() || failed {
                return;
            }
        }
    });
    InOrder {
        batches: Some(batches),
        thread: Some(thread),
    }
}

impl InOrder {
    /// Waits for the thread, and passes its panic on.
    fn end(&mut self) {
        self.batches = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Iterator for InOrder {
    type Item = Result<(Tensor, usize)>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.as_ref()?.recv();
        if !matches!(batch, Ok(Ok(_))) {
            self.end();
        }
        batch.ok()
    }
}

impl Drop for InOrder {
    fn drop(&mut self) {
        self.batches = None;
        if !std::thread::panicking() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Dataset {
        let labels = vec![0; n];
        let pixels = (0..n).map(|i| i as u8).collect();
        Dataset::new("numbered", pixels, labels, [1, 1, 1], 1).expect("consistent")
    }

    #[test]
    fn batches_come_in_order_and_full() {
        let batches: Vec<_> = in_order(&numbered(5), 2)
            .collect::<Result<_>>()
            .expect("read");
        let pixels = |i: usize| -> Vec<f32> {
            let values = batches[i].0.to_f32();
            values.iter().map(|v| (v * 255.0).round()).collect()
        };
        let counts: Vec<usize> = batches.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 2, 1]);
        assert_eq!(
            [pixels(0), pixels(1), pixels(2)],
            [[0.0, 1.0], [2.0, 3.0], [4.0, 4.0]]
        );
        // Left early, the thread ends: dropping waits for it.
        let mut some = in_order(&numbered(200), 1);
        assert!(some.next().is_some_and(|batch| batch.is_ok()));
        drop(some);
    }

    #[test]
    fn an_error_is_the_last_that_comes() {
        let files = ["missing-a.png", "missing-b.png"].map(Into::into).to_vec();
        let transform = Preprocess::preset("unit", [1, 1, 1]).expect("a preset");
        let data = Dataset::from_files("files", files, vec![0; 2], transform, 1);
        let mut batches = in_order(&data.expect("not read yet"), 1);
        let error = batches.next().expect("an item").expect_err("no such file");
        assert!(error.to_string().contains("missing-a.png"), "{error}");
        assert!(batches.next().is_none());
    }

    #[test]
    fn large_images_come_in_smaller_batches() {
        let data = |side: usize| {
            Dataset::new(
                "d",
                vec![0; 300 * side],
                vec![0; 300],
                [side / 16, 16, 1],
                1,
            )
        };
        assert_eq!(batch_size(&data(784).expect("consistent"), 250), 250);
        assert_eq!(batch_size(&data(1 << 16).expect("consistent"), 250), 64);
        assert_eq!(batch_size(&numbered(3), 250), 3);
    }
}
