//! `wizen train`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use wizen::graph::Graph;
use wizen::models::random_weights;
use wizen::train::Optimizer;
use wizen::{Network, Result};

use super::context::{Context, bytes, percent};
use super::fit::{self, FitSettings};
use super::{data, models};

/// Update rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    Sgd,
    Adam,
    Adamw,
}

/// Options of every training loop.
#[derive(Clone, Debug, Args)]
pub struct FitArgs {
    /// Images per step
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Peak learning rate [default: depends on the command and the optimizer]
    #[arg(long)]
    pub lr: Option<f32>,
    /// Seed of initial weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Update rule
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerName,
    /// Shift training images at random by up to this many pixels; 0 = off
    #[arg(long, default_value_t = 2)]
    pub shift: usize,
}

impl FitArgs {
    /// Settings with defaults filled in; `adam_lr` is the command's learning rate for Adam.
    pub fn settings(&self, epochs: usize, adam_lr: f32) -> FitSettings {
        let (optimizer, lr) = match self.optimizer {
            OptimizerName::Sgd => (Optimizer::SGD, 20.0 * adam_lr),
            OptimizerName::Adam => (Optimizer::ADAM, adam_lr),
            OptimizerName::Adamw => (Optimizer::ADAMW, adam_lr),
        };
        let lr = self.lr.unwrap_or(lr);
        FitSettings {
            epochs,
            batch: self.batch,
            lr,
            seed: self.seed,
            optimizer,
            shift: self.shift,
        }
    }
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Architecture: lenet5
    #[arg(long, default_value = "lenet5")]
    arch: String,
    /// Folder with MNIST-style IDX files or images; without it, synthetic digits
    #[arg(long)]
    data: Option<PathBuf>,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
    /// Start from this model instead of random weights
    #[arg(long)]
    from: Option<PathBuf>,
    /// Passes over the training images
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    #[command(flatten)]
    fit: FitArgs,
}

#[derive(Serialize)]
struct Output {
    accuracy: f64,
    loss: f32,
    epochs: usize,
    seconds: f64,
    images_per_second: f64,
    data: String,
    device: String,
    bytes: u64,
}

/// Peak learning rate of Adam for training from scratch.
pub const LR: f32 = 2e-3;

pub async fn run(context: &Context, args: TrainArgs) -> Result<()> {
    let mut model = match &args.from {
        None => {
            let weights = random_weights(&args.arch, args.fit.seed)?;
            models::float_model(&args.arch, &weights)?
        }
        Some(path) => {
            let model = models::load(path, Some(&args.arch))?;
            Network {
                // Training moves weights that a mask had removed: they start at zero, without it.
                graph: without_masks(&model.float_graph("train --from")?)?,
                ..model
            }
        }
    };
    let folder = args.data.as_deref();
    let splits = data::splits_to_learn(context, folder, &model.graph, (12_000, 2_000))?;
    let device = context.device().await?;
    let start = Instant::now();
    let settings = args.fit.settings(args.epochs, LR);
    let (graph, fit) = fit::train(context, &device, &model.graph, &splits.train, &settings).await?;
    model.graph = graph;
    let test = fit::accuracy(context, &device, &model.graph, &splits.test, None).await?;
    let with = format!(
        "{} epochs on {}, seed {}",
        args.epochs,
        splits.train.name(),
        settings.seed
    );
    let model = model.after("train", with);
    let size = model.save(&args.out)?;
    let output = Output {
        accuracy: test.top1,
        loss: fit.loss,
        epochs: args.epochs,
        seconds: start.elapsed().as_secs_f64(),
        images_per_second: fit.images_per_second,
        data: splits.train.name().to_owned(),
        device: device.name(),
        bytes: size.bytes,
    };
    context.finish(&output, || {
        format!(
            "{}: {} right of {} {} images of {}, loss {:.4}\n{} images/s on {}, {:.1} s; wrote {} ({} bytes)",
            model.arch,
            percent(output.accuracy),
            test.images,
            if splits.held_out { "test" } else { "training" },
            output.data,
            output.loss,
            output.images_per_second.round(),
            output.device,
            output.seconds,
            args.out.display(),
            bytes(output.bytes),
        )
    })
}

fn without_masks(graph: &Graph) -> Result<Graph> {
    let mut out = graph.clone();
    for (id, _) in graph.values().filter(|(id, _)| graph.mask(*id).is_some()) {
        out.set_mask(id, None)?;
    }
    Ok(out)
}
