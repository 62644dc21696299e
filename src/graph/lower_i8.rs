//! What int8 layers need besides their operands: computed from what the values stand for.

use super::lower::Lowering;
use super::values::{Node, ValueId};
use crate::base::{DType, QParams, Range, Tensor};
use crate::error::{Error, Result};
use crate::kernels::map::Unary;
use crate::kernels::{OutI8, ResidualI8};

/// The numbers of an int8 layer, as values of the plan.
#[derive(Debug)]
pub(crate) struct IntegerProduct {
    /// What `x` stands for.
    pub x: QParams,
    /// `i32 [o]`: the bias of the graph, minus `z_x · Σ w`.
    pub bias: usize,
    /// `u32 [o, 2]`, if there is an `out`.
    pub multiplier: usize,
    /// How accumulators become int8; `None` = the result is the accumulator.
    pub out: Option<OutI8>,
    /// What turns the residual into units of the accumulator, and a multiplier for each channel.
    pub residual: Option<(ResidualI8, usize)>,
}

impl IntegerProduct {
    /// From a node whose operation has [`weights`](super::ops::Weights).
    ///
    /// # Errors
    /// [`Error::Invalid`] for weights or a bias that are computed, scales that do not fit, or sums that could
    /// overflow int32.
    pub fn new(to: &mut Lowering<'_>, node: &Node, act: Option<Unary>) -> Result<Self> {
        let wrong = |problem: String| Error::invalid(&node.name, problem);
        let at = node.op.weights();
        let at = at.ok_or_else(|| wrong("it has no weights".into()))?;
        let weight = node.inputs[at.weight];
        let x = to.qparams(node.inputs[0])?;
        let quant = to.graph.value(weight).quant.as_ref();
        let quant = quant.ok_or_else(|| wrong("its weights have no scales".into()))?;
        let w = to.graph.tensor(weight).ok_or_else(|| {
            let name = &to.graph.value(weight).name;
            wrong(format!(
                "`{name}` is computed, and int8 needs constant weights"
            ))
        })?;
        let (integers, channels) = (w.to_i8()?, w.shape()[0]);
        let per_channel = integers.len() / channels;
        let bias = match at.bias.and_then(|i| node.inputs.get(i)) {
            Some(&id) => match to.graph.tensor(id) {
                Some(bias) => bias.as_i32()?.to_vec(),
                None => {
                    return Err(wrong(
                        "its bias is computed, and int8 needs a constant".into(),
                    ));
                }
            },
            None => vec![0; channels],
        };
        let unit = |c: usize| f64::from(x.scale) * f64::from(quant.channel(c).scale);
        let residual = match at.residual {
            Some(i) => Some(to.qparams(node.inputs[i])?),
            None => None,
        };
        let mut corrected = Vec::with_capacity(channels);
        for (c, row) in integers.chunks(per_channel).enumerate() {
            let sum: i64 = row.iter().map(|&q| i64::from(q)).sum();
            let magnitude: i64 = row.iter().map(|&q| i64::from(q).abs()).sum();
            let start = i64::from(bias[c]) - sum * i64::from(x.zero_point);
            let added = residual.map_or(0.0, |r| 255.0 * f64::from(r.scale) / unit(c));
            // |Σ x·w| ≤ 128 · Σ|w|; with bias and residual it must stay inside int32.
            let largest = start.abs() as f64 + 128.0 * magnitude as f64 + added;
            if largest.is_nan() || largest > f64::from(i32::MAX) {
                return Err(wrong(format!(
                    "channel {c}: sums of up to {largest:e} overflow int32; its weights are too small for int8"
                )));
            }
            corrected.push(start as i32);
        }
        let bias = to.constant(node, "bias", Tensor::from_i32(&[channels], &corrected)?);
        let residual = match residual {
            Some(r) => {
                let ratios: Vec<f64> = (0..channels)
                    .map(|c| f64::from(r.scale) / unit(c))
                    .collect();
                let (residual, multiplier) = ResidualI8::new(r.zero_point, &ratios)?;
                let multiplier = to.constant(node, "residual_multiplier", multiplier);
                Some((residual, multiplier))
            }
            None => None,
        };
        let (mut out, mut multiplier) = (None, bias);
        if to.dtype(node.outputs[0]) == DType::I8 {
            let y = to.qparams(node.outputs[0])?;
            let rule = out_i8(to, narrowed(y, act, node)?);
            // Through f32, so that the scales of a file state them exactly.
            let m: Vec<f64> = (0..channels)
                .map(|c| f64::from((unit(c) / f64::from(y.scale)) as f32))
                .collect();
            multiplier = to.constant(node, "multiplier", rule.multipliers(&m));
            out = Some(rule);
        } else if let Some(f) = act {
            let name = f.name();
            return Err(wrong(format!(
                "its result is an accumulator, which no {name} can follow"
            )));
        }
        Ok(Self {
            x,
            bias,
            multiplier,
            out,
            residual,
        })
    }
}

fn out_i8(to: &Lowering<'_>, y: QParams) -> OutI8 {
    OutI8 {
        requant: to.graph.requant(),
        zero_point: y.zero_point,
        range: y.range,
    }
}

/// The parameters of a result whose function narrows its range.
///
/// # Errors
/// [`Error::Invalid`] for a function that does more than that.
pub(crate) fn narrowed(y: QParams, act: Option<Unary>, node: &Node) -> Result<QParams> {
    let Some(f) = act else { return Ok(y) };
    let (low, high) = f.as_clamp().ok_or_else(|| {
        let problem = format!(
            "int8 has {} as an operation of its own; quantize the network before it is optimized",
            f.name()
        );
        Error::invalid(&node.name, problem)
    })?;
    let range = Range {
        qmin: y.quantize(low),
        qmax: y.quantize(high),
    };
    Ok(QParams { range, ..y })
}

/// Zero point of `x`, `s_x / s_y`, and how a mean becomes an output.
pub(crate) fn pool_out(to: &Lowering<'_>, node: &Node) -> Result<(i32, f64, OutI8)> {
    let (x, y): (ValueId, ValueId) = (node.inputs[0], node.outputs[0]);
    let (x, y) = (to.qparams(x)?, to.qparams(y)?);
    let scale = f64::from(x.scale) / f64::from(y.scale);
    Ok((x.zero_point, scale, out_i8(to, y)))
}
