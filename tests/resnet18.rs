//! The real ResNet18 on real photographs, against the logits that PyTorch computed for them.

use std::path::Path;
use std::sync::Arc;

use wizen::Network;
use wizen::base::{Preprocess, Requant, Tensor};
use wizen::graph::{Device, Graph, Plan, SessionOptions, compare_steps, lower, optimize, sqnr_db};
use wizen::io::{Dataset, Loaded, float_tensors, load_image_folder, read_safetensors};
use wizen::models::{self, Imported};
use wizen::quant::{self, Observer, Scheme};
use wizen::train::argmax_rows;

use crate::data::real;
use crate::harness;

/// Photographs judged.
const IMAGES: usize = 10;
/// Photographs calibrated on.
const CALIBRATED: usize = 16;

fn network(file: &Path) -> Graph {
    let Loaded::Foreign(tensors) = Network::load(file).expect("readable") else {
        panic!("not a foreign file");
    };
    let floats = float_tensors(&tensors).expect("float");
    let Imported { arch, weights, .. } =
        models::import(None, &floats).expect("torchvision's names");
    assert_eq!(arch, "resnet18");
    let graph = wizen::models::build(&arch, 1, &weights).expect("builds");
    optimize(&graph).expect("folds")
}

fn photographs(folder: &Path) -> Dataset {
    load_image_folder(
        folder,
        &Preprocess::preset("imagenet", [224, 224, 3]).expect("a preset"),
    )
    .expect("complete")
}

fn batch(data: &Dataset, first: usize, count: usize) -> Tensor {
    let indices: Vec<usize> = (first..first + count).collect();
    data.batch(&indices).expect("in range").0
}

/// PyTorch's logits for the first photographs.
fn reference(file: &Path) -> Vec<f64> {
    let contents = read_safetensors(file).expect("readable");
    let (_, tensor) = contents.1.into_iter().next().expect("one tensor");
    assert_eq!(tensor.shape[1], 1000);
    let logits = tensor.to_f32().expect("float").into_iter();
    logits.take(IMAGES * 1000).map(f64::from).collect()
}

/// Logits of the first photographs, one at a time: as many pipelines for all precisions as layers differ.
fn logits(device: &Device, graph: &Graph, data: &Dataset) -> Vec<f64> {
    pollster::block_on(async {
        let mut network = device.load(lower(graph, &device.caps())?).await?;
        let mut out = Vec::new();
        for i in 0..IMAGES {
            out.extend(network.run(&[&batch(data, i, 1)]).await?[0].to_f64());
        }
        Ok::<_, wizen::Error>(out)
    })
    .expect("runs")
}

fn classes(logits: &[f64]) -> Vec<usize> {
    let values: Vec<f32> = logits.iter().map(|&x| x as f32).collect();
    argmax_rows(&Tensor::from_f32(&[values.len() / 1000, 1000], &values).expect("rows of 1000"))
}

#[test]
fn photographs_get_the_logits_of_pytorch() {
    let Some(gpu) = harness::gpu() else { return };
    let Some(weights) = real("resnet18/resnet18.safetensors") else {
        return;
    };
    let Some(folder) = real("imagenet-mini") else {
        return;
    };
    let device = Device::Gpu(gpu);
    let float = network(&weights);
    let eval = photographs(&folder.join("eval"));
    let want = reference(&folder.join("eval_logits_fp32.safetensors"));
    let largest = want.iter().fold(0.0f64, |a, x| a.max(x.abs()));

    let fp32 = logits(&device, &float, &eval);
    let difference = fp32.iter().zip(&want).map(|(a, b)| (a - b).abs());
    let worst = difference.fold(0.0, f64::max) / largest;
    println!("fp32: {worst:.2e} of the largest logit");
    assert!(worst <= 1e-3, "fp32 is {worst:e} of the largest logit off");
    assert_eq!(classes(&fp32), classes(&want));

    let half = quant::to_f16(&float, &Default::default()).expect("small weights");
    let fp16 = logits(&device, &half, &eval);
    assert_eq!(classes(&fp16), classes(&want));
    // PyTorch's own fp16 reaches 63.7 dB on these photographs; ours accumulates in f32.
    let sqnr = sqnr_db(&want, &fp16).expect("not exact");
    println!("fp16: {sqnr:.1} dB");
    assert!(sqnr >= 60.0, "fp16: {sqnr} dB");

    let calib = photographs(&folder.join("calib"));
    let schemes = Scheme::INT8.into();
    let batches = (0..CALIBRATED).map(|i| Ok(vec![batch(&calib, i, 1)]));
    let found = pollster::block_on(quant::calibrate(
        &device,
        &float,
        batches,
        Observer::Auto,
        &schemes,
    ));
    let weights = quant::choose_weights(&float, &schemes, None).expect("finite");
    let params = found.expect("calibrates").with_weights(weights);
    let int8 = quant::freeze(&float, &params, Requant::Fixed).expect("freezes");
    let quantized = logits(&device, &int8, &eval);
    let sqnr = sqnr_db(&want, &quantized).expect("not exact");
    println!("int8: {sqnr:.1} dB");
    // ONNX Runtime's best on these photographs, with all of `calib`, is 32.2 dB.
    assert!(sqnr >= 32.2, "int8: {sqnr} dB");
    let same = classes(&quantized)
        .iter()
        .zip(classes(&want))
        .filter(|(a, b)| **a == *b)
        .count();
    assert!(same + 1 >= IMAGES, "int8: {same} of {IMAGES} classes");

    // Integers only: every value of the network is the same on the CPU.
    let plan: Arc<Plan> = Arc::new(lower(&int8, &device.caps()).expect("lowers"));
    assert!(plan.steps.len() <= 25, "{} dispatches", plan.steps.len());
    let options = SessionOptions {
        trace: true,
        ..Default::default()
    };
    let trace = pollster::block_on(async {
        let mut traced = device.load_with(Arc::clone(&plan), options).await?;
        traced.trace(&[&batch(&eval, 3, 1)]).await
    })
    .expect("runs");
    for step in compare_steps(&plan, &trace).expect("runs") {
        assert_eq!(step.differing, 0, "{step:?}");
    }
}
