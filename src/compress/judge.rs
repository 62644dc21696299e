//! How good a network is.

use serde::Serialize;

use super::Job;
use crate::base::{Instant, Tensor};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::{Device, Graph, lower};
use crate::train::argmax_rows;

/// Accuracy of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Items judged.
    pub images: usize,
    /// Share whose class came first.
    pub top1: f64,
    /// Share whose class was among the first five.
    pub top5: f64,
    /// Items of a second, without reading them.
    pub images_per_second: f64,
}

/// Items of an evaluation batch, at most.
const EVAL_BATCH: usize = 250;
/// Input bytes of a batch, at most: large images run in smaller batches.
const BATCH_BYTES: usize = 16 << 20;

/// Items of an evaluation batch where the user names none: `most`, fewer if they are large.
pub fn eval_batch(graph: &Graph, most: usize) -> usize {
    let inputs = graph.inputs();
    let one = inputs.iter().map(|&id| {
        let value = graph.value(id);
        4 * value.shape.iter().skip(1).product::<usize>() / value.dtype.lanes()
    });
    (BATCH_BYTES / one.sum::<usize>().max(1)).clamp(1, most)
}

/// Items of a batch, at most `most`, of which all activations together stay below some 100 MB: for runs
/// that keep or observe every one of them.
pub fn batch_for(graph: &Graph, most: usize) -> usize {
    const VALUES: usize = 24 << 20;
    let nodes = graph.nodes().iter().flat_map(|node| &node.outputs);
    let one: usize = nodes
        .map(|&y| graph.value(y).shape.iter().skip(1).product::<usize>())
        .sum();
    (VALUES / one.max(1)).clamp(1, most)
}

/// How many classes a classifier knows: its first result holds a logit for each, `[n, classes]`.
///
/// # Errors
/// [`Error::Invalid`] for a network with another first result, or none.
pub fn classes(graph: &Graph) -> Result<usize> {
    let first = graph.outputs().first().map(|&id| graph.value(id));
    let shape = first.map(|value| value.shape.as_slice());
    match (shape, graph.output_names().first()) {
        (Some(&[_, classes]), _) => Ok(classes),
        (Some(shape), Some(name)) => {
            let problem = format!(
                "its first result `{name}` is {shape:?}, no logits [n, classes]: it has no classes"
            );
            Err(Error::invalid("model", problem))
        }
        (None, _) | (_, None) => Err(Error::invalid("model", "it has no result")),
    }
}

/// Runs every item of `data` through `graph`, whose first result holds the logits, and compares with the
/// labels.
///
/// # Errors
/// [`Error::Invalid`] for data without labels or a network without classes; from reading `data`; what the device
/// reports; [`Error::Stopped`].
pub async fn accuracy(
    job: &Job<'_>,
    graph: &Graph,
    data: &dyn Data,
    batch: Option<usize>,
) -> Result<Accuracy> {
    let labels = data.labels().ok_or_else(|| {
        let problem = "it has no labels; accuracy needs the class of every image";
        Error::invalid(data.name(), problem)
    })?;
    classes(graph)?;
    let batch = batch
        .unwrap_or_else(|| eval_batch(graph, EVAL_BATCH))
        .min(data.len());
    let graph = graph.with_batch(batch)?;
    let device = job.device();
    let mut executor = device.load(lower(&graph, &device.caps())?).await?;
    let mut stage = job.stage("evaluate", data.len());
    let (mut predictions, mut top5) = (Vec::with_capacity(data.len()), 0);
    let mut seconds = 0.0;
    for (i, batch) in data.in_order(data.len(), batch).enumerate() {
        let (inputs, count) = batch?;
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        if i == 0 && matches!(device, Device::Gpu(_)) {
            // Drivers compile at the first dispatch; that is not the network's speed.
            executor.run(&inputs).await?;
        }
        let start = Instant::now();
        let outputs = executor.run(&inputs).await?;
        seconds += start.elapsed().as_secs_f64();
        let logits = outputs
            .first()
            .ok_or_else(|| Error::invalid("evaluate", "the network has no result"))?;
        top5 += in_top(logits, &labels[predictions.len()..][..count], 5);
        predictions.extend(argmax_rows(logits).into_iter().take(count));
        stage.step(count)?;
    }
    let right = predictions
        .iter()
        .zip(labels)
        .filter(|(p, l)| **p == **l as usize)
        .count();
    let share = |n: usize| n as f64 / data.len() as f64;
    Ok(Accuracy {
        images: data.len(),
        top1: share(right),
        top5: share(top5),
        images_per_second: data.len() as f64 / seconds.max(1e-9),
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
