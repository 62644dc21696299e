//! The reference executor: the plan's kernels, one after another, through their CPU faces.

use std::sync::{Arc, LazyLock};

use super::plan::{Kind, Plan};
use crate::base::{Instant, Tensor};
use crate::error::{Error, Result};
use crate::kernels::Access;

/// A plan resident in host memory.
#[derive(Clone, Debug)]
pub struct CpuSession {
    plan: Arc<Plan>,
    /// Constants, states, and what the last run left.
    values: Vec<Option<Tensor>>,
    /// Keep every value of a run for [`Self::read`].
    keep: bool,
    last_use: Vec<usize>,
}

impl CpuSession {
    /// Takes constants and initial states from the plan. `trace` keeps every value of a run readable.
    pub fn new(plan: Arc<Plan>, trace: bool) -> Self {
        let values = plan
            .values
            .iter()
            .map(|value| match &value.kind {
                Kind::Const(tensor) | Kind::State(tensor) => Some(tensor.as_ref().clone()),
                Kind::Input | Kind::Temp => None,
            })
            .collect();
        let mut last_use = vec![0; plan.values.len()];
        for (i, step) in plan.steps.iter().enumerate() {
            for &arg in &step.args {
                last_use[arg] = i;
            }
        }
        Self {
            plan,
            values,
            keep: trace,
            last_use,
        }
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Runs all steps and returns the outputs.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] for inputs that do not fit.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.profile(inputs)?;
        self.plan
            .outputs
            .iter()
            .map(|&output| self.value(output))
            .collect()
    }

    /// Runs all steps and returns the seconds that each took.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn profile(&mut self, inputs: &[&Tensor]) -> Result<Vec<f64>> {
        self.plan.check_inputs(inputs)?;
        let plan = Arc::clone(&self.plan);
        for (&index, &tensor) in plan.inputs.iter().zip(inputs) {
            self.values[index] = Some(tensor.clone());
        }
        let mut seconds = Vec::with_capacity(plan.steps.len());
        for (i, step) in plan.steps.iter().enumerate() {
            let start = clock();
            let bindings = step.kernel.bindings();
            let mut args = Vec::with_capacity(step.args.len());
            for (n, (&arg, binding)) in step.args.iter().zip(&bindings).enumerate() {
                let value = &plan.values[arg];
                if step.args[..n].contains(&arg) {
                    // Bound twice, hence only read: the second binding gets a copy.
                    let first = step
                        .args
                        .iter()
                        .position(|&other| other == arg)
                        .unwrap_or(0);
                    let copy: &Tensor = &args[first];
                    args.push(copy.clone().reshaped(&binding.shape)?);
                    continue;
                }
                let tensor = match binding.access {
                    Access::Write => None,
                    // Made in parts: this is the first.
                    Access::ReadWrite
                        if matches!(value.kind, Kind::Temp) && first_use(&plan, arg) == i =>
                    {
                        None
                    }
                    Access::Read | Access::ReadWrite => {
                        Some(self.values[arg].take().ok_or_else(|| {
                            Error::invalid(
                                &step.name,
                                format!("`{}` is used before it is made", value.name),
                            )
                        })?)
                    }
                };
                args.push(match tensor {
                    Some(tensor) => tensor.reshaped(&binding.shape)?,
                    None => Tensor::zeros(&binding.shape, binding.dtype),
                });
            }
            step.kernel.cpu(&mut args)?;
            for (&arg, tensor) in step.args.iter().zip(args) {
                let temp = matches!(plan.values[arg].kind, Kind::Temp | Kind::Input);
                let dead =
                    temp && !self.keep && self.last_use[arg] == i && !plan.outputs.contains(&arg);
                self.values[arg] = if dead {
                    None
                } else {
                    Some(tensor.reshaped(&plan.values[arg].shape)?)
                };
            }
            seconds.push(clock() - start);
        }
        Ok(seconds)
    }

    /// Every value after one run (`None` where no step uses it). Needs `trace`.
    ///
    /// # Errors
    /// [`Error::Invalid`] without `trace`; otherwise as [`Self::run`].
    pub fn trace(&mut self, inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        if !self.keep {
            return Err(Error::invalid(
                "trace",
                "open the session with SessionOptions { trace: true, .. }",
            ));
        }
        self.profile(inputs)?;
        Ok(self.values.clone())
    }

    fn value(&self, index: usize) -> Result<Tensor> {
        self.values[index].clone().ok_or_else(|| {
            let name = &self.plan.values[index].name;
            Error::invalid(
                "read",
                format!("`{name}` holds nothing; run first, with `trace` for inner values"),
            )
        })
    }

    /// The contents of a constant, a state, or (with `trace`) any value of the last run.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such value or it holds nothing.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        self.value(self.plan.find(name)?)
    }

    /// Replaces the contents of a constant or a state.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if it does not fit.
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let index = self.plan.find(name)?;
        self.plan.check_value(index, tensor)?;
        self.values[index] = Some(tensor.clone());
        Ok(())
    }
}

/// Seconds on a monotonic clock.
fn clock() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// The first step that has the value.
fn first_use(plan: &Plan, value: usize) -> usize {
    let mut steps = plan.steps.iter();
    let found = steps.position(|step| step.args.contains(&value));
    found.unwrap_or(plan.steps.len())
}
