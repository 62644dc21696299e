//! Softmax over the last axis.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, Operands, REALS, one, rows_of};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::base::DType;
use crate::error::{Error, Result};
use crate::kernels::norm::{self, SoftmaxI8};

/// `x [.., c] → y`: `exp(x) / Σ exp(x)` along the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax;

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
