//! Golden vectors computed by PyTorch, reproduced on the CPU references and on the GPU.
//!
//! `WIZEN_GOLDEN` names another folder of the same format. Every case of every family found is run; what
//! this file does not know (an op, an attribute, an input, a tolerance) is a failure.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use wizen::base::Tensor;
use wizen::graph::{Device, Kind, Plan};
use wizen::kernels::Kernel;

use crate::golden_array::Array;
use crate::golden_case::{Case, Reader, load};
use crate::{golden_float, golden_int8, golden_prune, golden_quant, golden_train, harness};

/// Tensors by name: what a kernel leaves in the bindings that it writes.
pub type Named = BTreeMap<String, Tensor>;

/// What a case computes, by role.
pub type Outputs = BTreeMap<String, Array>;

/// One launch of `kernel`: every binding that it reads or updates is in `inputs`, by name.
pub fn run_kernel(
    device: &Device,
    kernel: impl Kernel + 'static,
    inputs: &[(&str, Tensor)],
) -> Result<Named, String> {
    let what = kernel.name();
    let in_kernel = |e: wizen::Error| format!("{what}: {e}");
    let plan = Arc::new(Plan::single(Arc::new(kernel)).map_err(in_kernel)?);
    let find = |name: &str| {
        let found = inputs.iter().find(|(given, _)| *given == name);
        found
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| format!("{what}: `{name}` is not given"))
    };
    for (name, _) in inputs {
        plan.find(name).map_err(in_kernel)?;
    }
    pollster::block_on(async {
        let mut executor = device.load(Arc::clone(&plan)).await.map_err(in_kernel)?;
        let mut given = Vec::new();
        for value in &plan.values {
            match value.kind {
                Kind::Input => given.push(find(&value.name)?),
                Kind::State(_) => executor
                    .write(&value.name, find(&value.name)?)
                    .map_err(in_kernel)?,
                Kind::Const(_) | Kind::Temp => {}
            }
        }
        let outputs = executor.run(&given).await.map_err(in_kernel)?;
        let names = plan.outputs.iter().map(|&i| plan.values[i].name.clone());
        Ok(names.zip(outputs).collect())
    })
}

fn reproduce(case: &Reader, device: &Device) -> Result<Outputs, String> {
    match case.op() {
        "quantize_per_tensor" | "quantize_per_channel" => golden_quant::quantize(case, device),
        "fake_quantize_per_tensor" | "fake_quantize_per_channel" | "fake_quantize_learned_step" => {
            golden_quant::fake_quantize(case, device)
        }
        "observer_min_max" | "observer_per_channel_min_max" => golden_quant::min_max(case, device),
        "observer_moving_average_min_max" => golden_quant::moving_average(case, device),
        "observer_histogram" => golden_quant::histogram(case, device),
        "l1_unstructured" => golden_prune::l1_unstructured(case, device),
        "ln_structured" => golden_prune::ln_structured(case, device),
        "global_l1_unstructured" => golden_prune::global(case, device),
        "iterative" => golden_prune::iterative(case, device),
        "agp_schedule" => golden_prune::schedule(case),
        "linear_i8" => golden_int8::linear(case, device),
        "conv2d_i8" => golden_int8::conv2d(case, device),
        "add_i8" => golden_int8::add(case, device),
        "max_pool2d_i8" => golden_int8::max_pool(case, device),
        "global_avg_pool_i8" => golden_int8::global_avg_pool(case, device),
        "matmul_i8_i32" => golden_int8::matmul_i32(case, device),
        "linear" => golden_float::linear(case, device),
        "conv2d" => golden_float::conv2d(case, device),
        "relu" => golden_float::relu(case, device),
        "max_pool2d" => golden_float::max_pool(case, device),
        "global_avg_pool" => golden_float::global_avg_pool(case, device),
        "batch_norm_eval" => golden_float::batch_norm_eval(case, device),
        "batch_norm_train" => golden_float::batch_norm_train(case, device),
        "softmax_cross_entropy_mean" => golden_float::softmax_cross_entropy(case, device),
        "optimizer_sgd" | "optimizer_sgd_nesterov" => golden_train::sgd(case, device),
        "optimizer_adam" | "optimizer_adamw" => golden_train::adam(case, device),
        "lenet5_sgd_run" => golden_train::lenet5(case, device),
        other => Err(format!("unknown op `{other}`")),
    }
}

/// Runs a case on a device; `Err` says everything that is wrong with it.
fn check(case: &Case, device: &Device) -> Result<(), String> {
    let run = || {
        let reader = Reader::new(case);
        let got = reproduce(&reader, device)?;
        reader.all_used()?;
        Ok::<_, String>(got)
    };
    // A panic must not hide which case it was.
    let got = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err("panicked (the message is above)".into()));
    let problems = got.map_or_else(|error| vec![error], |got| case.compare(&got));
    if problems.is_empty() {
        return Ok(());
    }
    let place = format!(
        "{}/{} ({}) on {}",
        case.family,
        case.name,
        case.op,
        device.name()
    );
    Err(format!("{place}: {}", problems.join("; ")))
}

/// Runs everything below `folder` on every device; cases per family, or all failures.
fn run_folder(folder: &Path, devices: &[Device]) -> Result<BTreeMap<String, usize>, Vec<String>> {
    let cases = load(folder).map_err(|error| vec![error])?;
    let mut counts = BTreeMap::new();
    for case in &cases {
        *counts.entry(case.family.clone()).or_default() += 1;
    }
    let jobs: Vec<_> = devices
        .iter()
        .flat_map(|d| cases.iter().map(move |c| (c, d)))
        .collect();
    let failures: Vec<String> = jobs
        .par_iter()
        .filter_map(|(case, device)| check(case, device).err())
        .collect();
    if failures.is_empty() {
        Ok(counts)
    } else {
        Err(failures)
    }
}

#[test]
fn every_case_of_every_family() {
    let folder = std::env::var_os("WIZEN_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")),
        PathBuf::from,
    );
    let mut devices = vec![Device::Cpu];
    devices.extend(harness::gpu().map(Device::Gpu));
    match run_folder(&folder, &devices) {
        Ok(counts) => {
            let names: Vec<String> = devices.iter().map(Device::name).collect();
            let line = format!("golden: {counts:?} on {}\n", names.join(" and "));
            // Not `eprintln`: the test runner would swallow it.
            std::io::stderr()
                .write_all(line.as_bytes())
                .expect("stderr");
        }
        Err(failures) => {
            let shown = failures.len().min(40);
            panic!(
                "{} failures in {}, the first {shown}:\n{}",
                failures.len(),
                folder.display(),
                failures[..shown].join("\n")
            );
        }
    }
}

/// What must not pass.
mod controls {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    /// Failures of a folder with one family of one case; its tensors are x = [−1, 2] and y = [0, 2].
    fn failures(case: &str) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bytes = |values: [f32; 2]| values.map(f32::to_le_bytes).concat();
        let (x, y) = (bytes([-1.0, 2.0]), bytes([0.0, 2.0]));
        let view = |data| TensorView::new(Dtype::F32, vec![2], data).expect("two numbers");
        let tensors = [
            ("x", view(&x)),
            ("y", view(&y)),
            ("dy", view(&y)),
            ("dx", view(&y)),
        ];
        let file = safetensors::serialize(tensors, None).expect("valid");
        std::fs::write(folder.path().join("f.safetensors"), file).expect("writable");
        let json = format!(r#"{{"family": "f", "cases": [{case}]}}"#);
        std::fs::write(folder.path().join("f.json"), json).expect("writable");
        match run_folder(folder.path(), &[Device::Cpu]) {
            Ok(_) => String::new(),
            Err(failures) => failures.join("\n"),
        }
    }

    fn relu(op: &str, attrs: &str, inputs: &str, outputs: &str, tol: &str) -> String {
        failures(&format!(
            r#"{{"name": "c", "op": "{op}", "attrs": {{{attrs}}}, "inputs": {{"x": "x"{inputs}}},
                "outputs": {{"y": "{outputs}"}}, "tol": {{{tol}}}}}"#
        ))
    }

    #[test]
    fn what_is_unknown_wrong_or_missing_fails() {
        let (dy, exact) = (r#", "dy": "dy""#, r#""y": {"exact": true}"#);
        assert_eq!(relu("relu", "", dy, "y", exact), "", "the sound case fails");
        for (found, symptom) in [
            (relu("rely", "", dy, "y", exact), "unknown op `rely`"),
            (relu("relu", r#""slope": 1"#, dy, "y", exact), "`slope`"),
            (
                relu("relu", "", r#", "dy": "dy", "z": "x""#, "y", exact),
                "`z`",
            ),
            (relu("relu", "", "", "y", exact), "no input `dy`"),
            (relu("relu", "", dy, "x", exact), "1 of 2"),
            (relu("relu", "", dy, "w", exact), "no tensor `w`"),
            (relu("relu", "", dy, "y", ""), "no tolerance"),
            (
                relu("relu", "", dy, "y", r#""y": {"about": 1}"#),
                "tolerance",
            ),
        ] {
            assert!(found.contains(symptom), "{found:?}, expected `{symptom}`");
        }
        let twice = failures(
            r#"{"name": "c", "op": "relu", "attrs": {}, "inputs": {"x": "x", "dy": "dy"},
            "outputs": {"z": "y"}, "tol": {"z": {"exact": true}}}"#,
        );
        assert!(twice.contains("`z` was not computed"), "{twice:?}");
        assert!(failures("").contains("no case"));
    }

    #[test]
    fn an_empty_or_missing_folder_fails() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(run_folder(folder.path(), &[Device::Cpu]).is_err());
        assert!(run_folder(&folder.path().join("none"), &[Device::Cpu]).is_err());
        std::fs::write(
            folder.path().join("f.json"),
            r#"{"family": "f", "cases": []}"#,
        )
        .expect("writable");
        assert!(run_folder(folder.path(), &[Device::Cpu]).is_err());
    }
}
