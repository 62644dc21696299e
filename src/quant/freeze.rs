//! From a float network and its parameters to an integer network. PTQ and QAT both end here.

use std::collections::HashMap;
use std::sync::Arc;

use super::points::{Placement, Point, QuantParams, has_weights};
use super::scheme::{Preset, Scheme};
use super::weights::{dequantize, quantize_weights};
use crate::base::{DType, QParams, Quantization, Requant, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{Dequantize, Map, Quantize};
use crate::graph::{
    Graph, Node, Rewriter, ValueId, affine_to_layers, drop_dead, fold_batch_norm, fuse_activations,
    fuse_residual,
};

/// The float graph as the conventions of a scheme quantize it: batch norm folded, and fused what narrows
/// the range of a result and no more (ReLU, ReLU6); for wizen's own schemes residual additions join the
/// convolution before them, for those of PyTorch and ONNX Runtime they stay operations of their own, with
/// results of their own.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn prepare(graph: &Graph, scheme: Scheme) -> Result<Graph> {
    let folded = affine_to_layers(&fold_batch_norm(graph)?)?;
    let fused = drop_dead(&fuse_activations(&folded, |f| f.as_clamp().is_some())?)?;
    match scheme.preset() {
        Preset::Wizen => fuse_residual(&fused),
        Preset::Torch | Preset::Onnx => Ok(fused),
    }
}

/// Rewrites a float graph (batch norm folded, ReLU fused, masks baked) into int8: layers with weights and all
/// between them that has an integer form compute with integers. What comes before the first layer, behind the
/// last, has no integer form or was asked to stay float does; integers are made and taken back around it.
///
/// # Errors
/// [`Error::Invalid`] naming a layer without parameters, or one whose accumulator could overflow int32.
pub fn freeze(graph: &Graph, params: &QuantParams, requant: Requant) -> Result<Graph> {
    let placement = Placement::of(graph, params);
    let mut frozen = Freezing {
        rewriter: Rewriter::new(graph),
        params,
        reals: HashMap::new(),
        integers: HashMap::new(),
    };
    frozen.rewriter.graph.set_requant(requant);
    for id in graph.inputs() {
        frozen.rewriter.get(id)?;
    }
    for (i, node) in graph.nodes().iter().enumerate() {
        if !placement.is_integer(i) {
            let inputs = node.inputs.iter().map(|&id| frozen.real(id, &node.name));
            let inputs: Vec<ValueId> = inputs.collect::<Result<_>>()?;
            frozen.rewriter.replace(node, node.op.clone(), &inputs)?;
            continue;
        }
        let outputs = node.outputs.iter();
        let outputs = outputs.map(|&y| &graph.value(y).name);
        let outputs = params.everywhere
            && outputs
                .into_iter()
                .any(|y| params.activations.contains_key(y));
        let quant = match placement.point(i, outputs) {
            Some(Point::Observed) => Some(params.activation(&graph.value(node.outputs[0]).name)?),
            Some(Point::Fixed(q)) => Some(q),
            None => None,
        };
        let quant = quant.map(Quantization::per_tensor);
        if has_weights(node) {
            frozen.layer(node, quant)?;
            continue;
        }
        let inputs = node.inputs.iter().map(|&id| frozen.integer(id));
        let inputs: Vec<ValueId> = inputs.collect::<Result<_>>()?;
        let rewriter = &mut frozen.rewriter;
        let made = rewriter
            .graph
            .push_as(&node.name, node.op.clone(), &inputs, quant)?;
        for (&old, new) in node.outputs.iter().zip(made) {
            rewriter.map(old, new);
        }
    }
    let mut results = Vec::new();
    for (&output, name) in graph.outputs().iter().zip(graph.output_names()) {
        results.push((name, frozen.real(output, name)?));
    }
    let mut frozen = frozen.rewriter.graph;
    for (name, y) in results {
        frozen.output_named(name, y);
    }
    Ok(frozen)
}

/// A float graph on its way to integers.
struct Freezing<'g> {
    rewriter: Rewriter<'g>,
    params: &'g QuantParams,
    /// Integers of the new graph as reals.
    reals: HashMap<ValueId, ValueId>,
    /// Floats of the new graph as integers.
    integers: HashMap<ValueId, ValueId>,
}

impl Freezing<'_> {
    /// What stands for a value, as reals; `reader` is who asks.
    fn real(&mut self, id: ValueId, reader: &str) -> Result<ValueId> {
        let x = self.rewriter.get(id)?;
        if !matches!(self.rewriter.graph.value(x).dtype, DType::I8 | DType::I32) {
            return Ok(x);
        }
        if self.rewriter.graph.value(x).quant.is_none() {
            // Numbers that stand for themselves: the place of a largest element.
            return Ok(x);
        }
        if let Some(&real) = self.reals.get(&x) {
            return Ok(real);
        }
        let value = &self.rewriter.graph.value(x).name;
        let name = match self
            .rewriter
            .old()
            .output_names()
            .iter()
            .any(|n| n == reader)
        {
            true => format!("dequantize {reader}"),
            false => format!("dequantize {value}"),
        };
        let real = self.rewriter.graph.push(&name, Dequantize, &[x])?;
        self.reals.insert(x, real);
        Ok(real)
    }

    /// What stands for a value, as integers.
    fn integer(&mut self, id: ValueId) -> Result<ValueId> {
        let old = self.rewriter.old();
        let value = old.value(id);
        if let Some(tensor) = old.tensor(id).filter(|_| !self.rewriter.is_mapped(id)) {
            let quant = Quantization::per_tensor(self.params.activation(&value.name)?);
            let tensor = quantize_weights(tensor, &quant)?;
            let new = self
                .rewriter
                .graph
                .param_quantized(&value.name, tensor, quant);
            self.integers.insert(new, new);
            self.rewriter.map(id, new);
            return Ok(new);
        }
        let x = self.rewriter.get(id)?;
        if self.rewriter.graph.value(x).dtype == DType::I8 {
            return Ok(x);
        }
        if let Some(&integers) = self.integers.get(&x) {
            return Ok(integers);
        }
        // What moves or selects floats of a layer that stays float has that layer's range.
        let quant = Quantization::per_tensor(self.params.of(old, id)?);
        let name = format!("quantize {}", value.name);
        let graph = &mut self.rewriter.graph;
        let integers = graph.push_quantized(&name, Quantize, &[x], quant)?;
        self.integers.insert(x, integers);
        Ok(integers)
    }

    /// A layer with weights: they and the bias become integers.
    fn layer(&mut self, node: &Node, quant: Option<Quantization>) -> Result<()> {
        let (graph, params) = (self.rewriter.old(), self.params);
        let at = node.op.weights();
        let rules = node.op.rules();
        let op = match quant {
            Some(_) => rules.with_bias(),
            None => rules.sum(),
        };
        let (Some(at), Some(op)) = (at, op) else {
            return Err(Error::invalid(&node.name, "it has no weights"));
        };
        let act = rules.activation();
        if let Some(f) = act.filter(|f| quant.is_some() && f.as_clamp().is_none()) {
            let problem = format!(
                "it ends in {}, which integers cannot do in the same step; give the function a node of its own",
                f.name()
            );
            return Err(Error::invalid(&node.name, problem));
        }
        let x = self.integer(node.inputs[0])?;
        let residual = match at.residual {
            Some(i) => Some(self.integer(node.inputs[i])?),
            None => None,
        };
        let rewriter = &mut self.rewriter;
        let x_params = rewriter.graph.value(x).qparams().ok_or_else(|| {
            let name = &graph.value(node.inputs[0]).name;
            Error::invalid(&node.name, format!("`{name}` is not quantized"))
        })?;
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
        // Nothing rounds a sum that floats read, so the function behind it is theirs too.
        if let Some(f) = act.filter(|_| quant.is_none()) {
            let sum = format!("{} sum", node.name);
            let sum = rewriter.graph.push(&sum, op, &inputs)?;
            let real = format!("dequantize {}", node.name);
            let real = rewriter.graph.push(&real, Dequantize, &[sum])?;
            rewriter.graph.push(&node.name, Map { f }, &[real])
        } else {
            let made = rewriter.graph.push_as(&node.name, op, &inputs, quant)?;
            Ok(made[0])
        }
        .map(|y| rewriter.map(node.outputs[0], y))
    }
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
