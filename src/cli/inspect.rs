//! `wizen inspect`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wizen::base::Preprocess;
use wizen::gpu::Caps;
use wizen::graph::lower;
use wizen::{Error, Event, LayerInfo, Result};

use super::context::{Context, bytes, percent, table};
use super::models::ModelArgs;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Model file
    model: PathBuf,
    #[command(flatten)]
    file: ModelArgs,
    /// Also print the graph and the plan
    #[arg(long)]
    plan: bool,
}

#[derive(Serialize)]
struct Output {
    arch: String,
    precision: String,
    layers: Vec<LayerInfo>,
    bytes: u64,
    macs: u64,
    sparsity: f64,
    dispatches: usize,
    weight_bytes_on_device: usize,
    activation_bytes: usize,
    activation_bytes_lower_bound: usize,
    /// What is done to pictures; none if the file does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    preprocess: Option<Preprocess>,
    labels: Vec<String>,
    history: Vec<Event>,
}

pub fn run(context: &Context, args: InspectArgs) -> Result<()> {
    let model = args.file.open(&args.model)?;
    let network = model.runnable()?;
    let plan = lower(&network, &Caps::portable())?;
    let output = Output {
        arch: model.arch.clone(),
        precision: model.precision(),
        layers: model.layers(),
        bytes: std::fs::metadata(&args.model)
            .map_err(Error::io(&args.model))?
            .len(),
        macs: model.macs(),
        sparsity: model.sparsity(),
        dispatches: plan.steps.len(),
        weight_bytes_on_device: plan.const_bytes(),
        activation_bytes: plan.activation_bytes(),
        activation_bytes_lower_bound: plan.activation_lower_bound(),
        preprocess: model.preprocess.clone(),
        labels: model.labels.clone(),
        history: model.history.clone(),
    };
    context.finish(&output, || {
        let mut rows = table(&["layer", "op", "shape", "type", "bits", "zeros", "MACs", "scale", "zero point"]);
        for l in &output.layers {
            rows.add_row(vec![
                l.name.clone(),
                l.op.clone(),
                format!("{:?}", l.shape),
                l.dtype.clone(),
                l.bits.to_string(),
                percent(l.sparsity),
                bytes(l.macs),
                l.output_scale.map_or(String::new(), |s| format!("{s:.6}")),
                l.output_zero_point.map_or(String::new(), |z| z.to_string()),
            ]);
        }
        let mut text = format!(
            "{} {}, {} bytes, {} MACs per image, {} of the weights are zero\n{rows}\n\
             one image: {} dispatches, {} bytes of weights and {} of activations on the device (at least {})\n",
            output.arch,
            output.precision,
            bytes(output.bytes),
            bytes(output.macs),
            percent(output.sparsity),
            output.dispatches,
            bytes(output.weight_bytes_on_device as u64),
            bytes(output.activation_bytes as u64),
            bytes(output.activation_bytes_lower_bound as u64),
        );
        if let Some(preprocess) = &output.preprocess {
            text.push_str(&format!("pictures: {preprocess}\n"));
        }
        if !output.labels.is_empty() {
            text.push_str(&format!("classes: {}\n", output.labels.join(", ")));
        }
        for event in &output.history {
            text.push_str(&format!("{}: {}\n", event.did, event.with));
        }
        if args.plan {
            let (stored, fused) = (model.graph.to_string(), network.to_string());
            text.push_str(&format!("\n{stored}"));
            if fused != stored {
                text.push_str(&format!("\nas it runs:\n{fused}"));
            }
            text.push_str(&format!("\n{plan}"));
        }
        text
    })
}
