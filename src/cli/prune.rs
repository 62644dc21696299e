//! `wizen prune`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use wizen::compress::{self, OutputAgreement, PruneOptions};
use wizen::data::Data;
use wizen::{Error, Result, prune};

use super::context::{Context, bytes, percent, table};
use super::data::DataArgs;
use super::fit::{FitArgs, digest};
use super::judge::{judge, verdict};
use super::models::ModelArgs;

/// Peak learning rate of Adam for fine-tuning while pruning.
pub const LR: f32 = 2e-3;

/// Which weights compete with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeName {
    /// All layers together
    Global,
    /// Each layer by itself
    Layer,
}

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Single weights, by magnitude: zeros, for size
    L1,
    /// Whole channels of every hidden layer, by the norms of what makes and reads them: a smaller network, for size and speed
    Channels,
}

/// How sparsity grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleName {
    /// Zhu and Gupta's cubic schedule over the first half of the run
    Cubic,
    /// All at once, then fine-tuning
    OneShot,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// fp32 model file
    model: PathBuf,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
    /// Share of the weights (or channels) to remove, 0 to 1
    #[arg(long)]
    sparsity: f64,
    /// What is removed
    #[arg(long, value_enum, default_value = "l1")]
    method: MethodName,
    /// Which weights compete with each other
    #[arg(long, value_enum, default_value = "global")]
    scope: ScopeName,
    /// Channels that are left of a layer are a multiple of this
    #[arg(long, default_value_t = 4)]
    multiple: usize,
    /// How sparsity grows while fine-tuning
    #[arg(long, value_enum, default_value = "cubic")]
    schedule: ScheduleName,
    /// What to fine-tune on; without it, weights are removed at once
    #[command(flatten)]
    data: DataArgs,
    /// Other images to judge by than those of --data
    #[arg(long, value_name = "DIR")]
    eval_data: Option<PathBuf>,
    /// Passes over the training images
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    sparsity: f64,
    shape: Vec<usize>,
}

#[derive(Serialize)]
struct Output {
    sparsity: f64,
    layers: Vec<Layer>,
    bytes_before: u64,
    bytes_after: u64,
    macs_before: u64,
    macs_after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    /// Without labels: how close each result is to the float network's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputAgreement>,
    seconds: f64,
    device: String,
}

pub async fn run(context: &Context, args: PruneArgs) -> Result<()> {
    if !(0.0..1.0).contains(&args.sparsity) {
        let problem = format!("{} is not in 0 ≤ sparsity < 1", args.sparsity);
        return Err(Error::invalid("--sparsity", problem));
    }
    args.fit.may_write(&args.out, Some(&args.model))?;
    let mut model = args.file.open(&args.model)?;
    let sets = match args.data.data {
        Some(_) => {
            args.data.prepare(context, &mut model)?;
            let eval = args.eval_data.as_deref();
            let sets = args.data.sets(context, &model, eval, (0, 0))?;
            sets.warn(context);
            Some(sets)
        }
        None => {
            args.data.pictures.prepare(&mut model)?;
            None
        }
    };
    let learn = sets.as_ref();
    let learn = learn.map(|sets| args.fit.augmented(sets.learn.clone()));
    let mut settings = PruneOptions {
        sparsity: args.sparsity,
        scope: match args.scope {
            ScopeName::Global => prune::Scope::Global,
            ScopeName::Layer => prune::Scope::PerTensor,
        },
        cubic: args.schedule == ScheduleName::Cubic,
        multiple: args.multiple,
        fit: None,
    };
    if learn.is_none() && args.fit.needs_data() {
        let problem =
            "without --data nothing is learned: --checkpoint, --teacher and --lr-of say nothing";
        return Err(Error::invalid("prune", problem));
    }
    if let Some(learn) = &learn {
        let run = [
            ("command", "prune".to_owned()),
            ("model", digest(&args.model)?),
            ("pruning", format!("{:?} {settings:?}", args.method)),
        ];
        let options = args
            .fit
            .options(args.epochs, LR, learn, &args.file.inputs)?;
        let options = args.fit.kept(context, options, learn, &args.out, &run)?;
        settings.fit = Some(options);
    }
    let device = context.device().await?;
    let start = Instant::now();
    let learn = learn.as_ref().map(|data| data as &dyn Data);
    let job = context.job(&device);
    let result = match args.method {
        MethodName::L1 => compress::prune(&job, &model, learn, &settings).await,
        MethodName::Channels => compress::prune_channels(&job, &model, learn, &settings).await,
    };
    let (pruned, _) = args.fit.ended(context, result)?;
    let judged = match &sets {
        Some(sets) => {
            let (float, made) = (model.runnable()?, pruned.runnable()?);
            let judged = judge(&job, &float, &made, &sets.judge).await;
            Some((args.fit.ended(context, judged)?, sets))
        }
        None => None,
    };
    let size = wizen::save(&pruned, &args.out)?;
    args.fit.done()?;
    let layers = pruned.layers();
    for layer in layers.iter().filter(|layer| layer.sparsity == 1.0) {
        context.say(&format!(
            "warning: every weight of `{}` is zero: nothing passes through it any more; take a smaller --sparsity, \
             or --scope layer",
            layer.name
        ));
    }
    let (verdict, accuracy, outputs) = match judged {
        Some((judged, sets)) => {
            let words = verdict(judged.accuracy, &judged.outputs, sets);
            (format!("{words}; "), judged.accuracy, judged.outputs)
        }
        None => (String::new(), None, Vec::new()),
    };
    let output = Output {
        sparsity: pruned.sparsity(),
        layers: layers
            .into_iter()
            .map(|layer| Layer {
                name: layer.name,
                sparsity: layer.sparsity,
                shape: layer.shape,
            })
            .collect(),
        bytes_before: std::fs::metadata(&args.model)
            .map_err(Error::io(&args.model))?
            .len(),
        bytes_after: size.bytes,
        macs_before: model.macs(),
        macs_after: pruned.macs(),
        accuracy,
        outputs,
        seconds: start.elapsed().as_secs_f64(),
        device: device.name(),
    };
    context.finish(&output, || {
        let mut rows = table(&["layer", "shape", "zeros"]);
        for layer in &output.layers {
            rows.add_row(vec![
                layer.name.clone(),
                format!("{:?}", layer.shape),
                percent(layer.sparsity),
            ]);
        }
        format!(
            "{rows}\n{} of the weights are zero; {verdict}{} -> {} bytes, {:.1} s on {}; wrote {}",
            percent(output.sparsity),
            bytes(output.bytes_before),
            bytes(output.bytes_after),
            output.seconds,
            output.device,
            args.out.display()
        )
    })
}
