//! Quantization-aware training: fake-quantized weights and activations with learned scales.

use std::sync::Arc;

use super::points::{QuantParams, has_weights, is_quantized_result};
use crate::base::{DType, QParams, Quantization, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Rewriter, Source, ValueId};

/// A graph with fake quantization in it.
#[derive(Clone, Debug)]
pub struct FakeQuantized {
    /// The network; its scales are parameters named `<value>:scale`.
    pub graph: Graph,
    /// The scales, to be trained.
    pub scales: Vec<ValueId>,
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
    for (id, value) in graph.values() {
        if matches!(value.source, Source::Input) && value.dtype == DType::F32 {
            let x = rewriter.get(id)?;
            let q = Quantization::per_tensor(params.activation(&value.name)?);
            let y = fake_quantize(&mut rewriter.graph, &value.name, x, &q, &mut scales)?;
            rewriter.map(id, y);
        }
    }
    for node in graph.nodes() {
        if !has_weights(&node.op) {
            rewriter.copy(node)?;
        } else {
            let mut inputs: Vec<ValueId> = node
                .inputs
                .iter()
                .map(|&id| rewriter.get(id))
                .collect::<Result<_>>()?;
            let q = params.weight(&node.name)?;
            if q.binary {
                let problem = "weights of one bit cannot be learned; use 2 bits (w2aM)";
                return Err(Error::invalid(&node.name, problem));
            }
            let name = format!("{}.weight", node.name);
            inputs[1] = fake_quantize(&mut rewriter.graph, &name, inputs[1], q, &mut scales)?;
            let y = rewriter.graph.push(&node.name, node.op.clone(), &inputs)?;
            rewriter.map(node.outputs[0], y);
        }
        if is_quantized_result(graph, node, params.activations.contains_key(&node.name)) {
            let x = rewriter.get(node.outputs[0])?;
            let q = Quantization::per_tensor(params.activation(&node.name)?);
            let y = fake_quantize(&mut rewriter.graph, &node.name, x, &q, &mut scales)?;
            rewriter.map(node.outputs[0], y);
        }
    }
    Ok(FakeQuantized {
        graph: rewriter.finish()?,
        scales,
    })
}

/// Appends quantize-dequantize of `x`; its scale joins `scales`.
pub(super) fn fake_quantize(
    graph: &mut Graph,
    name: &str,
    x: ValueId,
    q: &Quantization,
    scales: &mut Vec<ValueId>,
) -> Result<ValueId> {
    let channels = q.scales.len();
    let scale = graph.param(
        &format!("{name}:scale"),
        Tensor::from_f32(&[channels], &q.scales)?,
    );
    let zero_point = graph.param(
        &format!("{name}:zero_point"),
        Tensor::from_i32(&[channels], &q.zero_points)?,
    );
    let inv_scale = graph.push(&format!("{name}:inv_scale"), Op::Reciprocal, &[scale])?;
    scales.push(scale);
    let shape = &graph.value(x).shape;
    let elements: usize = match q.axis {
        Some(axis) => shape.iter().product::<usize>() / shape[axis],
        None => shape.iter().skip(1).product(),
    };
    let largest = q.range.qmax.max(1) as f32;
    let grad_factor = 1.0 / (elements as f32 * largest).sqrt();
    let op = Op::FakeQuant {
        axis: q.axis,
        range: q.range,
        grad_factor,
    };
    graph.push(
        &format!("{name}:fake_quant"),
        op,
        &[x, scale, inv_scale, zero_point],
    )
}

/// Takes learned scales back into the parameters: `trained` holds tensors by parameter name, those
/// named `<value>:scale` among them.
///
/// # Errors
/// [`Error::Invalid`] for a scale that is not finite and positive.
pub fn adopt_scales(params: &QuantParams, trained: &[(String, Tensor)]) -> Result<QuantParams> {
    let mut out = params.clone();
    for (name, tensor) in trained {
        let Some(value) = name.strip_suffix(":scale") else {
            continue;
        };
        let scales = tensor.as_f32()?;
        if let Some(bad) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Error::invalid(
                "qat",
                format!("the learned scale of `{value}` is {bad}"),
            ));
        }
        if let Some(q) = out.activations.get_mut(value) {
            *q = QParams {
                scale: scales[0],
                ..*q
            };
        } else if let Some(q) = value
            .strip_suffix(".weight")
            .and_then(|layer| out.weights.get_mut(layer))
        {
            q.scales = scales.to_vec();
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
    let mut input_params = std::collections::HashMap::new();
    for (id, value) in graph.values() {
        if let Some(q) = params.activations.get(&value.name) {
            input_params.insert(id, *q);
        }
    }
    for node in graph.nodes() {
        if !has_weights(&node.op) {
            // Pooling and reshaping pass on the parameters of their operand.
            if let (Some(q), Some(&y)) = (
                input_params.get(&node.inputs[0]).copied(),
                node.outputs.first(),
            ) {
                input_params.entry(y).or_insert(q);
            }
            continue;
        }
        let weight = params.weight(&node.name)?;
        let x = input_params.get(&node.inputs[0]).copied().ok_or_else(|| {
            Error::invalid(&node.name, "its operand has no range; calibrate first")
        })?;
        let (w, bias) = (graph.tensor(node.inputs[1]), graph.tensor(node.inputs[2]));
        let (Some(w), Some(bias)) = (w, bias) else {
            return Err(Error::invalid(
                &node.name,
                "its weights are computed, not stored",
            ));
        };
        let per_channel = w.len() / weight.scales.len();
        let snapped: Vec<f32> = w
            .to_f32()
            .iter()
            .enumerate()
            .map(|(i, &x)| {
                let channel = i / per_channel;
                weight
                    .channel(channel)
                    .dequantize(weight.quantize(channel, x))
            })
            .collect();
        let snapped_bias: Vec<f32> = bias
            .to_f64()
            .iter()
            .enumerate()
            .map(|(c, b)| {
                let unit = f64::from(x.scale) * f64::from(weight.channel(c).scale);
                ((b / unit).round_ties_even() * unit) as f32
            })
            .collect();
        out.set_tensor(
            node.inputs[1],
            Arc::new(Tensor::from_f32(w.shape(), &snapped)?),
        )?;
        out.set_tensor(
            node.inputs[2],
            Arc::new(Tensor::from_f32(bias.shape(), &snapped_bias)?),
        )?;
    }
    Ok(out)
}
