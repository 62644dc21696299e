//! `wizen qat`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::compress::{self, OutputAgreement};
use wizen::quant::LayerReport;
use wizen::{Error, Result};

use super::context::{Context, bytes};
use super::data::DataArgs;
use super::fit::{FitArgs, digest};
use super::judge::{judge, verdict};
use super::models::ModelArgs;
use super::page::{Facts, write_report};
use super::quantize::{SchemeArgs, layer_table};

/// Peak learning rate of Adam for quantization-aware fine-tuning.
pub const LR: f32 = 1e-3;

#[derive(Debug, Args)]
pub struct QatArgs {
    /// fp32 model file
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
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
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Output {
    scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    /// Without labels: how close each result is to the float network's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputAgreement>,
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
    let settings = args.scheme.options(args.fit.seed)?;
    args.fit.may_write(&args.out, Some(&args.model))?;
    let mut model = args.file.open(&args.model)?;
    args.data.prepare(context, &mut model)?;
    let eval = args.scheme.eval_data.as_deref();
    let sets = args.data.sets(context, &model, eval, (12_000, 2_000))?;
    sets.warn(context);
    let learn = args.fit.augmented(sets.learn.clone());
    let options = args
        .fit
        .options(args.epochs, LR, &learn, &args.file.inputs)?;
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
    let made = result.network.runnable()?;
    let judged = judge(&job, &model.runnable()?, &made, &sets.judge).await;
    let judged = args.fit.ended(context, judged)?;
    let size = wizen::save(&result.network, &args.out)?;
    args.fit.done()?;
    let output = Output {
        scheme: settings.schemes.network().to_string(),
        accuracy: judged.accuracy,
        outputs: judged.outputs,
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
    let verdict = verdict(output.accuracy, &output.outputs, &sets);
    let accuracy = format!(
        "Fine-tuned with quantization for {} epochs: {verdict}.",
        args.epochs
    );
    let facts = Facts {
        scheme: &output.scheme,
        model: &args.model,
        data: args.data.data.as_deref(),
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
            "{}\n{}: {verdict}; {} -> {} bytes, {:.1} s on {}; wrote {}",
            layer_table(&output.layers),
            output.scheme,
            bytes(output.bytes_before),
            bytes(output.bytes_after),
            output.seconds,
            output.device,
            args.out.display()
        )
    })
}
