//! From a float network and its parameters to an integer network. PTQ and QAT both end here.

use std::sync::Arc;

use super::points::{Point, QuantParams, constants, float_inputs, has_weights, point_of};
use super::scheme::{Preset, Scheme};
use super::weights::{dequantize, quantize_weights};
use crate::base::{DType, QParams, Quantization, Requant, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{Dequantize, QuantRule, Quantize};
use crate::graph::{
    Graph, Node, Rewriter, ValueId, drop_dead, fold_batch_norm, fuse_activations, fuse_residual,
};

/// The float graph as the conventions of a scheme quantize it: batch norm folded, and fused what narrows
/// the range of a result and no more (ReLU, ReLU6); for wizen's own schemes residual additions join the
/// convolution before them, for those of PyTorch and ONNX Runtime they stay operations of their own, with
/// results of their own.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn prepare(graph: &Graph, scheme: Scheme) -> Result<Graph> {
    let folded = fold_batch_norm(graph)?;
    let fused = drop_dead(&fuse_activations(&folded, |f| f.as_clamp().is_some())?)?;
    match scheme.preset() {
        Preset::Wizen => fuse_residual(&fused),
        Preset::Torch | Preset::Onnx => Ok(fused),
    }
}

/// Rewrites a float graph (batch norm folded, ReLU fused, masks baked) into int8: quantized inputs,
/// integer layers, residual adds and pools, dequantized results. No float tensor in between.
///
/// # Errors
/// [`Error::Invalid`] naming an operation that has no integer form, a layer without parameters, or one
/// whose accumulator could overflow int32.
pub fn freeze(graph: &Graph, params: &QuantParams, requant: Requant) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    rewriter.graph.set_requant(requant);
    for id in float_inputs(graph) {
        let q = params.activation(&graph.value(id).name)?;
        let x = rewriter.get(id)?;
        let name = format!("quantize {}", graph.value(id).name);
        let quant = Quantization::per_tensor(q);
        let y = rewriter
            .graph
            .push_quantized(&name, Quantize, &[x], quant)?;
        rewriter.map(id, y);
    }
    for id in constants(graph) {
        let name = &graph.value(id).name;
        let quant = Quantization::per_tensor(params.activation(name)?);
        if let Some(tensor) = graph.tensor(id) {
            let tensor = quantize_weights(tensor, &quant)?;
            let new = rewriter.graph.param_quantized(name, tensor, quant);
            rewriter.map(id, new);
        }
    }
    for node in graph.nodes() {
        let outputs = node.outputs.iter();
        let outputs = outputs.map(|&y| &graph.value(y).name);
        let outputs = outputs
            .into_iter()
            .any(|y| params.activations.contains_key(y));
        let quant = match point_of(graph, node, outputs) {
            Some(Point::Observed) => Some(params.activation(&graph.value(node.outputs[0]).name)?),
            Some(Point::Fixed(q)) => Some(q),
            None => None,
        };
        let quant = quant.map(Quantization::per_tensor);
        if params.floats.contains(&node.name) {
            float_layer(&mut rewriter, node, quant)?;
            continue;
        }
        if has_weights(node) {
            layer(&mut rewriter, node, params, quant)?;
            continue;
        }
        if node.op.quantization() == QuantRule::Float {
            let problem = format!(
                "{} has no integer form; fold batch norm and bake masks before quantizing, or keep its \
                 part of the network in float",
                node.op.name()
            );
            return Err(Error::invalid(&node.name, problem));
        }
        let inputs: Vec<ValueId> = node
            .inputs
            .iter()
            .map(|&id| rewriter.get(id))
            .collect::<Result<_>>()?;
        let made = rewriter
            .graph
            .push_as(&node.name, node.op.clone(), &inputs, quant)?;
        for (&old, new) in node.outputs.iter().zip(made) {
            rewriter.map(old, new);
        }
    }
    let mut names = Vec::new();
    for (&output, name) in graph.outputs().iter().zip(graph.output_names()) {
        let x = rewriter.get(output)?;
        let y = match rewriter.graph.value(x).dtype {
            DType::I8 | DType::I32 => {
                let name = format!("dequantize {name}");
                rewriter.graph.push(&name, Dequantize, &[x])?
            }
            DType::F32 | DType::F16 | DType::U32 => x,
        };
        names.push((name, y));
    }
    let mut frozen = rewriter.graph;
    for (name, y) in names {
        frozen.output_named(name, y);
    }
    Ok(frozen)
}

/// A layer that stays float between integers.
fn float_layer(
    rewriter: &mut Rewriter<'_>,
    node: &Node,
    quant: Option<Quantization>,
) -> Result<()> {
    let mut inputs = Vec::new();
    for &id in &node.inputs {
        let x = rewriter.get(id)?;
        let value = rewriter.graph.value(x);
        inputs.push(match value.dtype {
            DType::I8 => {
                let name = format!("dequantize {} for {}", value.name, node.name);
                rewriter.graph.push(&name, Dequantize, &[x])?
            }
            _ => x,
        });
    }
    rewriter.replace(node, node.op.clone(), &inputs)?;
    let y = node.outputs[0];
    if let Some(quant) = quant {
        let x = rewriter.get(y)?;
        let name = format!("quantize {}", node.name);
        let integers = rewriter
            .graph
            .push_quantized(&name, Quantize, &[x], quant)?;
        rewriter.map(y, integers);
    }
    Ok(())
}

/// A layer with weights: they and the bias become integers.
fn layer(
    rewriter: &mut Rewriter<'_>,
    node: &Node,
    params: &QuantParams,
    quant: Option<Quantization>,
) -> Result<()> {
    let graph = rewriter.old();
    let at = node.op.weights();
    let (Some(at), Some(op)) = (at, node.op.rules().with_bias()) else {
        return Err(Error::invalid(&node.name, "it has no weights"));
    };
    if let Some(f) = node
        .op
        .rules()
        .activation()
        .filter(|f| f.as_clamp().is_none())
    {
        let problem = format!(
            "it ends in {}, which integers cannot do in the same step; give the function a node of its own",
            f.name()
        );
        return Err(Error::invalid(&node.name, problem));
    }
    let x = rewriter.get(node.inputs[0])?;
    let x_params = rewriter.graph.value(x).qparams().ok_or_else(|| {
        let name = &graph.value(node.inputs[0]).name;
        Error::invalid(&node.name, format!("`{name}` is not quantized"))
    })?;
    let residual = match at.residual {
        Some(i) => Some(rewriter.get(node.inputs[i])?),
        None => None,
    };
    let residual_params = residual.and_then(|id| rewriter.graph.value(id).qparams());
    let param = |id: ValueId| -> Result<&Arc<Tensor>> {
        graph.tensor(id).ok_or_else(|| {
            let name = &graph.value(id).name;
            let problem = format!("`{name}` is computed, not stored; bake masks first");
            Error::invalid(&node.name, problem)
        })
    };
    let weight_id = node.inputs[at.weight];
    let bias_id = at.bias.and_then(|i| node.inputs.get(i)).copied();
    let float_w = param(weight_id)?;
    let mut float_bias = match bias_id {
        Some(id) => param(id)?.to_f64(),
        None => vec![0.0; float_w.shape()[0]],
    };
    let weight_name = &graph.value(weight_id).name;
    let own = params.weight(weight_name)?;
    let own = large_enough(own, x_params, &float_bias, residual_params);
    let w = quantize_weights(float_w, &own)?;
    if let Some(means) = params.means.get(&graph.value(node.inputs[0]).name) {
        let errors = mean_errors(float_w, &dequantize(&w, &own)?, means);
        for (bias, error) in float_bias.iter_mut().zip(errors) {
            *bias -= error;
        }
    }
    let mut units = Vec::with_capacity(float_bias.len());
    for (c, &real) in float_bias.iter().enumerate() {
        let unit = f64::from(x_params.scale) * f64::from(own.channel(c).scale);
        let rounded = (real / unit).round_ties_even();
        if rounded.is_nan() || rounded.abs() > f64::from(i32::MAX) {
            let problem = format!(
                "channel {c}: the bias {real} is {rounded:e} units of the accumulator, which overflows int32; \
                 its weights are too small for int8"
            );
            return Err(Error::invalid(&node.name, problem));
        }
        units.push(rounded as i32);
    }
    let units = Tensor::from_i32(&[units.len()], &units)?;
    let w = rewriter.graph.param_quantized(weight_name, w, own);
    let name = match bias_id {
        Some(id) => graph.value(id).name.clone(),
        None => format!("{}.bias", node.name),
    };
    let b = rewriter.graph.param(&name, units);
    let mut inputs = vec![x, w];
    inputs.push(b);
    inputs.extend(residual);
    let made = rewriter.graph.push_as(&node.name, op, &inputs, quant)?;
    rewriter.map(node.outputs[0], made[0]);
    Ok(())
}

/// `Σ (rounded − w) · mean` of every output channel: by how much rounded weights shift its mean (bias
/// correction, Nagel et al. 2019, "Data-Free Quantization", section 4.2; the means are measured here).
fn mean_errors(w: &Tensor, rounded: &Tensor, means: &[f32]) -> Vec<f64> {
    let (channels, inputs) = (w.shape()[0], w.shape().last().copied().unwrap_or(1));
    let (w, rounded) = (w.to_f64(), rounded.to_f64());
    let per_channel = w.len() / channels.max(1);
    // Channels of the group that an output channel reads.
    let groups = (means.len() / inputs.max(1)).max(1);
    let error = |o: usize| -> f64 {
        let first = o / (channels / groups).max(1) * inputs;
        (0..per_channel)
            .map(|i| {
                let at = o * per_channel + i;
                let mean = means.get(first + i % inputs).copied().unwrap_or(0.0);
                (rounded[at] - w[at]) * f64::from(mean)
            })
            .sum()
    };
    (0..channels).map(error).collect()
}

/// Scales that are large enough for bias and residual: a channel whose weights are so small that either
/// would overflow the accumulator gets a larger one. Its products then round to what they are next to the
/// others, nothing.
fn large_enough(
    weight: &Quantization,
    x: QParams,
    bias: &[f64],
    residual: Option<QParams>,
) -> Quantization {
    let mut weight = weight.clone();
    if weight.binary || weight.scales.len() != bias.len() {
        return weight;
    }
    let largest_residual = residual.map_or(0.0, |r| 255.0 * f64::from(r.scale));
    for (scale, bias) in weight.scales.iter_mut().zip(bias) {
        let largest = bias.abs().max(largest_residual) / f64::from(1 << 29);
        let least = (largest / f64::from(x.scale)) as f32;
        if least.is_finite() {
            *scale = scale.max(least);
        }
    }
    weight
}
