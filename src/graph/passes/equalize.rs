//! Channels of like range: cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", section 4.1), with ranges of activations that were measured.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::channels::{Axis, Group, Ties};
use super::super::ops::{Op, PadMode};
use super::super::rewriter::Rewriter;
use super::super::values::{Graph, Node, Source, ValueId};
use crate::base::{DType, Tensor, num_elements};
use crate::error::Result;
use crate::kernels::binary::BinaryOp;
use crate::kernels::map::Unary;

/// The least share of its tensor's range that a channel counts as: what was never seen may come yet.
const SMALLEST: f64 = 1.0 / 16.0;

/// Activations whose channels [`equalize`] can scale, in order.
pub fn scalable(graph: &Graph) -> Vec<ValueId> {
    let groups = groups(graph);
    let slices = groups.iter().flat_map(|group| &group.slices);
    let scaled: HashSet<ValueId> = slices.map(|&((id, _), _)| id).collect();
    let made = graph.nodes().iter().flat_map(|node| &node.outputs).copied();
    made.filter(|id| scaled.contains(id)).collect()
}

/// The same network with channels of activations multiplied where what follows can divide by as much: between
/// layers with weights, through what treats every channel alike (ReLU, sums, pooling, concatenation). `peaks`
/// holds the largest absolute value of every channel of the activations by name; those it does not name have no say.
///
/// A channel of peak `p` (as a share of its tensor's) that meets weights of root mean square `q` (as a share of the
/// largest column's, every row in units of its peak) is multiplied by `√(q/p)`: with as many steps for activations as
/// for weights, that makes the sum of both roundings' errors in the result least. One that only depthwise layers
/// read is multiplied by `1/p`: their rows have scales of their own.
///
/// # Errors
/// None for a well-formed graph.
pub fn equalize(graph: &Graph, peaks: &BTreeMap<String, Vec<f32>>) -> Result<Graph> {
    let columns = columns(graph);
    let mut scales: HashMap<Axis, Vec<f64>> = HashMap::new();
    for group in groups(graph) {
        let Some(scale) = scale(graph, &group, peaks, &columns) else {
            continue;
        };
        for &(axis, at) in &group.slices {
            let size = graph.value(axis.0).shape[axis.1];
            scales.entry(axis).or_insert_with(|| vec![1.0; size])[at] = scale;
        }
    }
    let mut rewriter = Rewriter::new(graph);
    for (id, value) in graph.values() {
        if matches!(value.source, Source::Input) {
            rewriter.get(id)?;
        }
    }
    for node in graph.nodes() {
        for (i, &id) in node.inputs.iter().enumerate() {
            if let Some(scaled) = scaled(graph, node, i, &scales)? {
                let mask = graph.mask(id).map(|mask| mask.as_ref().clone());
                rewriter.replace_param(id, scaled, mask, None);
            }
        }
        rewriter.copy(node)?;
    }
    rewriter.finish()
}

/// Channels that can only be scaled together.
fn groups(graph: &Graph) -> Vec<Group> {
    let mut ties = Ties::by(graph, tie);
    for (id, value) in graph.values() {
        // What two nodes share has two scales.
        let shared = graph.as_param(id).is_some() && graph.users(id).count() > 1;
        if shared || value.dtype != DType::F32 {
            for axis in 0..value.shape.len() {
                ties.pin((id, axis));
            }
        }
    }
    ties.groups()
}

fn tie(node: &Node, ties: &mut Ties<'_>) {
    let even = match node.op.rules().activation() {
        Some(f) => is_homogeneous(f),
        None => true,
    };
    let together = match &node.op {
        Op::Linear(_) | Op::Conv2d(_) | Op::Map(_) => even,
        Op::Binary(binary) => {
            let same = node.inputs.iter().map(|&id| ties.shape(id).last());
            let y = ties.shape(node.outputs[0]).last();
            let sums = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Min, BinaryOp::Max];
            even && sums.contains(&binary.op) && same.into_iter().all(|c| c == y)
        }
        Op::Pad(pad) => pad.mode != PadMode::Constant || pad.value == 0.0,
        Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) | Op::Flatten(_) => true,
        Op::Reshape(_) | Op::Slice(_) | Op::Concat(_) | Op::Resize(_) => true,
        _ => false,
    };
    match together {
        true if is_depthwise(ties.graph(), node) => {
            let y = ties.last(node.outputs[0]);
            ties.tie((node.inputs[1], 0), y);
            for &id in &node.inputs[2..] {
                let axis = ties.last(id);
                ties.tie(axis, y);
            }
        }
        true => node.op.rules().channels(node, ties),
        false => ties.pin_all(node),
    }
}

/// True if `f(a·x) = a·f(x)` for every positive `a`.
fn is_homogeneous(f: Unary) -> bool {
    let ends = f.as_clamp();
    let ramp = ends.is_some_and(|(low, high)| low == 0.0 && high == f32::INFINITY);
    ramp || matches!(f, Unary::LeakyRelu { .. } | Unary::Abs)
}

/// True for a convolution that makes every channel from one of its own.
fn is_depthwise(graph: &Graph, node: &Node) -> bool {
    let Op::Conv2d(conv) = &node.op else {
        return false;
    };
    let channels = graph.value(node.inputs[0]).shape.last();
    conv.conv.groups > 1 && channels == Some(&conv.conv.groups)
}

/// Root mean square of the weights of each input channel of a layer, every row in units of its peak, as a share
/// of the largest; by `(weights, last axis)`.
fn columns(graph: &Graph) -> HashMap<Axis, Vec<f64>> {
    let mut out = HashMap::new();
    for node in graph.nodes() {
        let weight = node.op.weights().map(|at| node.inputs[at.weight]);
        let Some((id, tensor)) = weight.and_then(|id| Some((id, graph.tensor(id)?))) else {
            continue;
        };
        let (rows, last) = (tensor.shape()[0], tensor.shape().len() - 1);
        let channels = tensor.shape()[last];
        let data = tensor.to_f64();
        let mut shares = vec![0f64; channels];
        let each = data.len() / channels.max(1);
        for row in data.chunks((data.len() / rows.max(1)).max(1)) {
            let peak = row.iter().fold(0f64, |m, x| m.max(x.abs()));
            for (i, x) in row.iter().enumerate().filter(|_| peak > 0.0) {
                shares[i % channels] += (x / peak) * (x / peak);
            }
        }
        for share in &mut shares {
            *share = (*share / each as f64).sqrt();
        }
        let largest = shares.iter().fold(f64::MIN_POSITIVE, |m, &x| m.max(x));
        shares.iter_mut().for_each(|share| *share /= largest);
        out.insert((id, last), shares);
    }
    out
}

/// By what a group is multiplied; `None` if nothing of it was measured.
fn scale(
    graph: &Graph,
    group: &Group,
    peaks: &BTreeMap<String, Vec<f32>>,
    columns: &HashMap<Axis, Vec<f64>>,
) -> Option<f64> {
    let (mut peak, mut column) = (None, None);
    for &((id, axis), at) in &group.slices {
        if let Some(measured) = peaks.get(&graph.value(id).name) {
            let largest = measured.iter().fold(0f32, |m, &x| m.max(x));
            if axis + 1 == graph.value(id).shape.len() && largest > 0.0 {
                let share = f64::from(measured[at] / largest);
                peak = Some(share.max(peak.unwrap_or(0.0)));
            }
        }
        if axis > 0
            && let Some(shares) = columns.get(&(id, axis))
        {
            column = Some(shares[at].max(column.unwrap_or(0.0)));
        }
    }
    let peak = peak?.max(SMALLEST);
    Some(match column {
        Some(column) => (column.max(SMALLEST) / peak).sqrt(),
        None => 1.0 / peak,
    })
}

/// Operand `i` of a node as the scaled network has it, if it is stored and changes.
fn scaled(
    graph: &Graph,
    node: &Node,
    i: usize,
    scales: &HashMap<Axis, Vec<f64>>,
) -> Result<Option<Tensor>> {
    let id = node.inputs[i];
    let Some(tensor) = graph.tensor(id) else {
        return Ok(None);
    };
    let shape = tensor.shape();
    let last = shape.len().saturating_sub(1);
    let is_weight = node.op.weights().is_some_and(|at| at.weight == i);
    let (multiplied, divided) = match is_weight {
        true if is_depthwise(graph, node) => {
            let x = node.inputs[0];
            let each = shape[0] / graph.value(x).shape[3].max(1);
            let read = scales.get(&(x, 3));
            let read = read.map(|read| (0..shape[0]).map(|o| read[o / each.max(1)]).collect());
            let made = scales.get(&(id, 0)).cloned();
            (quotient(shape[0], made, read).map(|s| (0, s)), None)
        }
        true => {
            let divided = scales.get(&(id, last)).cloned();
            (
                scales.get(&(id, 0)).cloned().map(|s| (0, s)),
                divided.map(|s| (last, s)),
            )
        }
        false => (scales.get(&(id, last)).cloned().map(|s| (last, s)), None),
    };
    if multiplied.is_none() && divided.is_none() {
        return Ok(None);
    }
    let at = |i: usize, (axis, scale): &(usize, Vec<f64>)| {
        let inner = num_elements(&shape[axis + 1..]).max(1);
        scale[i / inner % scale.len()]
    };
    let values = tensor.to_f64().into_iter().enumerate().map(|(i, x)| {
        let times = multiplied.as_ref().map_or(1.0, |s| at(i, s));
        let over = divided.as_ref().map_or(1.0, |s| at(i, s));
        (x * times / over) as f32
    });
    Tensor::from_f32(shape, &values.collect::<Vec<f32>>()).map(Some)
}

/// `a / b` element by element, with 1 for what is missing; `None` if both are.
fn quotient(size: usize, a: Option<Vec<f64>>, b: Option<Vec<f64>>) -> Option<Vec<f64>> {
    if a.is_none() && b.is_none() {
        return None;
    }
    let one = || vec![1.0; size];
    let (a, b) = (a.unwrap_or_else(one), b.unwrap_or_else(one));
    Some(a.iter().zip(b).map(|(a, b)| a / b).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ops::{Conv2d, Map};
    use crate::kernels::product::Conv;

    fn dense() -> Conv2d {
        Conv2d::new(Conv::square(1, 0, 1, 1))
    }

    /// A layer with two channels of peaks 8 and 1, and one behind it.
    fn network(next: Conv2d, weights: &[usize], w: &[f32]) -> Graph {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[1, 1, 1, 1]);
        let first = Tensor::from_f32(&[2, 1, 1, 1], &[8.0, 1.0]).expect("two");
        let first = graph.param("first", first);
        let y = graph.push("y", dense().without_bias(), &[x, first]);
        let y = graph
            .push("ramp", Map::RELU, &[y.expect("fits")])
            .expect("fits");
        let w = graph.param("second", Tensor::from_f32(weights, w).expect("fits"));
        let z = graph.push("z", next.without_bias(), &[y, w]).expect("fits");
        graph.output(z);
        graph
    }

    fn param(graph: &Graph, name: &str) -> Vec<f32> {
        let id = graph.find(name).expect("it is there");
        graph.tensor(id).expect("stored").to_f32()
    }

    fn equalized(graph: &Graph) -> Graph {
        let peaks = BTreeMap::from([("ramp".to_owned(), vec![8.0, 1.0])]);
        equalize(graph, &peaks).expect("well formed")
    }

    #[test]
    fn channels_that_a_depthwise_layer_reads_have_one_peak() {
        let depthwise = Conv2d::new(Conv::square(1, 0, 1, 2));
        let graph = network(depthwise, &[2, 1, 1, 1], &[3.0, 16.0]);
        let after = equalized(&graph);
        assert_eq!(param(&after, "first"), [8.0, 8.0]);
        assert_eq!(param(&after, "second"), [3.0, 2.0]);
    }

    #[test]
    fn activations_and_weights_share_what_is_uneven() {
        // Columns of 1 and 2, peaks of 1 and 1/8: √(½ / 1) and √(1 / ⅛).
        let graph = network(dense(), &[1, 1, 1, 2], &[1.0, 2.0]);
        let after = equalized(&graph);
        let (a, b) = (0.5f32.sqrt(), 8f32.sqrt());
        assert_eq!(param(&after, "first"), [8.0 * a, b]);
        assert_eq!(param(&after, "second"), [1.0 / a, 2.0 / b]);
    }

    #[test]
    fn what_bends_elsewhere_than_at_zero_stays() {
        let graph = network(dense(), &[1, 1, 1, 2], &[1.0, 2.0]);
        assert_eq!(scalable(&graph).len(), 2);
        let bent = Map {
            f: Unary::Clip { min: 0.0, max: 6.0 },
        };
        let mut other = Graph::new();
        let x = other.input("x", DType::F32, &[1, 1, 1, 1]);
        let w = Tensor::from_f32(&[2, 1, 1, 1], &[8.0, 1.0]).expect("two");
        let w = other.param("first", w);
        let y = other.push("y", dense().without_bias(), &[x, w]);
        let y = other.push("bent", bent, &[y.expect("fits")]).expect("fits");
        other.output(y);
        assert!(scalable(&other).is_empty());
    }
}
