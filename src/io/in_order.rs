//! The items of a data set in order, read while the caller works.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::dataset::Dataset;
use crate::base::{Rng, Tensor};
use crate::data::{Batches, Data, padded};
use crate::error::Result;

impl Data for Dataset {
    fn name(&self) -> &str {
        self.name()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        Ok(vec![self.batch(items)?.0])
    }

    fn targets(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        let labels = self.labels();
        if labels.is_empty() {
            return Ok(Vec::new());
        }
        let labels: Vec<u32> = items.iter().map(|&i| labels[i]).collect();
        Ok(vec![Tensor::from_u32(&[labels.len()], &labels)?])
    }

    fn labels(&self) -> Option<&[u32]> {
        Some(self.labels()).filter(|labels| !labels.is_empty())
    }

    fn augmented(&self, items: &[usize], rng: &mut Rng) -> Result<Vec<Tensor>> {
        let (images, _) = self.batch_augmented(items, rng, self.augment())?;
        Ok(vec![images])
    }

    /// The next batch is read on another thread, so two are in memory. It ends after an error.
    fn batches(&self, items: Vec<usize>, batch: usize) -> Batches<'_> {
        let padded = padded(items, batch);
        if cfg!(target_arch = "wasm32") {
            return Box::new(padded.map(|(items, real)| Ok((self.inputs(&items)?, real))));
        }
        let data = self.clone();
        // Without room: a batch is handed over, or waits in the thread's hands.
        let (sender, batches) = sync_channel(0);
        let thread = std::thread::spawn(move || {
            for (items, real) in padded {
                let inputs = data.inputs(&items).map(|inputs| (inputs, real));
                let failed = inputs.is_err();
                if sender.send(inputs).is_err() || failed {
                    return;
                }
            }
        });
        Box::new(InOrder {
            batches: Some(batches),
            thread: Some(thread),
        })
    }
}

/// One batch: the inputs, and how many of its items are real.
type Read = Result<(Vec<Tensor>, usize)>;

struct InOrder {
    /// `None` when there is nothing more to come.
    batches: Option<Receiver<Read>>,
    thread: Option<JoinHandle<()>>,
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
    type Item = Read;

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
        let data = numbered(6);
        let batches: Vec<_> = data.in_order(5, 2).collect::<Result<_>>().expect("read");
        let pixels = |i: usize| -> Vec<f32> {
            let values = batches[i].0[0].to_f32();
            values.iter().map(|v| (v * 255.0).round()).collect()
        };
        let counts: Vec<usize> = batches.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 2, 1]);
        assert_eq!(
            [pixels(0), pixels(1), pixels(2)],
            [[0.0, 1.0], [2.0, 3.0], [4.0, 4.0]]
        );
        // Left early, the thread ends: dropping waits for it.
        let data = numbered(200);
        let mut some = data.in_order(200, 1);
        assert!(some.next().is_some_and(|batch| batch.is_ok()));
        drop(some);
    }

    #[cfg(feature = "data")]
    #[test]
    fn an_error_is_the_last_that_comes() {
        let files = ["missing-a.png", "missing-b.png"].map(Into::into).to_vec();
        let unit = crate::base::Preprocess::preset("unit", [1, 1, 1]).expect("a preset");
        let data = Dataset::from_files("files", files, vec![0; 2], unit, 1).expect("not read yet");
        let mut batches = data.in_order(2, 1);
        let error = batches.next().expect("an item").expect_err("no such file");
        assert!(error.to_string().contains("missing-a.png"), "{error}");
        assert!(batches.next().is_none());
    }
}
