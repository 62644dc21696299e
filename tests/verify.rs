//! Runs a kernel on the GPU and on the CPU and compares them as the kernel's own agreement demands. Never
//! blocks: browsers forbid it.
//!
//! Outputs are poisoned before the run, guard words after every buffer must survive it, and a bound as
//! large as the output itself is rejected. `WIZEN_SEED=… cargo test name` replays a failure.

use std::fmt::Write as _;
use std::sync::Arc;

use wizen::base::Tensor;
use wizen::gpu::{Access, Gpu};
use wizen::graph::{Kind, Plan, Session, SessionOptions};
use wizen::kernels::{Agreement, Kernel, Variant};

const GUARD_WORDS: usize = 64;
/// A quiet NaN as f32 and f16, an unlikely integer, none of the values kernels write on purpose.
const POISON: u32 = 0x7fc5_7fc5;

/// The poison of binding `i`: arithmetic passes a NaN on with its bits, so a kernel that computes past the
/// end of its input and writes past the end of its output must not find there what it writes.
fn poison(i: usize) -> u32 {
    POISON + i as u32
}

/// The seed of this run: `WIZEN_SEED`, else fixed.
pub fn seed() -> u64 {
    std::env::var("WIZEN_SEED")
        .ok()
        .map_or(20_261_121, |s| s.parse().expect("WIZEN_SEED is a number"))
}

/// Runs `candidate` on the GPU, as a variant (`None`: its own choice), and compares with `truth` on the
/// CPU; `Err` is the report.
pub async fn verify_as(
    gpu: &Gpu,
    (candidate, variant): (&Arc<dyn Kernel>, Option<Variant>),
    truth: &Arc<dyn Kernel>,
    args: &[Tensor],
) -> Result<(), String> {
    let bindings = truth.bindings();
    let agreement = truth.agreement(args).map_err(|e| e.to_string())?;
    assert_eq!(
        agreement.len(),
        bindings.len(),
        "{truth:?}: one agreement per binding"
    );
    let mut want = args.to_vec();
    truth.cpu(&mut want).map_err(|e| e.to_string())?;
    reject_vacuous(truth, &agreement, &want)?;

    let raw = run_guarded(gpu, candidate, variant, args)
        .await
        .map_err(|e| format!("{candidate:?}: {e}"))?;
    let mut report = String::new();
    for (i, binding) in bindings.iter().enumerate() {
        let (words, guard) = raw[i].split_at(want[i].words().len());
        if let Some(at) = guard.iter().position(|&word| word != poison(i)) {
            let _ = writeln!(report, "`{}`: wrote {at} words past its end", binding.name);
        }
        let got = Tensor::from_words(&binding.shape, binding.dtype, words.to_vec())
            .map_err(|e| e.to_string())?;
        let out = agreement[i].compare(&got, &want[i]);
        if out.violations > 0 {
            let _ = writeln!(
                report,
                "`{}`: {} of {} elements disagree",
                binding.name,
                out.violations,
                got.len()
            );
            for (at, got, want, allowed) in out.first {
                let at = coordinates(at, &binding.shape);
                let _ = writeln!(report, "  {at:?}: got {got:e}, want {want:e} ± {allowed:e}");
            }
        }
        let padding = padding_is_zero(&got);
        if binding.access == Access::Write && !padding {
            let _ = writeln!(report, "`{}`: row padding is not zero", binding.name);
        }
    }
    if report.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{truth:?} on {} with WIZEN_SEED={}:\n{report}",
        gpu.caps().name,
        seed()
    ))
}

/// One poisoned, guarded run; the raw words of each binding's buffer, in order.
async fn run_guarded(
    gpu: &Gpu,
    kernel: &Arc<dyn Kernel>,
    variant: Option<Variant>,
    args: &[Tensor],
) -> wizen::Result<Vec<Vec<u32>>> {
    let mut plan = Plan::single(Arc::clone(kernel))?;
    plan.steps[0].variant = variant;
    let plan = Arc::new(plan);
    let options = SessionOptions {
        trace: true,
        guard_words: GUARD_WORDS,
        poison: Some(POISON),
        ..Default::default()
    };
    let session = Session::new(gpu, Arc::clone(&plan), options).await?;
    let mut inputs = Vec::new();
    for (i, (value, arg)) in plan.values.iter().zip(args).enumerate() {
        let words = vec![poison(i); value.words() + GUARD_WORDS];
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        gpu.queue()
            .write_buffer(session.buffer(&value.name)?, 0, &bytes);
        match value.kind {
            Kind::Input => inputs.push(arg),
            Kind::State(_) => session.write(&value.name, arg)?,
            Kind::Const(_) | Kind::Temp => {}
        }
    }
    session.submit(&inputs)?;
    let raw = session.raw_words().await?;
    Ok(raw.into_iter().map(|(_, words)| words).collect())
}

/// A check that cannot fail is a defect: bounds must lie below the size of the output they guard.
fn reject_vacuous(
    kernel: &Arc<dyn Kernel>,
    agreement: &[Agreement],
    want: &[Tensor],
) -> Result<(), String> {
    for ((agreement, want), binding) in agreement.iter().zip(want).zip(kernel.bindings()) {
        let values = want.to_f64();
        let largest = values.iter().fold(0.0f64, |a, x| a.max(x.abs()));
        if let Agreement::Within(bound) = agreement {
            assert_eq!(
                bound.len(),
                values.len(),
                "{kernel:?}: one bound per element of `{}`",
                binding.name
            );
            let median = {
                let mut sorted = bound.clone();
                sorted.sort_by(f64::total_cmp);
                sorted[sorted.len() / 2]
            };
            // A NaN bound is as vacuous as an infinite one.
            if largest > 0.0 && (median.is_nan() || median >= largest) {
                return Err(format!(
                    "{kernel:?}: the bound of `{}` ({median:e}) is as large as it",
                    binding.name
                ));
            }
        }
        if let Agreement::NearTie { near_tie, .. } = agreement {
            let share =
                near_tie.iter().filter(|&&near| near).count() as f64 / near_tie.len() as f64;
            if near_tie.len() >= 64 && share > 0.5 {
                return Err(format!(
                    "{kernel:?}: {share} of `{}` is called a tie",
                    binding.name
                ));
            }
        }
    }
    Ok(())
}

fn padding_is_zero(tensor: &Tensor) -> bool {
    let mut repacked = Tensor::zeros(tensor.shape(), tensor.dtype());
    match tensor.dtype() {
        wizen::base::DType::I8 => repacked
            .store_i8(&tensor.to_i8().expect("i8"))
            .expect("same shape"),
        wizen::base::DType::F16 => {
            let row = tensor.shape().last().copied().unwrap_or(1);
            return row % 2 == 0
                || tensor
                    .words()
                    .chunks(row.div_ceil(2))
                    .all(|words| words[words.len() - 1] >> 16 == 0);
        }
        _ => return true,
    }
    repacked == *tensor
}

fn coordinates(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut at: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let i = index % size;
            index /= size;
            i
        })
        .collect();
    at.reverse();
    at
}
