//! `wizen eval`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wizen::data::Data;
use wizen::{Result, compress};

use super::context::{Context, percent};
use super::data::{DataArgs, limited};
use super::models::ModelArgs;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model file
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Use only the first N test images
    #[arg(long)]
    limit: Option<usize>,
    /// Images per run
    #[arg(long)]
    batch: Option<usize>,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Output {
    images: usize,
    top1: f64,
    top5: f64,
    precision: String,
    device: String,
    images_per_second: f64,
    data: String,
}

pub async fn run(context: &Context, args: EvalArgs) -> Result<()> {
    if args.batch == Some(0) {
        return Err(wizen::Error::invalid("--batch", "it must be at least 1"));
    }
    let mut model = args.file.open(&args.model)?;
    args.data.prepare(context, &mut model)?;
    let sets = args.data.sets(context, &model, None, (1, 2_000))?;
    let test = limited(sets.judge, args.limit)?;
    if test.labels().is_none() {
        let problem = "it has no labels; accuracy needs the class of every image: one folder per class, or a table \
                       beside the folder. Without labels, `wizen compare MODEL --against FLOAT_MODEL` tells how \
                       far a compressed model is from its parent";
        return Err(wizen::Error::invalid(test.name(), problem));
    }
    let device = context.device().await?;
    let job = context.job(&device);
    let result = compress::accuracy(&job, &model.runnable()?, &test, args.batch).await?;
    let output = Output {
        images: result.images,
        top1: result.top1,
        top5: result.top5,
        precision: model.precision(),
        device: device.name(),
        images_per_second: result.images_per_second,
        data: test.name().to_owned(),
    };
    context.finish(&output, || {
        format!(
            "{} {}: top-1 {}, top-5 {} of {} images of {}; {:.0} images/s on {}",
            model.arch,
            output.precision,
            percent(output.top1),
            percent(output.top5),
            output.images,
            output.data,
            output.images_per_second,
            output.device
        )
    })
}
