//! `wizen quantize`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use wizen::base::Requant;
use wizen::quant::{LayerReport, LayerSchemes, Observer, Scheme};
use wizen::{Error, Network, Result};

use super::context::{Context, bytes, may_write, percent, table};
use super::data::{DataArgs, Sets};
use super::judge::close;
use super::models::ModelArgs;
use super::page::{Facts, write_report};
use wizen::compress::{self, Ends, Method, OutputAgreement, QuantizeOptions, Reconstruction};
use wizen::data::Data;

/// Rounding rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RequantName {
    /// One f32 multiplication, as PyTorch on x86
    Float,
    /// Integers only: equal on every device
    Fixed,
}

/// How weights become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Each to the nearest
    Round,
    /// Layer by layer, so that each makes what the float layer makes
    Reconstruct,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Round => Self::Round,
            MethodName::Reconstruct => Self::Reconstruct,
        }
    }
}

/// Layers that keep 8 bits.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EndsName {
    /// None
    None,
    /// The first with weights
    First,
    /// The first and the last
    Both,
}

impl From<EndsName> for Ends {
    fn from(name: EndsName) -> Self {
        match name {
            EndsName::None => Self::None,
            EndsName::First => Self::First,
            EndsName::Both => Self::Both,
        }
    }
}

/// Options of quantization.
#[derive(Clone, Debug, Args)]
pub struct SchemeArgs {
    /// fp16, int8, int8-torch, int8-onnx, wNaM (w4a8), wN (weights only)
    #[arg(long, default_value = "int8")]
    pub scheme: String,
    /// Another scheme for one layer, for example fc3=w8a8, or fc3=float to leave it as it is; may be repeated
    #[arg(long = "layer", value_name = "LAYER=SCHEME")]
    pub layers: Vec<String>,
    /// How ranges of activations are found: auto, minmax, moving-average, histogram, mse, percentile,
    /// entropy [default: histogram for int8-torch, minmax for int8-onnx, else auto]
    #[arg(long)]
    pub observer: Option<String>,
    /// How ranges of weights are found: minmax, mse [default: minmax at 8 bits, else mse]
    #[arg(long)]
    pub weights: Option<String>,
    /// Calibration images, spread over all there are; labels are not needed
    #[arg(long, default_value_t = 512)]
    pub calib: usize,
    /// Other images to judge by than those of --data
    #[arg(long, value_name = "DIR")]
    pub eval_data: Option<PathBuf>,
    /// Layers that stay float, in the middle of integers; may be repeated
    #[arg(long = "keep-float", value_name = "LAYER", num_args = 1..)]
    pub keep_float: Vec<String>,
    /// As few layers stay float, those that cost most, as it takes for every result to be this close to the float
    /// network's (dB, on a sample of the calibration data)
    #[arg(long, value_name = "DB")]
    pub auto_float: Option<f64>,
    /// Images on which the cost of each layer alone is measured; 0 = not at all
    #[arg(long, default_value_t = 4)]
    pub alone: usize,
    /// How accumulators are rounded
    #[arg(long, value_enum, default_value = "float")]
    pub requant: RequantName,
    /// Write a page about every layer: errors, ranges, what it costs alone
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

impl SchemeArgs {
    pub fn options(&self, seed: u64) -> Result<QuantizeOptions> {
        let scheme: Scheme = self.scheme.parse()?;
        if self.calib == 0 {
            return Err(Error::invalid(
                "--calib",
                "calibration needs at least one image",
            ));
        }
        let mut schemes = LayerSchemes::from(scheme);
        for text in &self.layers {
            let (layer, scheme) = text.split_once('=').ok_or_else(|| {
                Error::invalid(
                    "--layer",
                    format!("`{text}` is not LAYER=SCHEME, for example fc3=w8a8 or conv1=float"),
                )
            })?;
            schemes = match scheme {
                "float" | "fp32" => schemes.with_float(layer),
                scheme => schemes.with(layer, scheme.parse()?)?,
            };
        }
        for layer in &self.keep_float {
            schemes = schemes.with_float(layer);
        }
        let weights = self.weights.as_deref().map(str::parse).transpose()?;
        let requant = match self.requant {
            RequantName::Float => Requant::Float,
            RequantName::Fixed => Requant::Fixed,
        };
        let observer = match &self.observer {
            Some(name) => Some(name.parse::<Observer>()?),
            None => None,
        };
        Ok(QuantizeOptions {
            schemes,
            observer,
            weights,
            requant,
            items: self.calib,
            seed,
            alone: self.alone,
            auto_float: self.auto_float,
            ..QuantizeOptions::default()
        })
    }
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// fp32 model file
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
    /// Seed of the choice of calibration images
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write over the model that is read
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    scheme: SchemeArgs,
    /// How weights become integers [default: reconstruct from 2 to 7 bits, else round]
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Layers that keep 8 bits in a network of fewer [default: first, where weights are reconstructed]
    #[arg(long, value_enum)]
    keep_ends: Option<EndsName>,
    /// Leave channels as they are; int8 and wNaM otherwise scale those of one layer to like ranges, and the
    /// next layer's weights by as much the other way
    #[arg(long)]
    no_equalize: bool,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Output {
    scheme: String,
    layers: Vec<LayerReport>,
    bytes_before: u64,
    bytes_after: u64,
    /// Of the float network and of what became of it, on `--eval-data` with labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<[f64; 2]>,
    /// With `--eval-data`: how close each result is to the float network's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputAgreement>,
    /// How close reconstruction came, on what it saw and on what it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reconstruction: Option<Reconstruction>,
    seconds: f64,
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<PathBuf>,
}

pub async fn run(context: &Context, args: QuantizeArgs) -> Result<()> {
    let settings = QuantizeOptions {
        equalize: !args.no_equalize,
        method: args.method.map(Into::into),
        ends: args.keep_ends.map(Into::into),
        ..args.scheme.options(args.seed)?
    };
    may_write(&args.out, &[Some(&args.model)], args.force)?;
    let mut model = args.file.open(&args.model)?;
    args.data.prepare(context, &mut model)?;
    let sets = calibration_sets(context, &args.data, &args.scheme, &model)?;
    let device = context.device().await?;
    let start = Instant::now();
    let job = context.job(&device);
    let result = compress::quantize(&job, &model, &sets.learn, &settings).await?;
    let (mut accuracy, mut outputs) = (None, Vec::new());
    if args.scheme.eval_data.is_some() {
        let (float, made) = (model.runnable()?, result.network.runnable()?);
        outputs = compress::agreement(&job, &float, &made, &sets.judge).await?;
        if sets.judge.labels().is_some() {
            let before = compress::accuracy(&job, &float, &sets.judge, None).await?;
            let after = compress::accuracy(&job, &made, &sets.judge, None).await?;
            accuracy = Some([before.top1, after.top1]);
        }
    }
    let size = wizen::save(&result.network, &args.out)?;
    let output = Output {
        scheme: settings.schemes.network().to_string(),
        layers: result.layers,
        bytes_before: std::fs::metadata(&args.model)
            .map_err(Error::io(&args.model))?
            .len(),
        bytes_after: size.bytes,
        accuracy,
        outputs,
        reconstruction: result.reconstruction,
        seconds: start.elapsed().as_secs_f64(),
        device: device.name(),
        report: args.scheme.report,
    };
    let facts = Facts {
        scheme: &output.scheme,
        model: &args.model,
        data: args.data.data.as_deref(),
        notes: [format!(
            "Ranges of activations from {} images.",
            settings.items.min(sets.learn.len())
        )]
        .into_iter()
        .chain(judged(&output))
        .collect(),
        layers: &output.layers,
        bytes_before: output.bytes_before,
        bytes_after: output.bytes_after,
        seconds: output.seconds,
        device: &output.device,
    };
    write_report(output.report.as_ref(), &facts)?;
    context.finish(&output, || {
        let judged: Vec<String> = judged(&output).map(|line| format!("\n{line}")).collect();
        format!(
            "{}{}\n{} -> {} bytes, {:.1} s on {}; wrote {}",
            layer_table(&output.layers),
            judged.concat(),
            bytes(output.bytes_before),
            bytes(output.bytes_after),
            output.seconds,
            output.device,
            args.out.display()
        )
    })
}

/// The data to calibrate on; it needs no labels, nor classes that are known.
fn calibration_sets(
    context: &Context,
    data: &DataArgs,
    scheme: &SchemeArgs,
    model: &Network,
) -> Result<Sets> {
    let eval = scheme.eval_data.as_deref();
    let sets = data.raw(model, eval, (1_000, 1))?;
    match eval {
        Some(_) => sets.numbered(context, model),
        None => {
            sets.say_notes(context);
            Ok(sets)
        }
    }
}

/// What became of the weights, in sentences.
fn reconstruction(made: &Reconstruction) -> Vec<String> {
    let decibels = |db: Option<f64>| db.map_or("exact".to_owned(), |db| format!("{db:.1} dB"));
    let judged = match made.held_back {
        0 => "too few to keep any back".to_owned(),
        held_back => format!(
            "{} on {held_back} of them, {} on as many that were kept back",
            decibels(made.sqnr_db),
            decibels(made.held_back_sqnr_db)
        ),
    };
    let mut said = vec![format!(
        "Reconstructed from {} images: {judged}.",
        made.items
    )];
    let rounded = "have too many inputs, or one bit, and are only rounded";
    let unrepaired = "have more inputs than there are samples and repair no errors of what they read; \
                      more images (--calib) help";
    for (layers, what) in [(&made.rounded, rounded), (&made.unrepaired, unrepaired)] {
        if !layers.is_empty() {
            said.push(format!("Layers that {what}: {}.", layers.join(", ")));
        }
    }
    said
}

/// What `--eval-data` and reconstruction said, in sentences.
fn judged(output: &Output) -> impl Iterator<Item = String> + '_ {
    let accuracy = output.accuracy.map(|[before, after]| {
        format!(
            "Accuracy on --eval-data: {} before, {} after.",
            percent(before),
            percent(after)
        )
    });
    let outputs = output
        .outputs
        .iter()
        .map(|result| format!("On --eval-data, {}.", close(result)));
    let reconstruction = output.reconstruction.iter().flat_map(reconstruction);
    accuracy.into_iter().chain(outputs).chain(reconstruction)
}

/// Per-layer errors as a table.
pub fn layer_table(layers: &[LayerReport]) -> comfy_table::Table {
    let mut table = table(&[
        "layer",
        "bits",
        "weight SQNR dB",
        "clipped",
        "output SQNR dB",
        "cosine",
        "range",
        "clipped",
        "alone dB",
    ]);
    let decibel = |x: Option<f64>| x.map_or("exact".to_owned(), |x| format!("{x:.1}"));
    for layer in layers {
        let range = layer.range.map_or("float".to_owned(), |[low, high]| {
            format!("{low:.2} to {high:.2}")
        });
        table.add_row(vec![
            layer.name.clone(),
            layer.bits.to_string(),
            decibel(layer.weight_sqnr_db),
            percent(layer.weight_clipped),
            decibel(layer.sqnr_db),
            format!("{:.5}", layer.cosine),
            range,
            percent(layer.clipped),
            layer
                .alone_sqnr_db
                .map_or("-".to_owned(), |x| format!("{x:.1}")),
        ]);
    }
    table
}
