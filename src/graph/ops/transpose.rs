//! Axes in another order.

use serde::{Deserialize, Serialize};

use super::super::channels::{Axis, Ties};
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::Op;
use super::operands::{Operands, REALS, like};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::error::Result;
use crate::kernels::movement::Permute;

/// `x → y`: axis `k` of `y` is axis `order[k]` of `x`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transpose {
    /// Every axis of `x`, once.
    pub order: Vec<usize>,
}

impl Transpose {
    /// The order that leads back.
    fn inverse(&self) -> Vec<usize> {
        let mut back: Vec<usize> = (0..self.order.len()).collect();
        back.sort_unstable_by_key(|&k| self.order[k]);
        back
    }
}

impl Operation for Transpose {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        let kernel = Permute::new(x.shape(0), &self.order, x.dtype(0))?;
        like(&kernel.y(), x, 0)
    }

    /// Where only axes of one element move, it is another shape of the same.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, dtype) = (to.shape(node.inputs[0]), to.dtype(node.inputs[0]));
        let kernel = Permute::new(x, &self.order, dtype)?;
        if kernel.keeps_order() {
            return to.reshape(node);
        }
        to.step(node, kernel)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let order = self.inverse();
        tape.add(node, node.inputs[0], Self { order }, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    /// Every axis goes with its new place. Operations know of the channels of the last axis alone: an axis that is
    /// not the last on one side can only leave if what is on that side is a transposition as well.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let graph = ties.graph();
        let transposes = |node: &Node| matches!(node.op, Op::Transpose(_));
        let before = graph.producer(x).is_some_and(transposes);
        let after = graph.users(y).all(transposes);
        for (k, &axis) in self.order.iter().enumerate() {
            let (a, b): (Axis, Axis) = ((x, axis), (y, k));
            ties.tie(a, b);
            if !((before || a == ties.last(x)) && (after || b == ties.last(y))) {
                ties.pin(b);
            }
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let order = vec![0, 3, 1, 2];
        assert_eq!(Transpose { order }.inverse(), [0, 2, 3, 1]);
    }
}
