//! The training loop: one submission per step, the loss read back rarely.

use super::optimizer::{Optimizer, ParamGroup, append_updates};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{Custom, SoftmaxCrossEntropy};
use crate::graph::{Device, Executor, Graph, StepTime, backward, lower};
use crate::kernels::binary::Accumulate;

/// A network in training on a device.
#[derive(Debug)]
pub struct Trainer {
    executor: Executor,
    optimizer: Optimizer,
    lr_factors: Vec<f32>,
    params: Vec<String>,
    step: u32,
    since_read: u32,
}

/// Submissions in flight before the loop waits: bounds the memory of queued uploads.
const MAX_IN_FLIGHT: u32 = 32;

impl Trainer {
    /// Appends loss, backward and updates to `forward` (first input images, first output logits
    /// `[n, classes]`) and makes it resident.
    ///
    /// # Errors
    /// From [`backward`] and lowering; [`Error::Invalid`] if `forward` has no output.
    pub async fn new(
        device: &Device,
        mut forward: Graph,
        optimizer: Optimizer,
        groups: &[ParamGroup],
    ) -> Result<Self> {
        let logits = *forward
            .outputs()
            .first()
            .ok_or_else(|| Error::invalid("train", "the network has no output"))?;
        let batch = forward.value(logits).shape[0];
        let labels = forward.input("labels", DType::U32, &[batch]);
        let loss = forward.push("loss", SoftmaxCrossEntropy, &[logits, labels])?;
        let all: Vec<_> = groups
            .iter()
            .flat_map(|group| group.params.iter().copied())
            .collect();
        let gradients = backward(&mut forward, loss, &all)?;
        append_updates(&mut forward, optimizer, groups, &gradients)?;
        let sum = forward.param("loss_sum", Tensor::zeros(&[1], DType::F32));
        let accumulate = Custom::new(Accumulate { len: 1 });
        forward.push_all("accumulate loss", accumulate, &[sum, loss])?;
        forward.set_outputs(Vec::new());
        let params = all
            .iter()
            .map(|&id| forward.value(id).name.clone())
            .collect();
        let executor = device.load(lower(&forward, &device.caps())?).await?;
        let lr_factors = groups.iter().map(|group| group.lr_factor).collect();
        Ok(Self {
            executor,
            optimizer,
            lr_factors,
            params,
            step: 0,
            since_read: 0,
        })
    }

    /// One step on a batch: images, labels `u32 [n]`. Waits for the device only now and then.
    ///
    /// # Errors
    /// For tensors that do not fit, and what the device reports.
    pub async fn step(&mut self, images: &Tensor, labels: &Tensor, lr: f32) -> Result<()> {
        self.step += 1;
        let hypers = self.hypers(lr)?;
        let inputs: Vec<&Tensor> = [images, labels].into_iter().chain(&hypers).collect();
        self.executor.submit(&inputs)?;
        self.since_read += 1;
        if self.since_read.is_multiple_of(MAX_IN_FLIGHT) {
            self.executor.read("loss_sum").await?;
        }
        Ok(())
    }

    /// Mean loss of the steps since the last call.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the loss is not finite (the learning rate is too high, or the weights were
    /// not finite); what the device reports.
    pub async fn mean_loss(&mut self) -> Result<f32> {
        let sum = self.executor.read("loss_sum").await?.as_f32()?[0];
        self.executor
            .write("loss_sum", &Tensor::zeros(&[1], DType::F32))?;
        let mean = sum / self.since_read.max(1) as f32;
        self.since_read = 0;
        if !mean.is_finite() {
            return Err(Error::invalid(
                "train",
                format!("the loss became {mean}; use a smaller learning rate"),
            ));
        }
        Ok(mean)
    }

    /// The trained parameters by name, as they are now.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn params(&self) -> Result<Vec<(String, Tensor)>> {
        let mut out = Vec::with_capacity(self.params.len());
        for name in &self.params {
            out.push((name.clone(), self.executor.read(name).await?));
        }
        Ok(out)
    }

    /// Time of every step of one training step (which counts as one, at learning rate 0).
    ///
    /// # Errors
    /// As [`Executor::profile`].
    pub async fn profile(&mut self, images: &Tensor, labels: &Tensor) -> Result<Vec<StepTime>> {
        let hypers: Vec<Tensor> = self.hypers(0.0)?;
        let inputs: Vec<&Tensor> = [images, labels].into_iter().chain(&hypers).collect();
        self.executor.profile(&inputs).await
    }

    /// Per-step numbers of each group.
    fn hypers(&self, lr: f32) -> Result<Vec<Tensor>> {
        let hyper = |factor: &f32| {
            let numbers = self.optimizer.hyper(lr * factor, self.step.max(1));
            Tensor::from_f32(&[numbers.len()], &numbers)
        };
        self.lr_factors.iter().map(hyper).collect()
    }

    /// Reads one value, for example a weight for a new mask.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        self.executor.read(name).await
    }

    /// Replaces one value, for example a mask.
    ///
    /// # Errors
    /// As [`Executor::write`].
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.executor.write(name, tensor)
    }
}

/// Index of the largest element of each row of `logits [n, classes]`; the first of equals.
pub fn argmax_rows(logits: &Tensor) -> Vec<usize> {
    let classes = logits.shape().last().copied().unwrap_or(1).max(1);
    let better = |(best, max): (usize, f32), (i, &x): (usize, &f32)| {
        if x > max { (i, x) } else { (best, max) }
    };
    let row = |row: &[f32]| {
        row.iter()
            .enumerate()
            .fold((0, f32::NEG_INFINITY), better)
            .0
    };
    logits.to_f32().chunks(classes).map(row).collect()
}

/// Runs `batches` (images and labels, all of the graph's batch size; `count` of the last one's rows
/// are real) through a classifier and returns the predicted classes, in order.
///
/// # Errors
/// For tensors that do not fit, and what the device reports.
pub async fn evaluate(
    executor: &mut Executor,
    batches: impl Iterator<Item = (Tensor, usize)>,
) -> Result<Vec<usize>> {
    let mut classes = Vec::new();
    for (images, count) in batches {
        let outputs = executor.run(&[&images]).await?;
        let logits = outputs
            .first()
            .ok_or_else(|| Error::invalid("evaluate", "the network has no output"))?;
        classes.extend(argmax_rows(logits).into_iter().take(count));
    }
    Ok(classes)
}
