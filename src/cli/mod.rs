//! One file per command, and what they share.

mod bench;
mod compare;
mod context;
mod convert;
mod data;
mod demo;
mod devices;
mod eval;
mod explain;
mod fit;
mod inspect;
mod judge;
mod models;
mod page;
mod pictures;
mod predict;
mod prune;
mod qat;
mod quantize;
mod run;
mod speed;
mod train;

use clap::{Args as ClapArgs, Parser, Subcommand};
use wizen::Result;

/// Compress neural networks on any GPU: prune, calibrate, quantize, fine-tune, run.
#[derive(Debug, Parser)]
#[command(name = "wizen", version, about, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Clone, Debug, ClapArgs)]
pub struct Common {
    /// Where to compute: auto (the best GPU, else the CPU), cpu, gpu (fails without one), or the index
    /// or part of the name of an adapter as `wizen devices` lists them
    #[arg(long, global = true, default_value = "auto")]
    pub device: String,
    /// Print one JSON object on stdout instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Keep no compiled GPU pipelines on disk; WIZEN_CACHE=off does the same, WIZEN_CACHE=DIR keeps them in
    /// that folder instead of the user's cache folder
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// Take this variant of every kernel that has it: plain, subgroup, workgroup or depthwise
    #[arg(long, global = true, hide = true, value_name = "NAME")]
    pub variant: Option<wizen::kernels::Variant>,
    /// More log lines on stderr
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the GPUs of this machine and what they can do
    Devices,
    /// Everything end to end on MNIST: train, int8, prune, fine-tune, low bits, report
    Demo(demo::DemoArgs),
    /// Train a network from scratch, or further
    Train(train::TrainArgs),
    /// Accuracy of a model at its own precision
    Eval(eval::EvalArgs),
    /// Classes of photographs, with probabilities
    Predict(predict::PredictArgs),
    /// Post-training quantization
    Quantize(quantize::QuantizeArgs),
    /// Quantization-aware fine-tuning, then quantization
    Qat(qat::QatArgs),
    /// Remove weights or channels, with or without fine-tuning
    Prune(prune::PruneArgs),
    /// Run a model on two devices (or two models) step by step and compare every value
    Compare(compare::CompareArgs),
    /// Any network on arrays or pictures: its results as arrays, or a picture
    Run(run::RunArgs),
    /// Another form of a model's file, the same numbers: ONNX in, ONNX out
    Convert(convert::ConvertArgs),
    /// Layers, shapes, types, scales, sparsity, size and history of a model
    Inspect(inspect::InspectArgs),
    /// Latency per layer and in all, at every precision, on this device
    Bench(bench::BenchArgs),
}

/// Runs the command that was asked for.
pub async fn run(args: Args) -> Result<()> {
    let context = context::Context::new(args.common);
    match args.command {
        Command::Devices => devices::run(&context).await,
        Command::Demo(args) => demo::run(&context, args).await,
        Command::Train(args) => train::run(&context, args).await,
        Command::Eval(args) => eval::run(&context, args).await,
        Command::Predict(args) => predict::run(&context, args).await,
        Command::Quantize(args) => quantize::run(&context, args).await,
        Command::Qat(args) => qat::run(&context, args).await,
        Command::Prune(args) => prune::run(&context, args).await,
        Command::Compare(args) => compare::run(&context, args).await,
        Command::Run(args) => run::run(&context, args).await,
        Command::Convert(args) => convert::run(&context, args),
        Command::Inspect(args) => inspect::run(&context, args),
        Command::Bench(args) => bench::run(&context, args).await,
    }
}
