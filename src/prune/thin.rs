//! Structured pruning: channels that are gone for good leave the network, which gets smaller and faster
//! everywhere. What one channel is tied to — through residual additions, batch norms, depthwise and
//! flattened layers — goes with it ([`crate::graph::channels`]).

use std::collections::{BTreeMap, BTreeSet};

use super::sparsity::{mask_from_bools, mask_to_bools};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::graph::channels::{Axis, Group, Kept, Ties};
use crate::graph::{Graph, Rewriter, Source, ValueId};

/// Channels that compete with each other: groups with slices of the same axes.
#[derive(Clone, Debug)]
pub struct Family {
    /// The groups, each of them one channel and all that goes with it.
    pub groups: Vec<Group>,
    /// Importance of each: `√Σ w²` over its slices of weights with two axes or more, those that make the
    /// channel and those that read it (the group norm of Fang et al. 2023, "DepGraph").
    pub scores: Vec<f64>,
}

/// The channels of a float graph that may leave it, by family, in the order of the network.
///
/// # Errors
/// None for a well-formed graph.
pub fn families(graph: &Graph) -> Result<Vec<Family>> {
    let squares = squares(graph);
    let mut found: BTreeMap<BTreeSet<Axis>, Family> = BTreeMap::new();
    for group in Ties::new(graph).groups() {
        let axes: BTreeSet<Axis> = group.slices.iter().map(|&(axis, _)| axis).collect();
        let sum = |&(axis, at): &(Axis, usize)| squares.get(&axis).map_or(0.0, |s| s[at]);
        let score = group.slices.iter().map(sum).sum::<f64>().sqrt();
        let family = found.entry(axes).or_insert_with(|| Family {
            groups: Vec::new(),
            scores: Vec::new(),
        });
        family.groups.push(group);
        family.scores.push(score);
    }
    Ok(found.into_values().collect())
}

/// `Σ w²` of every slice of every axis of the weights.
fn squares(graph: &Graph) -> BTreeMap<Axis, Vec<f64>> {
    let mut out = BTreeMap::new();
    for (id, value) in graph.values() {
        let Some(tensor) = graph.tensor(id).filter(|t| t.shape().len() > 1) else {
            continue;
        };
        let data = tensor.to_f64();
        for axis in 0..value.shape.len() {
            let (size, inner) = (value.shape[axis], num_elements(&value.shape[axis + 1..]));
            let mut sums = vec![0.0; size];
            for (i, x) in data.iter().enumerate() {
                sums[i / inner.max(1) % size.max(1)] += x * x;
            }
            out.insert((id, axis), sums);
        }
    }
    out
}

impl Family {
    /// The groups of least importance that leave if a share of all is to go: so many that a multiple of
    /// `multiple` stays, the nearest to what was asked for and at least one.
    pub fn weakest(&self, share: f64, multiple: usize) -> Vec<&Group> {
        let total = self.groups.len();
        let multiple = multiple.clamp(1, total.max(1));
        let stay =
            (total as f64 * (1.0 - share.clamp(0.0, 1.0)) / multiple as f64).round() as usize;
        let stay = (stay.max(1) * multiple).min(total);
        let mut order: Vec<usize> = (0..total).collect();
        order.sort_by(|&a, &b| self.scores[a].total_cmp(&self.scores[b]).then(b.cmp(&a)));
        let mut gone = order[..total - stay].to_vec();
        gone.sort_unstable();
        gone.into_iter().map(|i| &self.groups[i]).collect()
    }
}

/// Takes these groups out of the network: weights, biases, batch norms and masks shrink, and so does every
/// value in between.
///
/// # Errors
/// [`Error::Invalid`] if nothing would be left of an axis.
pub fn thin<'a>(graph: &Graph, gone: impl IntoIterator<Item = &'a Group>) -> Result<Graph> {
    let kept = Kept::without(graph, gone);
    let mut rewriter = Rewriter::new(graph);
    for (id, value) in graph.values() {
        if kept.shape(id).contains(&0) {
            let problem = format!("nothing would be left of `{}`", value.name);
            return Err(Error::invalid("thin", problem));
        }
        if matches!(value.source, Source::Input) {
            rewriter.get(id)?;
        }
    }
    for node in graph.nodes() {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &id in &node.inputs {
            thin_param(&mut rewriter, &kept, id)?;
            inputs.push(rewriter.get(id)?);
        }
        let op = node.op.rules().thinned(node, &kept)?;
        rewriter.replace(node, op, &inputs)?;
    }
    rewriter.finish()
}

fn thin_param(rewriter: &mut Rewriter<'_>, kept: &Kept<'_>, id: ValueId) -> Result<()> {
    let graph = rewriter.old();
    let Some(param) = graph.as_param(id) else {
        return Ok(());
    };
    let axes = 0..graph.value(id).shape.len();
    let lost: Vec<usize> = axes.filter(|&axis| kept.of((id, axis)).is_some()).collect();
    if lost.is_empty() || rewriter.is_mapped(id) {
        return Ok(());
    }
    let mut tensor = param.tensor.as_ref().clone();
    let mut mask = match &param.mask {
        Some(mask) => Some(mask_to_bools(mask, tensor.len())?),
        None => None,
    };
    for axis in lost {
        let Some(left) = kept.of((id, axis)) else {
            continue;
        };
        let shape = tensor.shape().to_vec();
        mask = mask.map(|mask| sliced(&mask, &shape, axis, left).1);
        let data = tensor.to_f64();
        let (shape, data) = sliced(&data, &shape, axis, left);
        let mut smaller = Tensor::zeros(&shape, tensor.dtype());
        match tensor.dtype() {
            DType::F32 | DType::F16 => smaller.store_f64(&data)?,
            DType::I8 => smaller.store_i8(&data.iter().map(|&q| q as i8).collect::<Vec<_>>())?,
            DType::I32 => {
                let data: Vec<i32> = data.iter().map(|&q| q as i32).collect();
                smaller = Tensor::from_i32(&shape, &data)?;
            }
            DType::U32 => {
                let problem = "a mask or list of labels cannot lose channels";
                return Err(Error::invalid(&graph.value(id).name, problem));
            }
        }
        tensor = smaller;
    }
    let mask = mask.map(|mask| mask_from_bools(&mask));
    let mut quant = graph.value(id).quant.clone();
    if let Some(quant) = &mut quant
        && let Some(left) = quant.axis.and_then(|axis| kept.of((id, axis)))
    {
        quant.scales = left.iter().map(|&i| quant.scales[i]).collect();
        quant.zero_points = left.iter().map(|&i| quant.zero_points[i]).collect();
    }
    rewriter.replace_param(id, tensor, mask, quant);
    Ok(())
}

/// The slices of `axis` that are left, in order, and the shape.
fn sliced<T: Copy>(data: &[T], shape: &[usize], axis: usize, left: &[usize]) -> (Shape, Vec<T>) {
    let inner = num_elements(&shape[axis + 1..]);
    let mut new = shape.to_vec();
    new[axis] = left.len();
    let mut out = Vec::with_capacity(num_elements(&new));
    for outer in data.chunks(inner * shape[axis]) {
        for &i in left {
            out.extend_from_slice(&outer[i * inner..(i + 1) * inner]);
        }
    }
    (new, out)
}
