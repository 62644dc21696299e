//! The seam between the two executors: code that computes takes a [`Device`] and never asks which.

use std::sync::Arc;

use super::plan::Plan;
use super::run_cpu::CpuSession;
use super::session::{Session, SessionOptions};
use crate::base::Tensor;
use crate::error::Result;
use crate::gpu::{Caps, Gpu};

/// Where plans run.
#[derive(Clone, Debug)]
pub enum Device {
    /// On this GPU.
    Gpu(Gpu),
    /// Through the CPU references.
    Cpu,
}

impl Device {
    /// Capabilities that lowering may use. The CPU references run every kernel; they get the portable
    /// set, so that a plan lowered for them also runs on any GPU.
    pub fn caps(&self) -> Caps {
        match self {
            Self::Gpu(gpu) => gpu.caps().clone(),
            Self::Cpu => Caps::portable(),
        }
    }

    /// A name for reports.
    pub fn name(&self) -> String {
        match self {
            Self::Gpu(gpu) => format!("{} ({})", gpu.caps().name, gpu.caps().backend),
            Self::Cpu => "CPU reference".to_owned(),
        }
    }

    /// Makes a plan resident.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub async fn load(&self, plan: impl Into<Arc<Plan>>) -> Result<Executor> {
        self.load_with(plan, SessionOptions::default()).await
    }

    /// Makes a plan resident with options. The CPU knows only `trace`.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub async fn load_with(
        &self,
        plan: impl Into<Arc<Plan>>,
        options: SessionOptions,
    ) -> Result<Executor> {
        let plan = plan.into();
        Ok(match self {
            Self::Gpu(gpu) => Executor::Gpu(Session::new(gpu, plan, options).await?),
            Self::Cpu => Executor::Cpu(CpuSession::new(plan, options.trace)),
        })
    }
}

/// Time of one step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTime {
    /// The step's name.
    pub name: String,
    /// The kernel's name.
    pub kernel: String,
    /// Seconds on the device.
    pub seconds: f64,
}

/// A plan resident somewhere.
#[derive(Debug)]
pub enum Executor {
    /// On a GPU.
    Gpu(Session),
    /// In host memory.
    Cpu(CpuSession),
}

impl Executor {
    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        match self {
            Self::Gpu(session) => session.plan(),
            Self::Cpu(session) => session.plan(),
        }
    }

    /// Runs and returns the outputs.
    ///
    /// # Errors
    /// For inputs that do not fit, and what the device reports.
    pub async fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        match self {
            Self::Gpu(session) => session.run(inputs)?.await,
            Self::Cpu(session) => session.run(inputs),
        }
    }

    /// Runs without reading anything back: for training and calibration, whose results are states.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn submit(&mut self, inputs: &[&Tensor]) -> Result<()> {
        match self {
            Self::Gpu(session) => session.submit(inputs),
            Self::Cpu(session) => session.run(inputs).map(|_| ()),
        }
    }

    /// Reads a state, a constant, an output of the last run, or (with `trace`) any value.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for an unknown or unreadable value, and what the device reports.
    pub async fn read(&self, name: &str) -> Result<Tensor> {
        match self {
            Self::Gpu(session) => session.read(name)?.await,
            Self::Cpu(session) => session.read(name),
        }
    }

    /// Replaces the contents of a state or a constant.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] or [`crate::Error::DType`] if it does not fit.
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        match self {
            Self::Gpu(session) => session.write(name, tensor),
            Self::Cpu(session) => session.write(name, tensor),
        }
    }

    /// Every value after one run, in the order of [`Plan::values`] (`None` where no step uses it). The
    /// plan must have been loaded with [`SessionOptions::trace`].
    ///
    /// # Errors
    /// As [`Session::trace`].
    pub async fn trace(&mut self, inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        match self {
            Self::Gpu(session) => session.trace(inputs).await,
            Self::Cpu(session) => session.trace(inputs),
        }
    }

    /// Time of every step in one run: timestamps on a GPU, a clock on the CPU.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] on a GPU without timestamps; otherwise as [`Self::run`].
    pub async fn profile(&mut self, inputs: &[&Tensor]) -> Result<Vec<StepTime>> {
        let plan = Arc::clone(self.plan());
        let seconds = match self {
            Self::Gpu(session) => session.profile(inputs).await?,
            Self::Cpu(session) => session.profile(inputs)?,
        };
        let timed = plan
            .steps
            .iter()
            .zip(seconds)
            .map(|(step, seconds)| StepTime {
                name: step.name.clone(),
                kernel: step.kernel.name().to_owned(),
                seconds,
            });
        Ok(timed.collect())
    }
}
