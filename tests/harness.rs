//! The device of the tests, and [`crate::verify`] for them: it blocks, and fails with the whole report.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wizen::base::{Rng, Tensor};
use wizen::gpu::Gpu;
use wizen::kernels::{Kernel, check_args};

pub use crate::verify::seed;
use crate::verify::verify_as;

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
        let verified = verify_as(&gpu, (&kernel, Some(variant)), &kernel, &args);
        if let Err(report) = pollster::block_on(verified) {
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
    pollster::block_on(verify_as(gpu, (candidate, None), truth, args))
}
