//! How good a network is.

use serde::Serialize;

use super::Job;
use crate::base::{Instant, Tensor};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::{Device, Graph, check_finite, lower, scores};
use crate::quant::Sums;
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

/// How many classes a classifier knows: its first result holds a logit for each, `[n, classes]`. A single logit
/// tells two classes apart, no and yes.
///
/// # Errors
/// [`Error::Invalid`] for a network with another first result, or none.
pub fn classes(graph: &Graph) -> Result<usize> {
    let first = graph.outputs().first().map(|&id| graph.value(id));
    let shape = first.map(|value| value.shape.as_slice());
    match (shape, graph.output_names().first()) {
        (Some(&[_, 1]), _) => Ok(2),
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

/// The class of every row of the first result of `graph`, `[…, classes]`: the largest, the first of equal ones.
/// Of a single number it is 1 (yes) where the probability exceeds a half: a logit above 0.
pub fn predicted(graph: &Graph, result: &Tensor) -> Vec<usize> {
    let half = if gives_shares(graph) { 0.5 } else { 0.0 };
    match result.shape().last() {
        Some(1) => result
            .to_f32()
            .iter()
            .map(|&x| usize::from(x > half))
            .collect(),
        _ => argmax_rows(result),
    }
}

/// True if the first result holds probabilities already: the network ends in a softmax or a sigmoid.
fn gives_shares(graph: &Graph) -> bool {
    let first = graph.outputs().first();
    first.is_some_and(|&id| scores(graph, id).is_some())
}

/// Probabilities of the classes of one row of the first result of `graph`: the row itself where the network ends
/// in a softmax; else their softmax, or, of a single logit, those of no and yes by the sigmoid.
pub fn probabilities(graph: &Graph, row: &[f64]) -> Vec<f64> {
    match (row, gives_shares(graph)) {
        (&[yes], true) => vec![1.0 - yes, yes],
        (row, true) => row.to_vec(),
        (row, false) => of_logits(row),
    }
}

fn of_logits(logits: &[f64]) -> Vec<f64> {
    if let &[x] = logits {
        return vec![1.0 / (1.0 + x.exp()), 1.0 / (1.0 + (-x).exp())];
    }
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    logits.iter().map(|x| (x - max).exp() / sum).collect()
}

/// Runs every item of `data` through `graph`, whose first result holds the logits, and compares with the
/// labels.
///
/// # Errors
/// [`Error::Invalid`] for data without labels, a network without classes, or answers that are not finite (with the
/// first layer of such results); from reading `data`; what the device reports; [`Error::Stopped`].
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
        check_finite(device, &graph, &inputs, &outputs).await?;
        top5 += in_top(logits, &labels[predictions.len()..][..count], 5);
        predictions.extend(predicted(&graph, logits).into_iter().take(count));
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

/// How close a network's results are to those of another, that of its float parent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputAgreement {
    /// The result.
    pub name: String,
    /// `20·log10(‖float‖ / ‖difference‖)` over all items; `None` if they are equal.
    pub sqnr_db: Option<f64>,
    /// Share of items with the same class; `None` for results that are no logits `[n, classes]`.
    pub agreement: Option<f64>,
}

/// SQNR in dB of the result that is furthest from the float network's; `None` if all are equal.
pub(super) fn worst(results: &[OutputAgreement]) -> Option<f64> {
    let each = results.iter().filter_map(|result| result.sqnr_db);
    each.min_by(f64::total_cmp)
}

/// Runs every item of `data` through both networks, and compares each result with that of `float`. No labels are
/// needed.
///
/// # Errors
/// [`Error::Invalid`] if the results are not of the same number and size, or not finite (with the first layer
/// of such results); from reading `data`; what the device reports; [`Error::Stopped`].
pub async fn agreement(
    job: &Job<'_>,
    float: &Graph,
    network: &Graph,
    data: &dyn Data,
) -> Result<Vec<OutputAgreement>> {
    let batch = eval_batch(float, EVAL_BATCH).min(data.len());
    let (float, network) = (float.with_batch(batch)?, network.with_batch(batch)?);
    let device = job.device();
    let mut reference = device.load(lower(&float, &device.caps())?).await?;
    let mut ours = device.load(lower(&network, &device.caps())?).await?;
    let mut stage = job.stage("compare with float", data.len());
    let mut sums = vec![(Sums::default(), 0usize); float.outputs().len()];
    for batch in data.in_order(data.len(), batch) {
        let (inputs, count) = batch?;
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let (want, got) = (reference.run(&inputs).await?, ours.run(&inputs).await?);
        check_finite(device, &float, &inputs, &want).await?;
        check_finite(device, &network, &inputs, &got).await?;
        let shapes = |tensors: &[Tensor]| -> Vec<_> {
            tensors
                .iter()
                .map(|tensor| tensor.shape().to_vec())
                .collect()
        };
        if shapes(&want) != shapes(&got) {
            let problem = "the networks have results of other shapes";
            return Err(Error::invalid("compare", problem));
        }
        for ((want, got), (sums, same)) in want.iter().zip(&got).zip(&mut sums) {
            let real = want.len() / want.shape()[0].max(1) * count;
            for (want, got) in want.to_f64().into_iter().zip(got.to_f64()).take(real) {
                sums.add(want, got);
            }
            let classes = predicted(&float, want)
                .into_iter()
                .zip(predicted(&network, got));
            *same += classes.take(count).filter(|(a, b)| a == b).count();
        }
        stage.step(count)?;
    }
    let named = float.outputs().iter().zip(float.output_names()).zip(sums);
    let share = |n: usize| n as f64 / data.len() as f64;
    Ok(named
        .map(|((&id, name), (sums, same))| OutputAgreement {
            name: name.clone(),
            sqnr_db: sums.sqnr_db(),
            agreement: (float.value(id).shape.len() == 2).then(|| share(same)),
        })
        .collect())
}

/// How many of the labels are among the `k` largest logits of their row. Of two classes, both are.
fn in_top(logits: &Tensor, labels: &[u32], k: usize) -> usize {
    let classes = logits.shape().last().copied().unwrap_or(1);
    if classes == 1 {
        return labels.len();
    }
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
