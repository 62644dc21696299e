//! The device of the tests, and [`crate::verify`] for them: it blocks, and fails with the whole report.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wizen::base::{DType, Rng, Tensor};
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

/// The CPU face on elements written by hand, one list per binding (what is left out is zero), gives these, up to the
/// rounding of f32, in these bindings.
pub fn by_hand(kernel: &dyn Kernel, args: &[&[f64]], want: &[(usize, &[f64])]) {
    let bindings = kernel.bindings();
    assert!(
        !want.is_empty() && args.len() <= bindings.len(),
        "{kernel:?}"
    );
    let mut tensors: Vec<Tensor> = bindings
        .iter()
        .map(|binding| Tensor::zeros(&binding.shape, binding.dtype))
        .collect();
    for (tensor, values) in tensors.iter_mut().zip(args).filter(|(_, v)| !v.is_empty()) {
        assert_eq!(tensor.len(), values.len(), "{kernel:?}");
        match tensor.dtype() {
            DType::F32 | DType::F16 => tensor.store_f64(values).expect("as many"),
            DType::I8 => {
                let values: Vec<i8> = values.iter().map(|&x| x as i8).collect();
                tensor.store_i8(&values).expect("as many");
            }
            DType::I32 | DType::U32 => {
                for (word, &x) in tensor.words_mut().iter_mut().zip(*values) {
                    *word = x as i64 as u32;
                }
            }
        }
    }
    kernel.cpu(&mut tensors).expect("the bindings' types");
    for &(at, want) in want {
        let got = tensors[at].to_f64();
        let close = |(got, want): (&f64, &f64)| (got - want).abs() <= 1e-6 * want.abs().max(1e-3);
        let same = got.len() == want.len() && got.iter().zip(want).all(close);
        assert!(
            same,
            "{kernel:?} `{}`: {got:?}, want {want:?}",
            bindings[at].name
        );
    }
}
