//! Elements in other places: nothing is computed, int8 stays what it stands for.

use serde::{Deserialize, Serialize};

use super::super::channels::{Kept, Ties};
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::Op;
use super::operands::{Operands, like};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::base::{Shape, num_elements};
use crate::error::Result;

/// `x [n, …] → [n, rest]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flatten;

/// `x → x` in another shape of as many elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    /// Shape of the result.
    pub to: Shape,
}

impl Operation for Flatten {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        let shape = x.shape(0);
        if shape.len() < 2 || num_elements(shape) == 0 {
            return Err(x.wrong_shape(0, "x", "[n, …], none of them 0"));
        }
        like(&[shape[0], num_elements(&shape[1..])], x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        to.reshape(node)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let to = tape.shape(node.inputs[0]);
        tape.add(node, node.inputs[0], Reshape { to }, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    /// Channels are the fastest axis: the pattern repeats for every pixel.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        let channels = ties.shape(x.0)[x.1];
        ties.tie_by(y, x, |i| Some(i % channels));
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for Reshape {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        if num_elements(&self.to) != num_elements(x.shape(0)) {
            let expected = format!("as many elements as {:?}", self.to);
            return Err(x.wrong_shape(0, "x", &expected));
        }
        like(&self.to, x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        to.reshape(node)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let to = tape.shape(node.inputs[0]);
        tape.add(node, node.inputs[0], Self { to }, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    /// Where the last axis stays as long, its slices are the same ones.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        if ties.shape(x.0).last() == ties.shape(y.0).last() {
            ties.tie(x, y);
        } else {
            ties.pin_all(node);
        }
    }

    fn thinned(&self, node: &Node, kept: &Kept<'_>) -> Result<Op> {
        let to = kept.shape(node.outputs[0]);
        Ok(Self { to }.into())
    }

    plain_rules!(updates);
}
