//! Masks in training.

use serde::{Deserialize, Serialize};

use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, Operands, one};
use super::rules::{Operation, plain_rules};
use crate::base::{DType, num_elements};
use crate::error::Result;
use crate::kernels::binary;

/// `x, mask u32 → x ⊙ mask`, one bit per element.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyMask;

impl Operation for ApplyMask {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        x.expect_dtype(0, "x", F32)?;
        x.expect_dtype(1, "mask", &[DType::U32])?;
        x.expect_shape(1, "mask", &[num_elements(x.shape(0)).div_ceil(32)])?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        to.step(node, binary::ApplyMask { shape })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        tape.add(node, node.inputs[0], Self, &[dy, node.inputs[1]])
    }

    plain_rules!();
}
