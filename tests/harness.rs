//! Runs a kernel on the GPU and on the CPU and compares them as the kernel's own agreement demands.
//!
//! Outputs are poisoned before the run, guard words after every buffer must survive it, and a bound as
//! large as the output itself is rejected. `WIZEN_SEED=… cargo test name` replays a failure.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wizen::base::{Rng, Tensor};
use wizen::gpu::{Access, Gpu};
use wizen::graph::{Kind, Plan, Session, SessionOptions};
use wizen::kernels::{Agreement, Kernel, Variant, check_args};

const GUARD_WORDS: usize = 64;
/// A quiet NaN as f32 and f16, an unlikely integer, none of the values kernels write on purpose.
const POISON: u32 = 0x7fc5_7fc5;

/// The poison of binding `i`: arithmetic passes a NaN on with its bits, so a kernel that computes past the
/// end of its input and writes past the end of its output must not find there what it writes.
fn poison(i: usize) -> u32 {
    POISON + i as u32
}

/// The device that the tests run on, opened once; `None` skips, loudly.
pub fn gpu() -> Option<Gpu> {
    static GPU: OnceLock<Result<Gpu, String>> = OnceLock::new();
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let opened = GPU.get_or_init(|| pollster::block_on(Gpu::open()).map_err(|e| e.to_string()));
    match opened {
        Ok(gpu) => Some(gpu.clone()),
        Err(error) => {
            let required = std::env::var("WIZEN_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "WIZEN_REQUIRE_GPU=1, but {error}");
            let n = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
            // Not `eprintln`: the test runner would swallow it.
            writeln!(std::io::stderr(), "SKIPPED {n} GPU checks so far: {error}").expect("stderr");
            None
        }
    }
}

/// The seed of this run: `WIZEN_SEED`, else fixed.
pub fn seed() -> u64 {
    std::env::var("WIZEN_SEED")
        .ok()
        .map_or(20_261_121, |s| s.parse().expect("WIZEN_SEED is a number"))
}

/// Random arguments, both faces of every variant, agreement; panics with the whole problem.
pub fn check(kernel: Box<dyn Kernel>) {
    let kernel: Arc<dyn Kernel> = kernel.into();
    let args = kernel.example_args(&mut Rng::new(seed()));
    check_with(kernel, args);
}

/// The same on given arguments (one per binding; those of outputs only give the shape).
pub fn check_with(kernel: Arc<dyn Kernel>, args: Vec<Tensor>) {
    check_args(kernel.as_ref(), &args).unwrap_or_else(|e| panic!("{kernel:?}: {e}"));
    let Some(gpu) = gpu() else { return };
    let variants = kernel.variants(gpu.caps());
    assert!(!variants.is_empty(), "{kernel:?} has no variants");
    for variant in variants {
        if let Err(report) = verify_as(&gpu, (&kernel, Some(variant)), &kernel, &args) {
            panic!("variant {variant}: {report}");
        }
    }
}

/// Runs `candidate` on the GPU and compares with `truth` on the CPU; `Err` is the report. The two are
/// the same kernel, except in the negative controls.
pub fn verify(
    gpu: &Gpu,
    candidate: &Arc<dyn Kernel>,
    truth: &Arc<dyn Kernel>,
    args: &[Tensor],
) -> Result<(), String> {
    verify_as(gpu, (candidate, None), truth, args)
}

/// The same with the candidate run as a variant; `None`: its own choice.
fn verify_as(
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

    let raw = run_guarded(gpu, candidate, variant, args)?;
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
fn run_guarded(
    gpu: &Gpu,
    kernel: &Arc<dyn Kernel>,
    variant: Option<Variant>,
    args: &[Tensor],
) -> Result<Vec<Vec<u32>>, String> {
    pollster::block_on(async {
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
        Ok::<_, wizen::Error>(
            session
                .raw_words()
                .await?
                .into_iter()
                .map(|(_, words)| words)
                .collect(),
        )
    })
    .map_err(|e| format!("{kernel:?}: {e}"))
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
