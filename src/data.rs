//! Where a workflow's inputs come from: below the readers that make such things and the workflows that take
//! them.

use crate::base::{Rng, Tensor};
use crate::error::Result;

/// Inputs of a network, by number, in any order and as often as they are asked for.
///
/// Implement it for whatever the application has: a folder, a camera's ring buffer, generated images.
pub trait Data {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// How many items there are.
    fn len(&self) -> usize;

    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor for every input of the network, `[items, …]`.
    ///
    /// # Errors
    /// Whatever reading runs into.
    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>>;

    /// What the loss compares with, `[items, …]`: class numbers (u32) for a classifier. None without labels.
    ///
    /// # Errors
    /// Whatever reading runs into.
    fn targets(&self, items: &[usize]) -> Result<Vec<Tensor>>;

    /// Class numbers of all items, if they are known.
    fn labels(&self) -> Option<&[u32]>;

    /// As [`Self::inputs`], changed at random for training.
    ///
    /// # Errors
    /// Whatever reading runs into.
    fn augmented(&self, items: &[usize], rng: &mut Rng) -> Result<Vec<Tensor>> {
        let _ = rng;
        self.inputs(items)
    }

    /// These items in batches of exactly `batch`: the last is filled up with copies of its last item; the number
    /// beside each batch counts the real ones. Sources that read files do it while the caller works.
    fn batches(&self, items: Vec<usize>, batch: usize) -> Batches<'_> {
        let batches = padded(items, batch);
        Box::new(batches.map(|(items, real)| Ok((self.inputs(&items)?, real))))
    }

    /// The first `count` items, as [`Self::batches`].
    fn in_order(&self, count: usize, batch: usize) -> Batches<'_> {
        self.batches((0..count.min(self.len())).collect(), batch)
    }
}

/// Inputs of each batch, and how many of its items are real.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<(Vec<Tensor>, usize)>> + 'a>;

/// The inputs of batches alone.
pub(crate) fn inputs_of(batches: Batches<'_>) -> impl Iterator<Item = Result<Vec<Tensor>>> + '_ {
    batches.map(|batch| batch.map(|(inputs, _)| inputs))
}

/// Batches of exactly `batch` of these items, each with the number of those that are real.
pub(crate) fn padded(
    items: Vec<usize>,
    batch: usize,
) -> impl Iterator<Item = (Vec<usize>, usize)> + Send + 'static {
    let batch = batch.max(1);
    (0..items.len()).step_by(batch).map(move |start| {
        let mut some: Vec<usize> = items[start..].iter().take(batch).copied().collect();
        let real = some.len();
        some.resize(batch, some[real - 1]);
        (some, real)
    })
}

/// `count` of `len` items, spread over all of them: one at a random place of each of `count` equal parts, in
/// order. All of them if there are no more.
///
/// ```
/// let some = wizen::data::sample(1000, 10, 1);
/// assert!(some.iter().enumerate().all(|(i, item)| item / 100 == i));
/// assert_eq!(wizen::data::sample(3, 10, 1), [0, 1, 2]);
/// ```
pub fn sample(len: usize, count: usize, seed: u64) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    let mut rng = Rng::new(seed);
    // Products of two counts of items stay far below 2¹²⁸.
    let edge = |i: usize| (i as u128 * len as u128 / count as u128) as usize;
    let places = (0..count).map(|i| edge(i) + rng.below(edge(i + 1) - edge(i)));
    places.collect()
}

/// Items numbered from 0, made by a function: images that the application draws or has in memory.
pub struct FromFn<F> {
    name: String,
    len: usize,
    make: F,
}

impl<F: Fn(usize) -> Result<Vec<Tensor>>> FromFn<F> {
    /// `len` items; `make` gives one tensor `[1, …]` for every input of the network.
    pub fn new(name: impl Into<String>, len: usize, make: F) -> Self {
        Self {
            name: name.into(),
            len,
            make,
        }
    }
}

impl<F: Fn(usize) -> Result<Vec<Tensor>>> Data for FromFn<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.len
    }

    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        let made: Vec<Vec<Tensor>> = items
            .iter()
            .map(|&i| (self.make)(i))
            .collect::<Result<_>>()?;
        let inputs = made.first().map_or(0, Vec::len);
        (0..inputs)
            .map(|input| Tensor::stacked(made.iter().filter_map(|item| item.get(input))))
            .collect()
    }

    fn targets(&self, _items: &[usize]) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}
