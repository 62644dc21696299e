//! Timing the variants of kernels on the device at hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::session::{Session, SessionOptions};
use crate::base::{DType, Instant, Rng};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{Access, Kernel, Variant, tuning_key};

/// What the variants of one kernel take.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// Kernel and shapes, as the device remembers them.
    pub key: String,
    /// Seconds of one launch (the median of a few), by variant.
    pub seconds: Vec<(Variant, f64)>,
}

/// Times every variant of every kernel of `plan` that has several and was not timed before, and makes the
/// device remember the fastest ([`Gpu::remember`]); sessions made from then on run it. Stops once `budget`
/// is spent: what is left keeps the kernel's own choice. Results of a network do not depend on it, beyond
/// what the agreement of its kernels allows; integers are equal: a variant whose integers differ from those of the
/// kernel's own choice is never taken.
///
/// # Errors
/// What the device reports.
pub async fn tune(gpu: &Gpu, plan: &Plan, budget: Duration) -> Result<Vec<Tuned>> {
    let start = Instant::now();
    let mut done = Vec::new();
    let mut seen = BTreeSet::new();
    for step in &plan.steps {
        let variants = step.kernel.variants(gpu.caps());
        let key = tuning_key(step.kernel.as_ref());
        if variants.len() < 2 || gpu.tuned(&key).is_some() || !seen.insert(key.clone()) {
            continue;
        }
        if start.elapsed() >= budget {
            break;
        }
        let mut seconds = Vec::new();
        let mut integers = None;
        for variant in variants {
            let (time, results) = time(gpu, &step.kernel, variant).await?;
            // Integers are equal or wrong: matrices of floats may not add them exactly on a device unknown so far.
            if *integers.get_or_insert_with(|| results.clone()) != results {
                log::warn!(
                    "{key}: `{variant}` is wrong on {}: not used",
                    gpu.caps().name
                );
                continue;
            }
            seconds.push((variant, time));
        }
        let fastest = seconds
            .iter()
            .copied()
            .reduce(|a, b| if b.1 < a.1 { b } else { a });
        if let Some((variant, _)) = fastest {
            gpu.remember(&key, variant.name());
        }
        done.push(Tuned { key, seconds });
    }
    if !done.is_empty() {
        gpu.save_tuning();
    }
    Ok(done)
}

/// The types that a kernel writes.
fn written(kernel: &Arc<dyn Kernel>) -> impl Iterator<Item = DType> + use<> {
    let bindings = kernel.bindings().into_iter();
    let written = bindings.filter(|binding| binding.access != Access::Read);
    written.map(|binding| binding.dtype)
}

/// Runs of which the median counts, after one that compiles.
const RUNS: usize = 3;

/// Seconds of one launch, and the integers that it leaves: int8 and int32 as they are stored.
async fn time(
    gpu: &Gpu,
    kernel: &Arc<dyn Kernel>,
    variant: Variant,
) -> Result<(f64, Vec<Vec<u32>>)> {
    let mut plan = Plan::single(Arc::clone(kernel))?;
    for step in &mut plan.steps {
        step.variant = Some(variant);
    }
    let args = kernel.example_args(&mut Rng::new(1));
    let bindings = kernel.bindings().into_iter().zip(&args);
    let read = bindings.filter(|(binding, _)| binding.access == Access::Read);
    let inputs: Vec<_> = read.map(|(_, arg)| arg).collect();
    let session = Session::new(gpu, Arc::new(plan), SessionOptions::default()).await?;
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        let seconds = if gpu.caps().timestamps {
            session.profile(&inputs).await?.iter().sum()
        } else {
            session.submit(&inputs)?;
            session.time_runs(1).await?
        };
        if run > 0 {
            times.push(seconds);
        }
    }
    times.sort_by(f64::total_cmp);
    let mut integers = Vec::new();
    if written(kernel).any(|dtype| matches!(dtype, DType::I8 | DType::I32)) {
        let results = session.run(&inputs)?.await?;
        let whole = results
            .iter()
            .filter(|result| matches!(result.dtype(), DType::I8 | DType::I32));
        integers = whole.map(|result| result.words().to_vec()).collect();
    }
    Ok((times[RUNS / 2], integers))
}
