//! `wizen qat`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::compress;
use wizen::quant::LayerReport;
use wizen::{Error, Result};

use super::context::{Context, bytes, percent};
use super::data;
use super::fit::{FitArgs, digest};
use super::page::{Facts, write_report};
use super::quantize::{SchemeArgs, layer_table};

/// Peak learning rate of Adam for quantization-aware fine-tuning.
pub const LR: f32 = 1e-3;

#[derive(Debug, Args)]
pub struct QatArgs {
    /// fp32 model file
    model: PathBuf,
    /// Folder with MNIST-style IDX files or images; without it, synthetic digits
    #[arg(long)]
    data: Option<PathBuf>,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
    /// Passes over the training images
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    #[command(flatten)]
    scheme: SchemeArgs,
    #[command(flatten)]
    fit: FitArgs,
}

#[derive(Serialize)]
struct Output {
    scheme: String,
    accuracy: f64,
    loss: f32,
    layers: Vec<LayerReport>,
    bytes_before: u64,
    bytes_after: u64,
    seconds: f64,
    images_per_second: f64,
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<PathBuf>,
}

pub async fn run(context: &Context, args: QatArgs) -> Result<()> {
    let settings = args.scheme.options()?;
    let model = wizen::open(&args.model, None)?;
    let splits = data::splits_to_learn(context, args.data.as_deref(), &model, (12_000, 2_000))?;
    let learn = args.fit.augmented(splits.train.clone());
    let options = args.fit.options(args.epochs, LR, &learn)?;
    let run = [
        ("command", "qat".to_owned()),
        ("model", digest(&args.model)?),
        ("quantization", format!("{settings:?}")),
    ];
    let options = args.fit.kept(context, options, &learn, &args.out, &run)?;
    let device = context.device().await?;
    let start = Instant::now();
    let job = context.job(&device);
    let result = compress::qat(&job, &model, &learn, &settings, &options).await;
    let (result, fit) = args.fit.ended(context, result)?;
    let test = compress::accuracy(&job, &result.network.graph, &splits.test, None).await;
    let test = args.fit.ended(context, test)?;
    let size = result.network.save(&args.out)?;
    args.fit.done()?;
    let output = Output {
        scheme: settings.schemes.network().to_string(),
        accuracy: test.top1,
        loss: fit.loss,
        layers: result.layers,
        bytes_before: std::fs::metadata(&args.model)
            .map_err(Error::io(&args.model))?
            .len(),
        bytes_after: size.bytes,
        seconds: start.elapsed().as_secs_f64(),
        images_per_second: fit.images_per_second,
        device: device.name(),
        report: args.scheme.report,
    };
    let accuracy = format!(
        "Fine-tuned with quantization for {} epochs: {} right of {} test images.",
        args.epochs,
        percent(output.accuracy),
        test.images
    );
    let facts = Facts {
        scheme: &output.scheme,
        model: &args.model,
        data: args.data.as_deref(),
        notes: vec![accuracy],
        layers: &output.layers,
        bytes_before: output.bytes_before,
        bytes_after: output.bytes_after,
        seconds: output.seconds,
        device: &output.device,
    };
    write_report(output.report.as_ref(), &facts)?;
    context.finish(&output, || {
        format!(
            "{}\n{}: {} right of {} test images; {} -> {} bytes, {:.1} s on {}; wrote {}",
            layer_table(&output.layers),
            output.scheme,
            percent(output.accuracy),
            test.images,
            bytes(output.bytes_before),
            bytes(output.bytes_after),
            output.seconds,
            output.device,
            args.out.display()
        )
    })
}
