//! Quantization-aware training: fake-quantized weights and activations with learned scales.

use super::points::{Placement, Point, QuantParams, weights_of};
use crate::base::{QParams, Quantization, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{FakeQuant, Map};
use crate::graph::{Graph, Node, Rewriter, ValueId};
use crate::kernels::map::Unary;

/// A graph with fake quantization in it.
#[derive(Clone, Debug)]
pub struct FakeQuantized {
    /// The network; its scales are parameters.
    pub graph: Graph,
    /// The scales, to be trained.
    pub scales: Vec<LearnedScale>,
}

/// A scale that training may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedScale {
    /// The parameter of the graph.
    pub param: ValueId,
    /// Name of the value that it quantizes.
    pub of: String,
}

/// Inserts quantize-dequantize after every input, every quantized result, and on every weight, with
/// scales that start as `params` says and can be learned (LSQ, Esser et al. 2020). Zero points stay.
///
/// The gradient of a scale is multiplied by `1 / √(elements · qmax)`, as the paper does; for activations
/// the elements of one image count.
///
/// # Errors
/// [`Error::Invalid`] for a value without parameters.
pub fn insert_fake_quant(graph: &Graph, params: &QuantParams) -> Result<FakeQuantized> {
    let mut rewriter = Rewriter::new(graph);
    let mut scales = Vec::new();
    let placement = Placement::of(graph, params);
    let floats = placement.quantized();
    for &id in &floats {
        if graph.producer(id).is_some() {
            continue;
        }
        let name = &graph.value(id).name;
        let x = rewriter.get(id)?;
        let q = Quantization::per_tensor(params.activation(name)?);
        let y = fake_quantize(&mut rewriter.graph, name, x, &q, Some(&mut scales))?;
        rewriter.map(id, y);
    }
    for (i, node) in graph.nodes().iter().enumerate() {
        let float = params.floats.contains(&node.name);
        match weights_of(node).filter(|_| !float) {
            None => rewriter.copy(node)?,
            Some(w) => {
                let name = &graph.value(w).name;
                let q = params.weight(name)?;
                if q.binary {
                    let problem = "weights of one bit cannot be learned; use 2 bits (w2aM)";
                    return Err(Error::invalid(&node.name, problem));
                }
                let x = rewriter.get(w)?;
                let y = fake_quantize(&mut rewriter.graph, name, x, q, Some(&mut scales))?;
                let mut inputs = Vec::new();
                for &id in &node.inputs {
                    inputs.push(if id == w { y } else { rewriter.get(id)? });
                }
                rewriter.replace(node, node.op.clone(), &inputs)?;
            }
        }
        let y = node.outputs[0];
        let name = &graph.value(y).name;
        let outputs = params.everywhere && params.activations.contains_key(name);
        let point = match floats.contains(&y) {
            true => Some(Point::Observed),
            false => placement.point(i, outputs),
        };
        let (q, scales) = match point {
            Some(Point::Observed) => (params.activation(name)?, Some(&mut scales)),
            Some(Point::Fixed(q)) => (q, None),
            None => continue,
        };
        let x = rewriter.get(y)?;
        let q = Quantization::per_tensor(q);
        let new = fake_quantize(&mut rewriter.graph, name, x, &q, scales)?;
        rewriter.map(y, new);
    }
    Ok(FakeQuantized {
        graph: rewriter.finish()?,
        scales,
    })
}

/// Appends quantize-dequantize of `x`, the value `name`; its scale joins `scales`, if it can be learned.
pub(super) fn fake_quantize(
    graph: &mut Graph,
    name: &str,
    x: ValueId,
    q: &Quantization,
    scales: Option<&mut Vec<LearnedScale>>,
) -> Result<ValueId> {
    let channels = q.scales.len();
    let part = |what: &str| format!("{what} of {name}");
    let scale = Tensor::from_f32(&[channels], &q.scales)?;
    let zero_point = Tensor::from_i32(&[channels], &q.zero_points)?;
    let scale = graph.param(&part("scale"), scale);
    let zero_point = graph.param(&part("zero point"), zero_point);
    let f = Unary::Reciprocal;
    let inv_scale = graph.push(&part("inverse scale"), Map { f }, &[scale])?;
    if let Some(scales) = scales {
        scales.push(LearnedScale {
            param: scale,
            of: name.to_owned(),
        });
    }
    let shape = &graph.value(x).shape;
    let elements: usize = match q.axis {
        Some(axis) => shape.iter().product::<usize>() / shape[axis],
        None => shape.iter().skip(1).product(),
    };
    let largest = q.range.qmax.max(1) as f32;
    let op = FakeQuant {
        axis: q.axis,
        range: q.range,
        grad_factor: 1.0 / (elements as f32 * largest).sqrt(),
    };
    let operands = [x, scale, inv_scale, zero_point];
    graph.push(&format!("{name}:fake_quant"), op, &operands)
}

/// Takes learned scales back into the parameters: `trained` holds the value that each quantizes, by name,
/// and the scales.
///
/// # Errors
/// [`Error::Invalid`] for a scale that is not finite and positive, or of a value that has none.
pub fn adopt_scales(params: &QuantParams, trained: &[(String, Tensor)]) -> Result<QuantParams> {
    let mut out = params.clone();
    for (value, tensor) in trained {
        let scales = tensor.as_f32()?;
        if let Some(bad) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            let problem = format!("the learned scale of `{value}` is {bad}");
            return Err(Error::invalid("qat", problem));
        }
        if let Some(q) = out.activations.get_mut(value) {
            *q = QParams {
                scale: scales[0],
                ..*q
            };
        } else if let Some(q) = out.weights.get_mut(value) {
            q.scales = scales.to_vec();
        } else {
            return Err(Error::invalid("qat", format!("`{value}` has no scale")));
        }
    }
    Ok(out)
}

/// The float graph with weights rounded to what the integers of [`super::freeze`] stand for, biases
/// included: the reference that an int8 network must reproduce layer by layer.
///
/// # Errors
/// As [`insert_fake_quant`].
pub fn snap_parameters(graph: &Graph, params: &QuantParams) -> Result<Graph> {
    let mut out = graph.clone();
    for node in graph.nodes() {
        let float = params.floats.contains(&node.name);
        let Some(w_id) = weights_of(node).filter(|_| !float) else {
            continue;
        };
        let weight = params.weight(&graph.value(w_id).name)?;
        let x = params.of(graph, node.inputs[0])?;
        let tensor = |id: ValueId| {
            graph
                .tensor(id)
                .ok_or_else(|| Error::invalid(&node.name, "its weights are computed, not stored"))
        };
        let w = tensor(w_id)?;
        let per_channel = w.len() / weight.scales.len();
        let snap = |(i, &x): (usize, &f32)| {
            let channel = i / per_channel;
            weight
                .channel(channel)
                .dequantize(weight.quantize(channel, x))
        };
        let snapped: Vec<f32> = w.to_f32().iter().enumerate().map(snap).collect();
        out.set_tensor(w_id, Tensor::from_f32(w.shape(), &snapped)?)?;
        if let Some(bias_id) = bias_of(node) {
            let bias = tensor(bias_id)?;
            let snap = |(c, b): (usize, &f64)| {
                let unit = f64::from(x.scale) * f64::from(weight.channel(c).scale);
                ((b / unit).round_ties_even() * unit) as f32
            };
            let snapped: Vec<f32> = bias.to_f64().iter().enumerate().map(snap).collect();
            out.set_tensor(bias_id, Tensor::from_f32(bias.shape(), &snapped)?)?;
        }
    }
    Ok(out)
}

fn bias_of(node: &Node) -> Option<ValueId> {
    let at = node.op.weights()?.bias?;
    node.inputs.get(at).copied()
}
