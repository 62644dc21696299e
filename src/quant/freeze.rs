//! From a float network and its parameters to an integer network. PTQ and QAT both end here.

use std::collections::HashMap;
use std::sync::Arc;

use super::points::QuantParams;
use super::scheme::{Preset, Scheme};
use super::weights::{dequantize, quantize_weights};
use crate::base::{DType, QParams, Quantization, Range, Requant, Tensor};
use crate::error::{Error, Result};
use crate::graph::{
    Graph, Node, Op, Rewriter, ValueId, drop_dead, fold_batch_norm, fuse_relu, optimize,
};
use crate::kernels::{OutI8, ResidualI8};

/// The float graph as the conventions of a scheme quantize it: batch norm folded and ReLU fused; for
/// wizen's own schemes residual additions join the convolution before them ([`optimize`]), for those of
/// PyTorch and ONNX Runtime they stay operations of their own, with results of their own.
///
/// # Errors
/// As [`optimize`].
pub fn prepare(graph: &Graph, scheme: Scheme) -> Result<Graph> {
    match scheme.preset() {
        Preset::Wizen => optimize(graph),
        Preset::Torch | Preset::Onnx => drop_dead(&fuse_relu(&fold_batch_norm(graph)?)?),
    }
}

/// Rewrites a float graph (batch norm folded, ReLU fused, masks baked) into int8: quantized input,
/// integer layers, residual adds and pools, dequantized results. No float tensor in between.
///
/// # Errors
/// [`Error::Invalid`] naming a layer that cannot be quantized, has no parameters, or whose accumulator
/// could overflow int32.
pub fn freeze(graph: &Graph, params: &QuantParams, requant: Requant) -> Result<Graph> {
    let mut freezer = Freezer {
        rewriter: Rewriter::new(graph),
        graph,
        params,
        requant,
        known: HashMap::new(),
    };
    for id in graph.inputs() {
        freezer.input(id)?;
    }
    for node in graph.nodes() {
        freezer.node(node)?;
    }
    for &output in graph.outputs() {
        freezer.dequantize_output(output)?;
    }
    freezer.rewriter.finish()
}

struct Freezer<'a> {
    rewriter: Rewriter<'a>,
    graph: &'a Graph,
    params: &'a QuantParams,
    requant: Requant,
    /// Parameters of the quantized values of the old graph.
    known: HashMap<ValueId, QParams>,
}

impl Freezer<'_> {
    fn input(&mut self, id: ValueId) -> Result<()> {
        let value = self.graph.value(id);
        let q = self.params.activation(&value.name)?;
        let x = self.rewriter.get(id)?;
        let graph = &mut self.rewriter.graph;
        let inv_scale = graph.param(
            &format!("{}:inv_scale", value.name),
            scalar_f32(q.inv_scale())?,
        );
        let zero_point = graph.param(
            &format!("{}:zero_point", value.name),
            scalar_i32(q.zero_point)?,
        );
        let name = format!("quantize {}", value.name);
        let y = graph.push(
            &name,
            Op::Quantize { range: q.range },
            &[x, inv_scale, zero_point],
        )?;
        self.rewriter.map(id, y);
        self.known.insert(id, q);
        Ok(())
    }

    fn known(&self, node: &Node, operand: usize) -> Result<QParams> {
        let id = node.inputs[operand];
        self.known.get(&id).copied().ok_or_else(|| {
            Error::invalid(
                &node.name,
                format!("`{}` is not quantized", self.graph.value(id).name),
            )
        })
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        match &node.op {
            Op::Linear { relu } => self.layer(node, *relu, None),
            Op::Conv2d { conv, relu } => self.layer(node, *relu, Some(*conv)),
            Op::Add { relu } => {
                let (a, b) = (self.known(node, 0)?, self.known(node, 1)?);
                let y = self.params.activation(&node.name)?;
                let range = if *relu { at_least_zero(y) } else { y.range };
                let op = Op::AddI8 {
                    a,
                    b,
                    y: QParams { range, ..y },
                    requant: self.requant,
                };
                self.push(node, op, &node.inputs, y)
            }
            Op::MaxPool(_) | Op::Flatten | Op::Reshape { .. } => {
                let q = self.known(node, 0)?;
                self.push(node, node.op.clone(), &node.inputs, q)
            }
            Op::GlobalAvgPool => {
                let (x, y) = (self.known(node, 0)?, self.params.activation(&node.name)?);
                let op = Op::GlobalAvgPoolI8 {
                    x_zero_point: x.zero_point,
                    scale: f64::from(x.scale) / f64::from(y.scale),
                    out: OutI8 {
                        requant: self.requant,
                        zero_point: y.zero_point,
                        range: y.range,
                    },
                };
                self.push(node, op, &node.inputs, y)
            }
            _ => Err(Error::invalid(
                &node.name,
                format!(
                    "{} has no integer form; fold batch norm, fuse ReLU and bake masks before quantizing",
                    node.op.name()
                ),
            )),
        }
    }

    fn push(&mut self, node: &Node, op: Op, old_inputs: &[ValueId], q: QParams) -> Result<()> {
        let inputs: Vec<ValueId> = old_inputs
            .iter()
            .map(|&id| self.rewriter.get(id))
            .collect::<Result<_>>()?;
        let y = self.rewriter.graph.push(&node.name, op, &inputs)?;
        self.rewriter.map(node.outputs[0], y);
        self.known.insert(node.outputs[0], q);
        Ok(())
    }

    /// A linear layer or a convolution.
    fn layer(&mut self, node: &Node, relu: bool, conv: Option<crate::kernels::Conv>) -> Result<()> {
        let x = self.known(node, 0)?;
        let weight = self.params.weight(&node.name)?;
        let residual = match node.inputs.get(3) {
            Some(_) => Some(self.known(node, 3)?),
            None => None,
        };
        let means = self
            .params
            .means
            .get(&self.graph.value(node.inputs[0]).name);
        let tensors = IntegerLayer::new(self.graph, node, x, weight, residual, means)?;
        let operand = self.rewriter.get(node.inputs[0])?;
        let graph = &mut self.rewriter.graph;
        let names = [1, 2].map(|i| self.graph.value(node.inputs[i]).name.as_str());
        let w = graph.param(names[0], tensors.w);
        let bias = graph.param(names[1], tensors.bias);
        let kept = !self.params.activations.contains_key(&node.name);
        if kept && self.graph.outputs().contains(&node.outputs[0]) {
            if conv.is_some() || relu {
                let problem = "a result of the network must be a linear layer without ReLU";
                return Err(Error::invalid(&node.name, problem));
            }
            let name = format!("{}:accumulator", node.name);
            let accumulator = graph.push(&name, Op::LinearI32, &[operand, w, bias])?;
            let scales: Vec<f32> = tensors.acc_scales.iter().map(|&s| s as f32).collect();
            let zeros = Tensor::zeros(&[scales.len()], DType::I32);
            let scale = graph.param(
                &format!("{}:scale", node.name),
                Tensor::from_f32(&[scales.len()], &scales)?,
            );
            let zero_point = graph.param(&format!("{}:zero_point", node.name), zeros);
            let op = Op::Dequantize { axis: Some(1) };
            let y = graph.push(&node.name, op, &[accumulator, scale, zero_point])?;
            self.rewriter.map(node.outputs[0], y);
            return Ok(());
        }
        let y = self.params.activation(&node.name)?;
        let range = if relu { at_least_zero(y) } else { y.range };
        let out = OutI8 {
            requant: self.requant,
            zero_point: y.zero_point,
            range,
        };
        let m: Vec<f64> = tensors
            .acc_scales
            .iter()
            .map(|s| f64::from((s / f64::from(y.scale)) as f32))
            .collect();
        let multiplier = graph.param(&format!("{}:multiplier", node.name), out.multipliers(&m));
        let mut operands = vec![operand, w, bias, multiplier];
        let op = match conv {
            None => Op::LinearI8 { out },
            Some(conv) => Op::Conv2dI8 {
                conv,
                x_zero_point: x.zero_point,
                out,
                residual: tensors.residual.as_ref().map(|(residual, _)| *residual),
            },
        };
        if let Some((_, multipliers)) = tensors.residual {
            let name = format!("{}:residual_multiplier", node.name);
            operands.push(self.rewriter.get(node.inputs[3])?);
            operands.push(self.rewriter.graph.param(&name, multipliers));
        }
        let result = self.rewriter.graph.push(&node.name, op, &operands)?;
        self.rewriter.map(node.outputs[0], result);
        self.known.insert(node.outputs[0], y);
        Ok(())
    }

    /// Results that are still integers become float again.
    fn dequantize_output(&mut self, output: ValueId) -> Result<()> {
        let Some(q) = self.known.get(&output).copied() else {
            return Ok(());
        };
        let name = self.graph.value(output).name.clone();
        let x = self.rewriter.get(output)?;
        let graph = &mut self.rewriter.graph;
        let scale = graph.param(&format!("{name}:scale"), scalar_f32(q.scale)?);
        let zero_point = graph.param(&format!("{name}:zero_point"), scalar_i32(q.zero_point)?);
        let op = Op::Dequantize { axis: None };
        let y = graph.push(&format!("dequantize {name}"), op, &[x, scale, zero_point])?;
        self.rewriter.map(output, y);
        self.known.remove(&output);
        Ok(())
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

/// The range of a result after ReLU: nothing below the zero point.
fn at_least_zero(y: QParams) -> Range {
    Range {
        qmin: y.range.qmin.max(y.zero_point),
        qmax: y.range.qmax,
    }
}

fn scalar_f32(x: f32) -> Result<Tensor> {
    Tensor::from_f32(&[1], &[x])
}

fn scalar_i32(x: i32) -> Result<Tensor> {
    Tensor::from_i32(&[1], &[x])
}

/// A layer's integer tensors.
struct IntegerLayer {
    /// `i8`, shape of the float weights.
    w: Tensor,
    /// `i32 [o]`: the bias in units of `s_x · s_w[o]`, minus `z_x · Σ w`.
    bias: Tensor,
    /// `s_x · s_w[o]`: real size of one unit of the accumulator.
    acc_scales: Vec<f64>,
    /// What turns the residual into units of the accumulator, and a multiplier for each channel.
    residual: Option<(ResidualI8, Tensor)>,
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

impl IntegerLayer {
    fn new(
        graph: &Graph,
        node: &Node,
        x: QParams,
        weight: &Quantization,
        residual: Option<QParams>,
        means: Option<&Vec<f32>>,
    ) -> Result<Self> {
        let param = |i: usize| -> Result<&Arc<Tensor>> {
            graph.tensor(node.inputs[i]).ok_or_else(|| {
                let name = &graph.value(node.inputs[i]).name;
                Error::invalid(
                    &node.name,
                    format!("`{name}` is computed, not stored; bake masks first"),
                )
            })
        };
        let (float_w, mut float_bias) = (param(1)?, param(2)?.to_f64());
        let weight = &large_enough(weight, x, &float_bias, residual);
        let w = quantize_weights(float_w, weight)?;
        if let Some(means) = means {
            let errors = mean_errors(float_w, &dequantize(&w, weight)?, means);
            for (bias, error) in float_bias.iter_mut().zip(errors) {
                *bias -= error;
            }
        }
        let integers = w.to_i8()?;
        let per_channel = integers.len() / float_bias.len();
        let mut bias = Vec::with_capacity(float_bias.len());
        let mut acc_scales = Vec::with_capacity(float_bias.len());
        for (channel, &real) in float_bias.iter().enumerate() {
            let scale = f64::from(x.scale) * f64::from(weight.channel(channel).scale);
            let row = &integers[channel * per_channel..(channel + 1) * per_channel];
            let sum: i64 = row.iter().map(|&q| i64::from(q)).sum();
            let magnitude: i64 = row.iter().map(|&q| i64::from(q).abs()).sum();
            let units = (real / scale).round_ties_even();
            let corrected = units - (sum * i64::from(x.zero_point)) as f64;
            // |Σ x·w| ≤ 128 · Σ|w|; with bias and residual it must stay inside int32.
            let added = residual.map_or(0.0, |r| 255.0 * f64::from(r.scale) / scale);
            let largest = corrected.abs() + 128.0 * magnitude as f64 + added;
            if largest.is_nan() || largest > f64::from(i32::MAX) {
                let problem = format!(
                    "channel {channel}: the bias {real} is {units:e} units of the accumulator, which could \
                     overflow int32; its weights are too small for int8"
                );
                return Err(Error::invalid(&node.name, problem));
            }
            bias.push(corrected as i32);
            acc_scales.push(scale);
        }
        let bias = Tensor::from_i32(&[bias.len()], &bias)?;
        let residual = match residual {
            Some(r) => {
                let ratios: Vec<f64> = acc_scales.iter().map(|s| f64::from(r.scale) / s).collect();
                Some(ResidualI8::new(r.zero_point, &ratios)?)
            }
            None => None,
        };
        Ok(Self {
            w,
            bias,
            acc_scales,
            residual,
        })
    }
}
