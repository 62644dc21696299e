//! The workflows, network in, network out: [`quantize`], [`qat`], [`prune`], [`prune_channels`], [`train`].
//! What the commands do is one call here.
//!
//! A [`Job`] is a device and somebody who watches: progress comes as [`Update`]s, and whoever watches may end
//! the job. Inputs come from anything that is [`Data`](crate::data::Data).
//!
//! ```no_run
//! # async fn example() -> wizen::Result<()> {
//! use wizen::compress::{Job, QuantizeOptions, quantize};
//! use wizen::{data::FromFn, graph::Device, gpu::Gpu, base::{DType, Tensor}};
//!
//! let device = Device::Gpu(Gpu::open().await?);
//! let network = wizen::open("network.safetensors", None)?;
//! let images = FromFn::new("camera", 64, |_| Ok(vec![Tensor::zeros(&[1, 224, 224, 3], DType::F32)]));
//! let made = quantize(&Job::new(&device), &network, &images, &QuantizeOptions::default()).await?;
//! made.network.save("int8.safetensors")?;
//! # Ok(())
//! # }
//! ```

mod fit;
mod float_layers;
mod judge;
mod prune;
mod qat;
mod quantize;
mod reconstruct;

pub use fit::{Checkpoint, Fit, FitOptions, LrGroup, Save, train};
pub use judge::{
    Accuracy, OutputAgreement, accuracy, agreement, batch_for, classes, eval_batch, predicted,
    probabilities,
};
pub use prune::{PruneOptions, prune, prune_channels};
pub use qat::qat;
pub use quantize::{Ends, Method, QuantizeOptions, Quantized, calibrate, freeze, quantize};
pub use reconstruct::Reconstruction;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::base::DType;
use crate::error::{Error, Result};
use crate::graph::{Device, Graph, ValueId};
use crate::quant;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update<'a> {
    /// What is being done.
    pub stage: &'a str,
    /// Steps of the stage that are done.
    pub done: usize,
    /// Steps of the stage.
    pub of: usize,
    /// Mean loss of the last steps, in training.
    pub loss: Option<f32>,
}

/// What a job that reported an [`Update`] shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End with [`Error::Stopped`]; nothing was written.
    Stop,
}

type Watch<'a> = Box<dyn FnMut(Update<'_>) -> Control + Send + 'a>;

/// A device to compute on, and somebody who watches.
pub struct Job<'a> {
    device: &'a Device,
    watch: Mutex<Watch<'a>>,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("device", self.device)
            .finish_non_exhaustive()
    }
}

impl<'a> Job<'a> {
    /// A job that nobody watches.
    pub fn new(device: &'a Device) -> Self {
        Self::watched(device, |_| Control::Continue)
    }

    /// A job that calls `watch` whenever it got further.
    pub fn watched(
        device: &'a Device,
        watch: impl FnMut(Update<'_>) -> Control + Send + 'a,
    ) -> Self {
        Self {
            device,
            watch: Mutex::new(Box::new(watch)),
        }
    }

    /// Where it computes.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// Reports, and asks whether to go on.
    pub(crate) fn report(&self, update: Update<'_>) -> Result<()> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match watch(update) {
            Control::Continue => Ok(()),
            Control::Stop => Err(Error::Stopped(update.stage.to_owned())),
        }
    }

    pub(crate) fn stage(&self, name: impl Into<String>, of: usize) -> Stage<'_, 'a> {
        Stage {
            job: self,
            name: name.into(),
            of,
            done: 0,
            loss: None,
        }
    }
}

/// A part of a job.
#[derive(Debug)]
pub(crate) struct Stage<'j, 'a> {
    job: &'j Job<'a>,
    name: String,
    of: usize,
    done: usize,
    /// Mean loss of the last steps.
    pub loss: Option<f32>,
}

impl Stage<'_, '_> {
    /// So many more steps are done.
    pub fn step(&mut self, by: usize) -> Result<()> {
        self.done += by;
        self.job.report(Update {
            stage: &self.name,
            done: self.done,
            of: self.of,
            loss: self.loss,
        })
    }
}

/// The weights of all layers, each once.
pub fn layer_weights(graph: &Graph) -> Vec<ValueId> {
    let mut ids: Vec<ValueId> = Vec::new();
    for id in graph.nodes().iter().filter_map(quant::weights_of) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// The float parameters of a graph that a loss may move: not the running statistics of batch norms.
fn float_params(graph: &Graph) -> Vec<ValueId> {
    let updated: Vec<ValueId> = graph
        .nodes()
        .iter()
        .flat_map(|node| node.updates())
        .collect();
    let all = graph.values();
    let float = all.filter(|(id, value)| graph.tensor(*id).is_some() && value.dtype == DType::F32);
    float
        .map(|(id, _)| id)
        .filter(|id| !updated.contains(id))
        .collect()
}
