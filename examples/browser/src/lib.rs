//! wizen in a browser, on WebGPU: every kernel against its CPU reference, in every variant that the device can
//! run, with the same poison and guards as the crate's tests; LeNet-5 in int8, whose values must all be equal;
//! and how long ResNet18 takes. Build and run it with `examples/browser/run.sh`.

#![cfg(target_arch = "wasm32")]

#[path = "../../../tests/verify.rs"]
mod verify;

use std::sync::Arc;

use wasm_bindgen::prelude::*;
use web_time::Instant;
use wizen::base::{Requant, Rng, Tensor};
use wizen::gpu::{AdapterChoice, Gpu, GpuOptions};
use wizen::graph::{Device, Graph, compare_steps, lower};
use wizen::kernels::Kernel;
use wizen::models::{build, random_weights};
use wizen::quant::{self, Observer, Scheme};

#[wasm_bindgen]
extern "C" {
    /// Shows a line on the page.
    fn report(line: &str);
}

/// Tells of a panic; without it there is only a trap.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| report(&panic.to_string())));
}

/// Checks kernels and a network; returns what was checked.
///
/// # Errors
/// Every disagreement between GPU and CPU, and what the device reports.
#[wasm_bindgen]
pub async fn checks() -> Result<String, JsError> {
    let gpu = Gpu::open().await?;
    report(&format!("{:?}", gpu.caps()));
    let mut failures = Vec::new();
    let mut programs = 0;
    for kernel in wizen::kernels::all() {
        let kernel: Arc<dyn Kernel> = kernel.into();
        let args = kernel.example_args(&mut Rng::new(verify::seed()));
        for variant in kernel.variants(gpu.caps()) {
            programs += 1;
            let done = verify::verify_as(&gpu, (&kernel, Some(variant)), &kernel, &args).await;
            if let Err(problem) = done {
                report(&format!("variant {variant}: {problem}"));
                failures.push(kernel.name());
            }
        }
    }
    if !failures.is_empty() {
        return Err(JsError::new(&format!("wrong: {}", failures.join(", "))));
    }
    let values = equal_network(&Device::Gpu(gpu)).await?;
    Ok(format!(
        "{programs} programs of kernels agree, {values} values of LeNet-5 in int8 are equal"
    ))
}

/// Runs LeNet-5 in int8 and compares every value of every step; returns how many there are.
async fn equal_network(device: &Device) -> Result<usize, JsError> {
    let batch = 4;
    let images = random_images(&[batch, 28, 28, 1])?;
    let float = quant::prepare(
        &build("lenet5", batch, &random_weights("lenet5", 1)?)?,
        Scheme::INT8,
    )?;
    let int8 = int8(device, &float, &images, Requant::Fixed).await?;
    let plan = Arc::new(lower(&int8, &device.caps())?);
    let options = wizen::graph::SessionOptions {
        trace: true,
        ..Default::default()
    };
    let mut network = device.load_with(Arc::clone(&plan), options).await?;
    let mut values = 0;
    for step in compare_steps(&plan, &network.trace(&[&images]).await?)? {
        if step.differing > 0 {
            return Err(JsError::new(&format!("they must be equal: {step:?}")));
        }
        values += step.elements;
    }
    Ok(values)
}

async fn int8(
    device: &Device,
    float: &Graph,
    images: &Tensor,
    requant: Requant,
) -> wizen::Result<Graph> {
    let schemes = Scheme::INT8.into();
    let batches = std::iter::once(Ok(images.clone()));
    let found = quant::calibrate(device, float, batches, Observer::MinMax, &schemes).await?;
    let params = found.with_weights(quant::choose_weights(float, &schemes, None)?);
    quant::freeze(float, &params, requant)
}

fn random_images(shape: &[usize]) -> wizen::Result<Tensor> {
    let mut rng = Rng::new(2);
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform()).collect();
    Tensor::from_f32(shape, &pixels)
}

/// Times ResNet18 with random weights, one image: with the device's own choice of variants, and with each
/// forced where there is a choice.
///
/// # Errors
/// What the device reports.
#[wasm_bindgen]
pub async fn speed() -> Result<String, JsError> {
    let images = random_images(&[1, 224, 224, 3])?;
    let graph = build("resnet18", 1, &random_weights("resnet18", 1)?)?;
    let device = Device::Gpu(Gpu::open().await?);
    let float = quant::prepare(&graph, Scheme::INT8)?;
    let int8 = int8(&device, &float, &images, Requant::Float).await?;
    for forced in [None, Some("plain"), Some("workgroup")] {
        let options = GpuOptions {
            variant: forced.map(str::to_owned),
            ..AdapterChoice::Best.into()
        };
        let device = Device::Gpu(Gpu::open_with(&options).await?);
        for (precision, graph) in [("fp32", &float), ("int8", &int8)] {
            let start = Instant::now();
            let mut network = device.load(lower(graph, &device.caps())?).await?;
            network.run(&[&images]).await?;
            let first = start.elapsed().as_secs_f64();
            let mut runs = Vec::new();
            for _ in 0..5 {
                let start = Instant::now();
                network.run(&[&images]).await?;
                runs.push(start.elapsed().as_secs_f64());
            }
            runs.sort_by(f64::total_cmp);
            let (median, variant) = (1e3 * runs[2], forced.unwrap_or("its choice"));
            report(&format!(
                "ResNet18 {precision}, {variant}: {median:.0} ms; {first:.1} s until the first result"
            ));
        }
    }
    Ok("medians of 5 runs of one image".to_owned())
}
