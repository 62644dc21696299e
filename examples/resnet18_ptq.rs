//! A ResNet18 checkpoint to int8, judged against itself: import, calibrate, quantize, run, save.
//!
//! `cargo run --release --example resnet18_ptq resnet18.safetensors CALIBRATION_FOLDER TEST_FOLDER`

use wizen::base::{Preprocess, Requant};
use wizen::gpu::Gpu;
use wizen::graph::{Device, Graph, lower, optimize, sqnr_db};
use wizen::io::{Dataset, Loaded, float_tensors, load_image_folder};
use wizen::models::Imported;
use wizen::quant::{self, Observer, Scheme};
use wizen::{Network, models};

async fn logits(device: &Device, graph: &Graph, images: &Dataset) -> wizen::Result<Vec<f64>> {
    let mut network = device.load(lower(graph, &device.caps())?).await?;
    let mut out = Vec::new();
    for i in 0..images.len() {
        out.extend(network.run(&[&images.batch(&[i])?.0]).await?[0].to_f64());
    }
    Ok(out)
}

async fn run(file: &str, calibration: &str, test: &str) -> wizen::Result<()> {
    let Loaded::Foreign(tensors) = Network::load(file)? else {
        return Err(wizen::Error::format(file, "it is no foreign checkpoint"));
    };
    let Imported { arch, weights, .. } = models::import(None, &float_tensors(&tensors)?)?;
    let float = optimize(&models::build(&arch, 1, &weights)?)?;

    let device = Device::Gpu(Gpu::open().await?);
    let preprocess = Preprocess::preset("imagenet", [224, 224, 3])?;
    let images = load_image_folder(calibration, &preprocess)?;
    let batches = (0..images.len()).map(|i| Ok(vec![images.batch(&[i])?.0]));
    let schemes = Scheme::INT8.into();
    let found = quant::calibrate(&device, &float, batches, Observer::Auto, &schemes).await?;
    let params = found.with_weights(quant::choose_weights(&float, &schemes, None)?);
    let int8 = quant::freeze(&float, &params, Requant::Fixed)?;

    let images = load_image_folder(test, &preprocess)?.take(20);
    let (want, got) = (
        logits(&device, &float, &images).await?,
        logits(&device, &int8, &images).await?,
    );
    println!("int8 logits: {:?} dB", sqnr_db(&want, &got));
    let model = Network::new(arch, int8).after("quantize", "int8");
    println!(
        "{} bytes in resnet18-int8.st",
        model.save("resnet18-int8.st")?.bytes
    );
    Ok(())
}

fn main() -> wizen::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, calibration, test] = &args[..] else {
        return Err(wizen::Error::invalid(
            "usage",
            "resnet18_ptq CHECKPOINT CALIBRATION TEST",
        ));
    };
    pollster::block_on(run(file, calibration, test))
}
