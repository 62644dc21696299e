//! Timing the variants of kernels on the device at hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::session::{Session, SessionOptions};
use crate::base::{DType, Instant, Rng, Tensor};
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
        let seconds = time(gpu, &step.kernel, variants).await?;
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

/// Rounds of which the median counts, after one that compiles. The variants take turns: a GPU that was idle speeds up
/// as it works, and whoever came last would win. Their buffers do not: there may be no room for all of them at once.
const ROUNDS: usize = 3;

/// Median seconds of one launch by variant, of those whose integers are those of the first.
async fn time(
    gpu: &Gpu,
    kernel: &Arc<dyn Kernel>,
    variants: Vec<Variant>,
) -> Result<Vec<(Variant, f64)>> {
    let args = kernel.example_args(&mut Rng::new(1));
    let bindings = kernel.bindings().into_iter().zip(&args);
    let read = bindings.filter(|(binding, _)| binding.access == Access::Read);
    let inputs: Vec<_> = read.map(|(_, arg)| arg).collect();
    let mut times = Vec::new();
    let mut integers = None;
    for variant in variants {
        let own = results(kernel, &session(gpu, kernel, variant).await?, &inputs).await?;
        // Integers are equal or wrong: matrices of floats may not add them exactly on a device unknown so far.
        if *integers.get_or_insert_with(|| own.clone()) == own {
            times.push((variant, Vec::with_capacity(ROUNDS)));
        } else {
            let (name, device) = (kernel.name(), &gpu.caps().name);
            log::warn!("{name}: `{variant}` is wrong on {device}: not used");
        }
    }
    for _ in 0..ROUNDS {
        for (variant, seconds) in &mut times {
            let session = session(gpu, kernel, *variant).await?;
            seconds.push(if gpu.caps().timestamps {
                session.profile(&inputs).await?.iter().sum()
            } else {
                session.submit(&inputs)?;
                session.time_runs(1).await?
            });
        }
    }
    let median = |(variant, mut seconds): (Variant, Vec<f64>)| {
        seconds.sort_by(f64::total_cmp);
        (variant, seconds[ROUNDS / 2])
    };
    Ok(times.into_iter().map(median).collect())
}

async fn session(gpu: &Gpu, kernel: &Arc<dyn Kernel>, variant: Variant) -> Result<Session> {
    let mut plan = Plan::single(Arc::clone(kernel))?;
    for step in &mut plan.steps {
        step.variant = Some(variant);
    }
    Session::new(gpu, Arc::new(plan), SessionOptions::default()).await
}

/// Runs once, and reads the integers back that the kernel writes: int8 and int32 as they are stored.
async fn results(
    kernel: &Arc<dyn Kernel>,
    session: &Session,
    inputs: &[&Tensor],
) -> Result<Vec<Vec<u32>>> {
    let integer = |dtype| matches!(dtype, DType::I8 | DType::I32);
    let bindings = kernel.bindings();
    let mut written = bindings.iter().filter(|b| b.access != Access::Read);
    if !written.any(|binding| integer(binding.dtype)) {
        session.submit(inputs)?;
        session.time_runs(1).await?;
        return Ok(Vec::new());
    }
    let all = session.run(inputs)?.await?;
    let integers = all.iter().filter(|result| integer(result.dtype()));
    Ok(integers.map(|result| result.words().to_vec()).collect())
}
