//! `wizen train`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::Result;
use wizen::compress;
use wizen::models::random_weights;

use super::context::{Context, bytes, percent};
use super::fit::{FitArgs, adopt, digest};
use super::{data, models};

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Architecture: lenet5, resnet18 and its like, or, for CIFAR, resnet20, resnet32, resnet44, resnet56
    #[arg(long, default_value = "lenet5")]
    arch: String,
    /// Folder with MNIST-style IDX files, CIFAR-10's binary batches or images; without it, synthetic digits
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
    let mut start_from = match &args.from {
        None => {
            let weights = random_weights(&args.arch, args.fit.seed)?;
            models::float_model(&args.arch, &weights)?
        }
        Some(path) => wizen::open(path, Some(&args.arch))?,
    };
    adopt(&mut start_from, args.fit.teacher.as_deref())?;
    let folder = args.data.as_deref();
    let splits = data::splits_to_learn(context, folder, &start_from, (12_000, 2_000))?;
    let learn = args.fit.augmented(splits.train.clone());
    let options = args.fit.options(args.epochs, LR, &learn)?;
    let from = args.from.as_deref().map_or(Ok(args.arch.clone()), digest)?;
    let run = [("command", "train".to_owned()), ("model", from)];
    let options = args.fit.kept(context, options, &learn, &args.out, &run)?;
    let device = context.device().await?;
    let start = Instant::now();
    let job = context.job(&device);
    let result = compress::train(&job, &start_from, &learn, &options).await;
    let (mut model, fit) = args.fit.ended(context, result)?;
    model.preprocess = Some(learn.preprocess().clone());
    let result = compress::accuracy(&job, &model.runnable()?, &splits.test, None).await;
    let test = args.fit.ended(context, result)?;
    let size = model.save(&args.out)?;
    args.fit.done()?;
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
