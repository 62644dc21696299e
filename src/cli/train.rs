//! `wizen train`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use wizen::Result;
use wizen::compress::{self, FitOptions};
use wizen::io::{Augment, Dataset};
use wizen::models::random_weights;
use wizen::train::Optimizer;

use super::context::{Context, bytes, percent};
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
    /// Decay of weights, per step and unit of learning rate
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f32,
    /// Shift training images at random by up to this many pixels; 0 = off
    #[arg(long, default_value_t = 2)]
    pub shift: usize,
}

impl FitArgs {
    /// Options with defaults filled in; `adam_lr` is the command's learning rate for Adam.
    pub fn options(&self, epochs: usize, adam_lr: f32) -> FitOptions {
        let (optimizer, lr) = match self.optimizer {
            OptimizerName::Sgd => (Optimizer::SGD, 20.0 * adam_lr),
            OptimizerName::Adam => (Optimizer::ADAM, adam_lr),
            OptimizerName::Adamw => (Optimizer::ADAMW, adam_lr),
        };
        FitOptions {
            batch: self.batch,
            seed: self.seed,
            optimizer,
            weight_decay: self.weight_decay,
            ..FitOptions::new(epochs, self.lr.unwrap_or(lr))
        }
    }

    /// The data as it is changed at random.
    pub fn augmented(&self, data: Dataset) -> Dataset {
        let augment = Augment {
            shift: self.shift,
            ..data.augment()
        };
        data.with_augment(augment)
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
    let start_from = match &args.from {
        None => {
            let weights = random_weights(&args.arch, args.fit.seed)?;
            models::float_model(&args.arch, &weights)?
        }
        Some(path) => models::load(path, Some(&args.arch))?,
    };
    let folder = args.data.as_deref();
    let splits = data::splits_to_learn(context, folder, &start_from, (12_000, 2_000))?;
    let device = context.device().await?;
    let start = Instant::now();
    let options = args.fit.options(args.epochs, LR);
    let learn = args.fit.augmented(splits.train.clone());
    let job = context.job(&device);
    let (mut model, fit) = compress::train(&job, &start_from, &learn, &options).await?;
    model.preprocess = Some(learn.preprocess().clone());
    let test = compress::accuracy(&job, &model.runnable()?, &splits.test, None).await?;
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
