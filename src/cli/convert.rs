//! `wizen convert`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wizen::quant::{Scheme, prepare, to_f16};
use wizen::{Error, Result};

use super::context::{Context, bytes, may_write};
use super::models::ModelArgs;
use super::pictures::PictureArgs;

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Model file
    model: PathBuf,
    /// The new file: .onnx, or .safetensors for wizen's own form
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Weights and activations of a float model in f16
    #[arg(long)]
    fp16: bool,
    /// Write to --out even if it is the model itself
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Output {
    file: PathBuf,
    precision: String,
    bytes_before: u64,
    bytes_after: u64,
    /// Operations of the network.
    ops: usize,
}

pub fn run(context: &Context, args: ConvertArgs) -> Result<()> {
    let mut network = args.file.open(&args.model)?;
    may_write(&args.out, &[Some(&args.model)], args.force)?;
    if !args.pictures.is_empty() {
        args.pictures.prepare(&mut network)?;
    }
    if args.fp16 {
        let graph = network.float_graph("convert --fp16")?;
        let graph = prepare(&graph, Scheme::Fp16)?;
        network.graph = to_f16(&graph, &std::collections::BTreeSet::new())?;
        network = network.after("convert", "fp16");
    }
    let before = std::fs::metadata(&args.model).map_err(Error::io(&args.model))?;
    let size = wizen::save(&network, &args.out)?;
    let output = Output {
        file: args.out,
        precision: network.precision(),
        bytes_before: before.len(),
        bytes_after: size.bytes,
        ops: network.graph.nodes().len(),
    };
    context.finish(&output, || {
        format!(
            "{} -> {}: {}, {} operations, {} bytes -> {} bytes",
            args.model.display(),
            output.file.display(),
            output.precision,
            output.ops,
            bytes(output.bytes_before),
            bytes(output.bytes_after)
        )
    })
}
