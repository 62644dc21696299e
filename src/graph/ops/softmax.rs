//! Softmax over the last axis, and its logarithm.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, FLOATS, Operands, REALS, one, rows_of};
use super::rules::{Operation, QuantRule, plain_rules};
use super::{Binary, SumTo};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::kernels::norm::{self, SoftmaxI8};

/// `x [.., c] → y`: `exp(x) / Σ exp(x)` along the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax;

/// `x [.., c] → y`: `x − log Σ exp(x)` along the last axis, the logarithm of [`Softmax`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogSoftmax;

/// `y, dy → dx`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxGrad;

impl Operation for Softmax {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        one(x.shape(0), x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, cols) = rows_of(to.shape(node.inputs[0]));
        let dtype = to.dtype(node.inputs[0]);
        if dtype != DType::I8 {
            return to.step(node, norm::Softmax { rows, cols, dtype });
        }
        if to.qparams(node.outputs[0])? != SoftmaxI8::OUT {
            let problem = "an int8 softmax has steps of 1/256 and the zero point -128";
            return Err(Error::invalid(&node.name, problem));
        }
        let scale = to.qparams(node.inputs[0])?.scale;
        to.step(node, SoftmaxI8 { rows, cols, scale })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let operands = [node.outputs[0], dy];
        tape.add(node, node.inputs[0], SoftmaxGrad, &operands)
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Fixed(SoftmaxI8::OUT)
    }

    plain_rules!(fusion);

    /// Every share depends on every channel.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        ties.pin_all(node);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for LogSoftmax {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", FLOATS)?;
        one(x.shape(0), x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, cols) = rows_of(to.shape(node.inputs[0]));
        let dtype = to.dtype(node.inputs[0]);
        to.step(node, norm::LogSoftmax { rows, cols, dtype })
    }

    /// `dx = dy − softmax(x) · Σ dy`.
    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = node.inputs[0];
        if !tape.needs(x) {
            return Ok(());
        }
        let mut to = tape.shape(x);
        if let Some(last) = to.last_mut() {
            *last = 1;
        }
        let named = |what: &str| format!("d {} {what}", node.name);
        let shares = tape.push(&named("shares"), Softmax, &[x])?;
        let minus = Tensor::from_f32(&vec![1; to.len()], &[-1.0])?;
        let minus = tape.param("minus one", minus);
        let sum = tape.push(&named("sum"), SumTo { to }, &[dy])?;
        let sum = tape.push(&named("less"), Binary::MUL, &[sum, minus])?;
        let part = tape.push(&named("part"), Binary::MUL, &[shares, sum])?;
        tape.add(node, x, Binary::ADD, &[dy, part])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
    }

    plain_rules!(fusion);

    /// Every sum takes all channels.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        ties.pin_all(node);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for SoftmaxGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        x.expect_dtype(0, "y", F32)?;
        x.expect_dtype(1, "dy", F32)?;
        x.expect_shape(1, "dy", x.shape(0))?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, cols) = rows_of(to.shape(node.inputs[0]));
        to.step(node, norm::SoftmaxGrad { rows, cols })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
