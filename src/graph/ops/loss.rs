//! Losses: scalars that a gradient starts at.

use serde::{Deserialize, Serialize};

use super::super::lower::Lowering;
use super::super::tape::{Tape, no_gradient};
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, Operands, one};
use super::rules::{Operation, plain_rules};
use crate::base::DType;
use crate::error::Result;
use crate::kernels::{
    softmax_cross_entropy_f32::SoftmaxCrossEntropyF32,
    softmax_cross_entropy_grad_f32::SoftmaxCrossEntropyGradF32,
};

/// `logits [n, c], labels u32 [n] → loss [1]`, the mean over rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropy;

/// `logits, labels → dlogits` of the mean loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropyGrad;

fn check(x: &Operands<'_>) -> Result<()> {
    x.count(2)?;
    let [rows, _] = x.matrix(0, "logits")?;
    x.expect_dtype(0, "logits", F32)?;
    x.expect_dtype(1, "labels", &[DType::U32])?;
    x.expect_shape(1, "labels", &[rows])
}

impl Operation for SoftmaxCrossEntropy {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        check(x)?;
        one(&[1], DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [rows, classes] = to.matrix(node.inputs[0])?;
        to.step(node, SoftmaxCrossEntropyF32 { rows, classes })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        if !tape.starts_at(dy) {
            return Err(no_gradient(node));
        }
        let (logits, labels) = (node.inputs[0], node.inputs[1]);
        tape.add(node, logits, SoftmaxCrossEntropyGrad, &[logits, labels])
    }

    plain_rules!();
}

impl Operation for SoftmaxCrossEntropyGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        check(x)?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [rows, classes] = to.matrix(node.inputs[0])?;
        to.step(node, SoftmaxCrossEntropyGradF32 { rows, classes })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
