//! The training loop: one submission per step, the loss read back rarely.

use std::sync::Arc;

use super::optimizer::{Optimizer, ParamGroup, append_updates};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::Custom;
use crate::graph::{Device, Executor, Graph, Kind, StepTime, ValueId, backward, lower};
use crate::kernels::binary::Accumulate;

/// A network in training on a device.
#[derive(Debug)]
pub struct Trainer {
    executor: Executor,
    optimizer: Optimizer,
    lr_factors: Vec<f32>,
    params: Vec<String>,
    loss_sum: String,
    step: u32,
    since_read: u32,
}

/// Submissions in flight before the loop waits: bounds the memory of queued uploads.
const MAX_IN_FLIGHT: u32 = 32;

impl Trainer {
    /// Appends backward and updates to a graph that computes `loss`, a scalar, and makes it resident. The
    /// graph's inputs are those of the network and then whatever the loss compares with.
    ///
    /// # Errors
    /// From [`backward`] and lowering.
    pub async fn new(
        device: &Device,
        mut graph: Graph,
        loss: ValueId,
        optimizer: Optimizer,
        groups: &[ParamGroup],
    ) -> Result<Self> {
        let all: Vec<_> = groups
            .iter()
            .flat_map(|group| group.params.iter().copied())
            .collect();
        let gradients = backward(&mut graph, loss, &all)?;
        append_updates(&mut graph, optimizer, groups, &gradients)?;
        let sum = graph.param("loss_sum", Tensor::zeros(&[1], DType::F32));
        let accumulate = Custom::new(Accumulate { len: 1 });
        graph.push_all("accumulate loss", accumulate, &[sum, loss])?;
        graph.set_outputs(Vec::new());
        let sum = graph.value(sum).name.clone();
        let params = all.iter().map(|&id| graph.value(id).name.clone()).collect();
        let executor = device.load(lower(&graph, &device.caps())?).await?;
        let lr_factors = groups.iter().map(|group| group.lr_factor).collect();
        Ok(Self {
            executor,
            optimizer,
            lr_factors,
            params,
            loss_sum: sum,
            step: 0,
            since_read: 0,
        })
    }

    /// One step on a batch: a tensor for every input of the network, and for every one of the loss (labels
    /// `u32 [n]`). Waits for the device only now and then.
    ///
    /// # Errors
    /// For tensors that do not fit, and what the device reports.
    pub async fn step(&mut self, inputs: &[&Tensor], lr: f32) -> Result<()> {
        self.step += 1;
        let hypers = self.hypers(lr)?;
        let inputs: Vec<&Tensor> = inputs.iter().copied().chain(&hypers).collect();
        self.executor.submit(&inputs)?;
        self.since_read += 1;
        if self.since_read.is_multiple_of(MAX_IN_FLIGHT) {
            self.executor.read(&self.loss_sum).await?;
        }
        Ok(())
    }

    /// Everything that a step changes — parameters, running statistics, the optimizer's moments — by name.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let plan = Arc::clone(self.executor.plan());
        let mut out = Vec::new();
        for value in &plan.values {
            if matches!(value.kind, Kind::State(_)) {
                out.push((value.name.clone(), self.executor.read(&value.name).await?));
            }
        }
        Ok(out)
    }

    /// Steps since [`Self::mean_loss`] was asked for.
    pub fn unread(&self) -> u32 {
        self.since_read
    }

    /// Goes on where [`Self::state`] was read, after so many steps, of which so many were [`Self::unread`].
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Shape`] or [`Error::DType`] for a state of another network.
    pub fn restore(&mut self, step: u32, unread: u32, state: &[(String, Tensor)]) -> Result<()> {
        for value in &self.executor.plan().values {
            let kept = matches!(value.kind, Kind::State(_));
            if kept && !state.iter().any(|(name, _)| *name == value.name) {
                let problem = format!(
                    "`{}` is missing: this is the state of another run",
                    value.name
                );
                return Err(Error::invalid("resume", problem));
            }
        }
        for (name, tensor) in state {
            self.executor.write(name, tensor)?;
        }
        self.step = step;
        self.since_read = unread;
        Ok(())
    }

    /// Mean loss of the steps since the last call.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the loss is not finite (the learning rate is too high, or the weights were
    /// not finite); what the device reports.
    pub async fn mean_loss(&mut self) -> Result<f32> {
        let sum = self.executor.read(&self.loss_sum).await?.as_f32()?[0];
        self.executor
            .write(&self.loss_sum, &Tensor::zeros(&[1], DType::F32))?;
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
    pub async fn profile(&mut self, inputs: &[&Tensor]) -> Result<Vec<StepTime>> {
        let hypers: Vec<Tensor> = self.hypers(0.0)?;
        let inputs: Vec<&Tensor> = inputs.iter().copied().chain(&hypers).collect();
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
