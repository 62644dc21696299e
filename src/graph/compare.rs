//! Step-by-step comparison of a run with the CPU references.

use serde::Serialize;

use super::plan::{Kind, Plan};
use crate::base::Tensor;
use crate::error::{Error, Result};
use crate::kernels::Access;

/// How one output of one step compares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepComparison {
    /// The step's name.
    pub name: String,
    /// The kernel's name.
    pub kernel: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference in units in the last place (float results) or in integers.
    pub max_ulp: f64,
    /// `20·log10(‖reference‖ / ‖difference‖)`; `None` when there is no difference.
    pub sqnr_db: Option<f64>,
    /// Elements that violate the agreement that the kernel promises.
    pub mismatches: usize,
    /// Elements that differ at all.
    pub differing: usize,
    /// Elements compared.
    pub elements: usize,
}

/// Feeds each step's own inputs, as the device computed them, to the kernel's CPU face, and compares
/// the results: differences do not add up from step to step, so a bad step shows where it is.
///
/// `values` holds every value of the plan after one run ([`super::Session::trace`]).
///
/// # Errors
/// [`Error::Invalid`] for a plan that updates values in place (training) or an incomplete trace.
pub fn compare_steps(plan: &Plan, values: &[Option<Tensor>]) -> Result<Vec<StepComparison>> {
    let mut out = Vec::new();
    for step in &plan.steps {
        let bindings = step.kernel.bindings();
        let mut args = Vec::with_capacity(bindings.len());
        for (binding, &arg) in bindings.iter().zip(&step.args) {
            let state = matches!(plan.values[arg].kind, Kind::State(_));
            if binding.access == Access::ReadWrite && state {
                let problem = "it updates values in place; compare an inference network";
                return Err(Error::invalid(&step.name, problem));
            }
            let value = values[arg].clone().ok_or_else(|| {
                Error::invalid(
                    &step.name,
                    format!("`{}` was not traced", plan.values[arg].name),
                )
            })?;
            args.push(value.reshaped(&binding.shape)?);
        }
        let agreement = step.kernel.agreement(&args)?;
        let got = args.clone();
        step.kernel.cpu(&mut args)?;
        for (i, binding) in bindings
            .iter()
            .enumerate()
            // What is made in parts is whole by now, and every part must still be in it.
            .filter(|(_, b)| b.access != Access::Read)
        {
            let result = agreement[i].compare(&got[i], &args[i]);
            let several = bindings.iter().filter(|b| b.access != Access::Read).count() > 1;
            let name = if several {
                format!("{}:{}", step.name, binding.name)
            } else {
                step.name.clone()
            };
            out.push(StepComparison {
                name,
                kernel: step.kernel.name().to_owned(),
                max_abs: result.max_abs,
                max_ulp: result.max_ulp,
                sqnr_db: sqnr_db(&args[i].to_f64(), &got[i].to_f64()),
                mismatches: result.violations,
                differing: result.differing,
                elements: args[i].len(),
            });
        }
    }
    Ok(out)
}

/// `20·log10(‖reference‖ / ‖reference − other‖)` in dB; `None` if they are equal.
pub fn sqnr_db(reference: &[f64], other: &[f64]) -> Option<f64> {
    let signal: f64 = reference.iter().map(|x| x * x).sum();
    let noise: f64 = reference
        .iter()
        .zip(other)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    (noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}
