//! `wizen train`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::base::Preprocess;
use wizen::compress;
use wizen::data::Data;
use wizen::io::read_class_names;
use wizen::models::random_weights;
use wizen::{Error, Network, Result};

use super::context::{Context, bytes};
use super::data::{DataArgs, Source};
use super::fit::{FitArgs, adopt, digest};
use super::judge::{judge, verdict};
use super::models::{self, InputArgs};

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Architecture: lenet5, resnet18 and its like, or, for CIFAR, resnet20, resnet32, resnet44, resnet56
    /// [default: that of --from, else lenet5]
    #[arg(long)]
    arch: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Other images to judge by than those of --data
    #[arg(long, value_name = "DIR")]
    eval_data: Option<PathBuf>,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
    /// Start from this model instead of random weights
    #[arg(long)]
    from: Option<PathBuf>,
    /// Put a new last layer on it, for the classes of the data (in the order of --labels, else of their names)
    #[arg(long)]
    new_head: bool,
    /// Passes over the training images
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    inputs: InputArgs,
}

#[derive(Serialize)]
struct Output {
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
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
    args.fit.may_write(&args.out, args.from.as_deref())?;
    let (mut start_from, from) = match &args.from {
        None => {
            let arch = args.arch.as_deref().unwrap_or("lenet5");
            let weights = random_weights(arch, args.fit.seed)?;
            (models::float_model(arch, &weights)?, arch.to_owned())
        }
        Some(path) => (args.inputs.open(path, args.arch.as_deref())?, digest(path)?),
    };
    adopt(&mut start_from, args.fit.teacher.as_deref(), &args.inputs)?;
    if let (None, None, Some(shape)) =
        (&args.from, &start_from.preprocess, start_from.image_shape())
    {
        // A network that has seen nothing takes what suits its input.
        start_from.preprocess = Some(Preprocess::for_input(shape)?);
    }
    match args.new_head {
        true => args.data.prepare_pictures(context, &mut start_from)?,
        false => args.data.prepare(context, &mut start_from)?,
    }
    let eval = args.eval_data.as_deref();
    let sets = args.data.raw(&start_from, eval, (12_000, 2_000))?;
    if args.new_head {
        let own = class_names(&sets.learn)?;
        // The order that the user wants, or that of the data.
        let names = match &args.data.labels {
            Some(path) => read_class_names(path, own.len())?,
            None => own,
        };
        start_from = start_from.with_new_head(&names, args.fit.seed)?;
    }
    let sets = sets.numbered(context, &start_from)?;
    sets.warn(context);
    if start_from.labels.is_empty() {
        start_from.labels = names_that_fit(&sets.learn, &start_from);
    }
    let learn = args.fit.augmented(sets.learn.clone());
    let options = args.fit.options(args.epochs, LR, &learn, &args.inputs)?;
    let head = args.new_head.to_string();
    let run = [
        ("command", "train".to_owned()),
        ("model", from),
        ("--new-head", head),
    ];
    let options = args.fit.kept(context, options, &learn, &args.out, &run)?;
    let device = context.device().await?;
    let start = Instant::now();
    let job = context.job(&device);
    let result = compress::train(&job, &start_from, &learn, &options).await;
    let (model, fit) = args.fit.ended(context, result)?;
    let (before, made) = (start_from.runnable()?, model.runnable()?);
    let judged = judge(&job, &before, &made, &sets.judge).await;
    let judged = args.fit.ended(context, judged)?;
    let size = wizen::save(&model, &args.out)?;
    args.fit.done()?;
    let output = Output {
        accuracy: judged.accuracy,
        loss: fit.loss,
        epochs: args.epochs,
        seconds: start.elapsed().as_secs_f64(),
        images_per_second: fit.images_per_second,
        data: sets.learn.name().to_owned(),
        device: device.name(),
        bytes: size.bytes,
    };
    context.finish(&output, || {
        format!(
            "{}: {} of {}, loss {:.4}\n{} images/s on {}, {:.1} s; wrote {} ({} bytes)",
            model.arch,
            verdict(output.accuracy, &judged.outputs, &sets),
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

/// What the classes of data are called that a new last layer is for: by their numbers if they have no names.
fn class_names(data: &Source) -> Result<Vec<String>> {
    match data {
        Source::Pictures(pictures) if data.labels().is_some() => Ok(match pictures.class_names() {
            [] => (0..pictures.classes()).map(|n| n.to_string()).collect(),
            names => names.to_vec(),
        }),
        _ => match data.labels().and_then(|labels| labels.iter().max()) {
            Some(&largest) => Ok((0..=largest).map(|n| n.to_string()).collect()),
            None => {
                let problem = "it has no labels, so there are no classes for a new last layer";
                Err(Error::invalid(data.name(), problem))
            }
        },
    }
}

/// Names of the classes that were learned, if there is one for each that the network knows.
fn names_that_fit(data: &Source, network: &Network) -> Vec<String> {
    match data {
        Source::Pictures(pictures) => {
            let names = pictures.class_names();
            let fits = compress::classes(&network.graph).is_ok_and(|n| n == names.len());
            if fits { names.to_vec() } else { Vec::new() }
        }
        Source::Arrays(_) => Vec::new(),
    }
}
