//! Between floats and integers, and between float types.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, FLOATS, Operands, one};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::base::{DType, Range, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::kernels::reduce::ColumnSum;
use crate::kernels::{chunks_for, map, quantize};

/// `x f32 → q i8`, by what the result stands for ([`Graph::push_quantized`]).
///
/// [`Graph::push_quantized`]: crate::graph::Graph::push_quantized
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantize;

/// `q i8 or i32 → x f32`, by what the operand stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dequantize;

/// `x → x` in another float type.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cast {
    /// `F32` or `F16`.
    pub to: DType,
}

/// `x, scale [c], inv_scale [c], zero_point i32 [c] → y`, quantized and dequantized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FakeQuant {
    /// Axis whose slices have parameters of their own; `None` = one for all.
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
    /// Multiplies the gradient of the scale (learned step size).
    pub grad_factor: f32,
}

/// `x, inv_scale, zero_point, dy → dx`, straight-through.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FakeQuantGrad {
    /// Axis whose slices have parameters of their own; `None` = one for all.
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
}

/// `x, scale, inv_scale, zero_point, dy → dscale [c]`, learned step size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FakeQuantScaleGrad {
    /// Axis whose slices have parameters of their own; `None` = one for all.
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
    /// Multiplies the result.
    pub grad_factor: f32,
}

impl Operation for Quantize {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", F32)?;
        one(x.shape(0), DType::I8)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let q = to.qparams(node.outputs[0])?;
        let shape = to.shape(node.inputs[0]).clone();
        let inv_scale = to.constant(node, "inv_scale", Tensor::from_f32(&[1], &[q.inv_scale()])?);
        let zero_point = to.constant(node, "zero_point", Tensor::from_i32(&[1], &[q.zero_point])?);
        let kernel = quantize::Quantize {
            shape,
            axis: None,
            range: q.range,
        };
        let (x, y) = (to.value(node.inputs[0])?, to.value(node.outputs[0])?);
        to.launch(node, kernel, vec![x, inv_scale, zero_point, y])
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for Dequantize {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "q", &[DType::I8, DType::I32])?;
        let Some(quant) = x.quant(0) else {
            let problem = "nothing says what the integers of its operand stand for";
            return Err(Error::invalid(x.at(), problem));
        };
        if x.channels(0, quant.axis)? != quant.scales.len() {
            let expected = format!("{} slices, one for each scale", quant.scales.len());
            return Err(x.wrong_shape(0, "q", &expected));
        }
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let x = to.graph.value(node.inputs[0]);
        let (shape, dtype) = (x.shape.clone(), x.dtype);
        let quant = x.quant.clone();
        let quant = quant.ok_or_else(|| Error::invalid(&node.name, "its operand has no scale"))?;
        let (axis, channels) = (quant.axis, quant.scales.len());
        let scale = Tensor::from_f32(&[channels], &quant.scales)?;
        let zero_point = Tensor::from_i32(&[channels], &quant.zero_points)?;
        let scale = to.constant(node, "scale", scale);
        let zero_point = to.constant(node, "zero_point", zero_point);
        let (x, y) = (to.value(node.inputs[0])?, to.value(node.outputs[0])?);
        let args = vec![x, scale, zero_point, y];
        to.launch(node, quantize::Dequantize { shape, axis, dtype }, args)
    }

    plain_rules!(no_gradient);

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
    }

    plain_rules!(fusion);

    /// Weights that are stored as integers lose slices as their layer does.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        for axis in 0..ties.shape(x).len() {
            ties.tie((x, axis), (y, axis));
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for Cast {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", FLOATS)?;
        if !FLOATS.contains(&self.to) {
            let problem = format!("casts between f32 and f16, not to {}", self.to);
            return Err(Error::invalid(x.at(), problem));
        }
        one(x.shape(0), self.to)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let (from, into) = (to.dtype(node.inputs[0]), self.to);
        if from == into {
            return to.reshape(node);
        }
        to.step(
            node,
            map::Cast {
                shape,
                from,
                to: into,
            },
        )
    }

    plain_rules!(no_gradient);

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        ties.tie(x, y);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for FakeQuant {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(4)?;
        x.expect_dtype(0, "x", F32)?;
        let params = [
            (1, "scale", DType::F32),
            (2, "inv_scale", DType::F32),
            (3, "zero_point", DType::I32),
        ];
        x.per_channel(self.axis, &params)?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let (axis, range) = (self.axis, self.range);
        to.step(node, quantize::FakeQuant { shape, axis, range })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let [x, scale, inv_scale, zero_point] = [0, 1, 2, 3].map(|i| node.inputs[i]);
        let (axis, range, grad_factor) = (self.axis, self.range, self.grad_factor);
        let to_x = FakeQuantGrad { axis, range };
        tape.add(node, x, to_x, &[x, inv_scale, zero_point, dy])?;
        let to_scale = FakeQuantScaleGrad {
            axis,
            range,
            grad_factor,
        };
        tape.add(
            node,
            scale,
            to_scale,
            &[x, scale, inv_scale, zero_point, dy],
        )
    }

    plain_rules!();
}

impl Operation for FakeQuantGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(4)?;
        x.expect_dtype(0, "x", F32)?;
        let params = [(1, "inv_scale", DType::F32), (2, "zero_point", DType::I32)];
        x.per_channel(self.axis, &params)?;
        x.expect_shape(3, "dy", x.shape(0))?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let (axis, range) = (self.axis, self.range);
        to.step(node, quantize::FakeQuantGrad { shape, axis, range })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for FakeQuantScaleGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(5)?;
        x.expect_dtype(0, "x", F32)?;
        let params = [
            (1, "scale", DType::F32),
            (2, "inv_scale", DType::F32),
            (3, "zero_point", DType::I32),
        ];
        x.per_channel(self.axis, &params)?;
        x.expect_shape(4, "dy", x.shape(0))?;
        one(&[x.channels(0, self.axis)?], DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let channels = to.shape(node.outputs[0])[0];
        let chunks = chunks_for(num_elements(&shape) / channels);
        let kernel = quantize::FakeQuantScaleGrad {
            shape,
            axis: self.axis,
            range: self.range,
            grad_factor: self.grad_factor,
            chunks,
        };
        let partial = to.temp(format!("{}:partial", node.name), &[chunks, channels]);
        let mut args = Vec::new();
        for &id in &node.inputs {
            args.push(to.value(id)?);
        }
        args.push(partial);
        to.launch(node, kernel, args)?;
        let sum = ColumnSum {
            rows: chunks,
            cols: channels,
        };
        let out = to.value(node.outputs[0])?;
        to.launch(node, sum, vec![partial, out])
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
