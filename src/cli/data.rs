//! Data sets that commands take.

use std::path::Path;

use wizen::base::{Rng, Tensor};
use wizen::io::{Dataset, Splits, load_splits, synthetic_splits};
use wizen::{Error, Result};

/// Seed of the synthetic digits: the same for everyone, whatever the training seed.
const SYNTHETIC_SEED: u64 = 1;

/// The data in `folder`; without one, synthetic digits.
pub fn splits(folder: Option<&Path>, synthetic: (usize, usize)) -> Result<Splits> {
    match folder {
        Some(folder) => load_splits(folder),
        None => synthetic_splits(SYNTHETIC_SEED, synthetic.0, synthetic.1),
    }
}

/// Checks that a network takes these images and knows these classes.
pub fn check_fits(graph: &wizen::graph::Graph, data: &Dataset) -> Result<()> {
    let input = graph
        .inputs()
        .first()
        .map(|&id| graph.value(id).shape.clone())
        .unwrap_or_default();
    let classes = graph
        .outputs()
        .first()
        .and_then(|&id| graph.value(id).shape.last().copied())
        .unwrap_or(0);
    if input.get(1..) != Some(&data.image_shape()[..]) {
        let got = data.image_shape();
        return Err(Error::shape(
            data.name(),
            "images",
            format!("{:?} (h, w, c of the model)", &input[1..]),
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

/// Endless batches in a new random order every epoch, optionally shifted by up to `max_shift` pixels.
pub struct Shuffled<'a> {
    data: &'a Dataset,
    batch: usize,
    max_shift: usize,
    order: Vec<usize>,
    at: usize,
    rng: Rng,
}

impl<'a> Shuffled<'a> {
    pub fn new(data: &'a Dataset, batch: usize, max_shift: usize, seed: u64) -> Result<Self> {
        if batch == 0 || data.len() < batch {
            let problem = format!("it has {} images, a batch takes {batch}", data.len());
            return Err(Error::invalid(data.name(), problem));
        }
        let order = (0..data.len()).collect();
        Ok(Self {
            data,
            batch,
            max_shift,
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
        if self.max_shift == 0 {
            return self.data.batch(indices);
        }
        self.data
            .batch_augmented(indices, &mut self.rng, self.max_shift)
    }
}

/// All images in order, in batches of exactly `batch`: the last is filled up with copies of its last
/// image; the number beside each batch counts the real ones.
pub fn in_order(
    data: &Dataset,
    batch: usize,
) -> impl Iterator<Item = Result<(Tensor, usize)>> + '_ {
    (0..data.len()).step_by(batch).map(move |start| {
        let count = batch.min(data.len() - start);
        let indices: Vec<usize> = (0..batch).map(|i| start + i.min(count - 1)).collect();
        Ok((data.batch(&indices)?.0, count))
    })
}
