//! The training loop and the evaluation of every command.

use std::time::Instant;

use serde::Serialize;
use wizen::Result;
use wizen::base::Tensor;
use wizen::graph::{Device, Graph, lower};
use wizen::io::Dataset;
use wizen::train::{LrSchedule, Optimizer, ParamGroup, Trainer, argmax_rows};

use super::context::Context;
use super::data::{Shuffled, batch_size, check_fits, in_order};
use super::models as files;

/// Images per evaluation batch, at most.
const EVAL_BATCH: usize = 250;

/// Settings of a training loop.
#[derive(Clone, Debug)]
pub struct FitSettings {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f32,
    pub seed: u64,
    pub optimizer: Optimizer,
    /// Random shifts of training images, pixels.
    pub shift: usize,
}

/// What a training loop did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    pub loss: f32,
    pub images_per_second: f64,
}

/// Runs a training loop; `hook` is called before every step with its number and the total.
pub async fn fit(
    context: &Context,
    what: &str,
    trainer: &mut Trainer,
    data: &Dataset,
    settings: &FitSettings,
    mut hook: impl AsyncFnMut(&mut Trainer, usize, usize) -> Result<()>,
) -> Result<Fit> {
    let mut batches = Shuffled::new(data, settings.batch, settings.shift, settings.seed)?;
    let steps = settings.epochs * batches.steps_per_epoch();
    let bar = context.progress(what, steps);
    let schedule = LrSchedule::WarmupCosine { warmup: 0.05 };
    let start = Instant::now();
    let mut loss = f32::NAN;
    for step in 0..steps {
        hook(trainer, step, steps).await?;
        let (images, labels) = batches.next()?;
        trainer
            .step(&images, &labels, settings.lr * schedule.factor(step, steps))
            .await?;
        if (step + 1) % 50 == 0 || step + 1 == steps {
            loss = trainer.mean_loss().await?;
            bar.set_message(format!("loss {loss:.4}"));
        }
        bar.inc(1);
    }
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let images_per_second = (steps * settings.batch) as f64 / seconds.max(1e-9);
    Ok(Fit {
        loss,
        images_per_second,
    })
}

/// Accuracy of a network.
#[derive(Clone, Debug, Serialize)]
pub struct Accuracy {
    pub images: usize,
    pub top1: f64,
    pub top5: f64,
    pub images_per_second: f64,
}

/// Runs every image of `data` through `graph`.
pub async fn accuracy(
    context: &Context,
    device: &Device,
    graph: &Graph,
    data: &Dataset,
    batch: Option<usize>,
) -> Result<Accuracy> {
    check_fits(graph, data)?;
    let batch = batch.map_or_else(|| batch_size(data, EVAL_BATCH), |n| n.min(data.len()));
    let graph = graph.with_batch(batch)?;
    let mut executor = device.load(lower(&graph, &device.caps())?).await?;
    let bar = context.progress("evaluate", data.len());
    let (mut predictions, mut top5) = (Vec::with_capacity(data.len()), 0);
    let mut seconds = 0.0;
    for (i, batch) in in_order(data, batch).enumerate() {
        let (images, count) = batch?;
        if i == 0 && matches!(device, Device::Gpu(_)) {
            // Drivers compile at the first dispatch; that is not the network's speed.
            executor.run(&[&images]).await?;
        }
        let start = Instant::now();
        let outputs = executor.run(&[&images]).await?;
        seconds += start.elapsed().as_secs_f64();
        let logits = &outputs[0];
        top5 += in_top(logits, &data.labels()[predictions.len()..][..count], 5);
        predictions.extend(argmax_rows(logits).into_iter().take(count));
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    let right = predictions
        .iter()
        .zip(data.labels())
        .filter(|(p, l)| **p == **l as usize)
        .count();
    let share = |n: usize| n as f64 / data.len() as f64;
    let images_per_second = data.len() as f64 / seconds.max(1e-9);
    Ok(Accuracy {
        images: data.len(),
        top1: share(right),
        top5: share(top5),
        images_per_second,
    })
}

/// How many of the labels are among the `k` largest logits of their row.
fn in_top(logits: &Tensor, labels: &[u32], k: usize) -> usize {
    let classes = logits.shape().last().copied().unwrap_or(1);
    let values = logits.to_f32();
    let rows = values.chunks(classes).zip(labels);
    rows.filter(|(row, label)| {
        let own = row
            .get(**label as usize)
            .copied()
            .unwrap_or(f32::NEG_INFINITY);
        row.iter().filter(|x| **x > own).count() < k
    })
    .count()
}

/// Trains all parameters of a float network, from what they are; returns the network with the new ones.
pub async fn train(
    context: &Context,
    device: &Device,
    network: &Graph,
    data: &Dataset,
    settings: &FitSettings,
) -> Result<(Graph, Fit)> {
    let graph = network.with_batch(settings.batch)?;
    check_fits(&graph, data)?;
    let all = graph.values().filter(|(id, _)| graph.tensor(*id).is_some());
    let params = all.map(|(id, _)| id).collect();
    let groups = [ParamGroup::weights(params)];
    let mut trainer = Trainer::new(device, graph, settings.optimizer, &groups).await?;
    let done = fit(
        context,
        "train",
        &mut trainer,
        data,
        settings,
        async |_, _, _| Ok(()),
    )
    .await?;
    let trained = trainer.params().await?;
    Ok((files::with_weights(network, trained)?, done))
}
