//! Elements in other places: nothing is computed, int8 stays what it stands for.

use serde::{Deserialize, Serialize};

use super::super::channels::{Kept, Ties};
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::Op;
use super::operands::{Operands, REALS, like, one};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::base::{DType, QParams, Shape, num_elements};
use crate::error::{Error, Result};
use crate::kernels::map::{MapI8, table};
use crate::kernels::movement::{Gather, Place};

/// `x [n, …] → [n, rest]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flatten;

/// `x → x` in another shape of as many elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    /// Shape of the result; a first axis of 0 is as long as that of `x`, whatever the batch.
    pub to: Shape,
}

impl Reshape {
    /// From a value of shape `x` to shape `to`, for every batch where the first axis stays as long.
    pub fn between(x: &[usize], to: &[usize]) -> Self {
        let mut to = to.to_vec();
        if let (Some(first), Some(own)) = (to.first_mut(), x.first())
            && first == own
        {
            *first = 0;
        }
        Self { to }
    }

    /// Shape of the result of an `x` of this shape.
    fn result(&self, x: &[usize]) -> Shape {
        let mut to = self.to.clone();
        if let (Some(first @ 0), Some(own)) = (to.first_mut(), x.first()) {
            *first = *own;
        }
        to
    }
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
        let [x, y] = [node.inputs[0], dy].map(|id| tape.shape(id));
        tape.add(node, node.inputs[0], Reshape::between(&y, &x), &[dy])
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
        let to = self.result(x.shape(0));
        if num_elements(&to) != num_elements(x.shape(0)) {
            let expected = format!("as many elements as {to:?}");
            return Err(x.wrong_shape(0, "x", &expected));
        }
        like(&to, x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        to.reshape(node)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let [x, y] = [node.inputs[0], dy].map(|id| tape.shape(id));
        tape.add(node, node.inputs[0], Self::between(&y, &x), &[dy])
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
        let mut to = kept.shape(node.outputs[0]);
        if let (Some(first), Some(0)) = (to.first_mut(), self.to.first()) {
            *first = 0;
        }
        Ok(Self { to }.into())
    }

    plain_rules!(updates);
}

/// `x → y`: `size` elements along every axis, from `start` on in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// First element along every axis; the batch starts at 0.
    pub start: Vec<usize>,
    /// Elements from one to the next.
    pub step: Vec<usize>,
    /// Elements of the result; all there are along axis 0, the batch.
    pub size: Vec<usize>,
}

/// `dy → dx`: what comes in where a slice was taken, zeros elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceGrad {
    /// The slice.
    pub slice: Slice,
    /// Shape of `x`.
    pub x: Shape,
}

/// `x₀, x₁, … → y`: one after another along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Slice {
    fn sizes(&self, batch: usize) -> Vec<usize> {
        let mut size = self.size.clone();
        if let Some(first) = size.first_mut() {
            *first = batch;
        }
        size
    }
}

impl Operation for Slice {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        if self.start.first() != Some(&0) || self.step.first() != Some(&1) {
            let problem = "the batch cannot be sliced: axis 0 starts at 0, in steps of 1";
            return Err(Error::invalid(x.at(), problem));
        }
        let shape = x.shape(0);
        let size = self.sizes(shape.first().copied().unwrap_or(0));
        let gather = Gather::slice(shape, [&self.start, &self.step, &size], x.dtype(0))?;
        like(&gather.y(), x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let x = to.shape(node.inputs[0]);
        let (size, dtype) = (to.shape(node.outputs[0]), to.dtype(node.inputs[0]));
        let kernel = Gather::slice(x, [&self.start, &self.step, size], dtype)?;
        to.step(node, kernel)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let (slice, x) = (self.clone(), tape.shape(node.inputs[0]));
        tape.add(node, node.inputs[0], SliceGrad { slice, x }, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        let (start, step) = (self.start[x.1], self.step[x.1]);
        ties.tie_by(y, x, |i| Some(start + i * step));
        if step != 1 {
            // What is left would no longer lie in equal steps.
            ties.pin(x);
        }
    }

    fn thinned(&self, node: &Node, kept: &Kept<'_>) -> Result<Op> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let last = self.start.len().saturating_sub(1);
        let mut thinned = self.clone();
        if let Some(left) = kept.of((x, last)) {
            let before = left.iter().filter(|&&i| i < self.start[last]);
            thinned.start[last] = before.count();
        }
        thinned.size[last] = kept.count((y, last));
        Ok(thinned.into())
    }

    plain_rules!(updates);
}

impl Operation for SliceGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        let size = self.slice.sizes(self.x.first().copied().unwrap_or(0));
        x.expect_dtype(0, "dy", super::operands::F32)?;
        x.expect_shape(0, "dy", &size)?;
        one(&self.x, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (slice, size) = (&self.slice, to.shape(node.inputs[0]));
        let kernel = Gather::slice_grad(&self.x, [&slice.start, &slice.step, size])?;
        to.step(node, kernel)
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for Concat {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        if x.len() == 0 {
            x.count(1)?;
        }
        let mut shape = x.shape(0).to_vec();
        if self.axis == 0 || self.axis >= shape.len() {
            let problem = format!(
                "axis {} of {shape:?}, expected one behind the batch",
                self.axis
            );
            return Err(Error::invalid(x.at(), problem));
        }
        x.expect_dtype(0, "x", REALS)?;
        for i in 1..x.len() {
            x.expect_dtype(i, "x", &[x.dtype(0)])?;
            let mut own = x.shape(i).to_vec();
            if own.len() == shape.len() {
                shape[self.axis] += own[self.axis];
                own[self.axis] = shape[self.axis];
            }
            if own != shape {
                let expected = format!("{shape:?} but along axis {}", self.axis);
                return Err(x.wrong_shape(i, "x", &expected));
            }
        }
        one(&shape, x.dtype(0))
    }

    /// Each operand takes its place; int8 that stands for other reals is looked up first.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (y, axis) = (to.value(node.outputs[0])?, self.axis);
        let shape = to.shape(node.outputs[0]);
        let mut start = 0;
        for &id in &node.inputs {
            let (x, dtype) = (to.shape(id).clone(), to.dtype(id));
            let mut value = to.value(id)?;
            if dtype == DType::I8 {
                let (from, into): (QParams, QParams) =
                    (to.qparams(id)?, to.qparams(node.outputs[0])?);
                if from != into {
                    let table = to.constant(node, "table", table(|x| x, from, into));
                    let moved = to.temp_of(format!("{}:part", node.name), DType::I8, &x);
                    to.launch(node, MapI8 { shape: x.clone() }, vec![value, table, moved])?;
                    value = moved;
                }
            }
            let next = start + x[axis];
            let place = Place {
                x,
                y: shape.clone(),
                axis,
                start,
                dtype,
            };
            to.launch(node, place, vec![value, y])?;
            start = next;
        }
        Ok(())
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let mut at = 0;
        for &id in &node.inputs {
            let size = tape.shape(id);
            let mut start = vec![0; size.len()];
            start[self.axis] = at;
            at += size[self.axis];
            let step = vec![1; size.len()];
            tape.add(node, id, Slice { start, step, size }, &[dy])?;
        }
        Ok(())
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Own
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let y = ties.last(node.outputs[0]);
        let mut start = 0;
        for &id in &node.inputs {
            let x = ties.last(id);
            let offset = if x.1 == self.axis { start } else { 0 };
            ties.tie_by(x, y, |i| Some(i + offset));
            start += ties.shape(id)[self.axis];
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}
