//! Axes in another order.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{Operands, REALS, like};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::error::Result;
use crate::kernels::movement::Permute;

/// `x → y`: axis `k` of `y` is axis `order[k]` of `x`; up to six axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transpose {
    /// Every axis of `x` once.
    pub order: Vec<usize>,
}

impl Transpose {
    /// The one that takes it back.
    fn inverse(&self) -> Self {
        let mut order = vec![0; self.order.len()];
        for (k, &axis) in self.order.iter().enumerate() {
            order[axis] = k;
        }
        Self { order }
    }
}

impl Operation for Transpose {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        let y = Permute::new(x.shape(0), &self.order, x.dtype(0))?.y();
        like(&y, x, 0)
    }

    /// Nothing at all where only axes of length 1 move and rows stay as long.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, dtype) = (to.shape(node.inputs[0]), to.dtype(node.inputs[0]));
        let kernel = Permute::new(x, &self.order, dtype)?;
        if kernel.keeps_order() {
            return to.reshape(node);
        }
        to.step(node, kernel)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        tape.add(node, node.inputs[0], self.inverse(), &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    /// Channels that stay the last axis are the same ones. Others would become rows or columns, which the operations
    /// behind take to be all there.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        if self.order.last().is_none_or(|&axis| axis == x.1) {
            ties.tie(x, y);
        } else {
            ties.pin_all(node);
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}
