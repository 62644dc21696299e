//! An axis reduced to one element.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::pool_out;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{FLOATS, Operands, REALS, like, one};
use super::rules::{Operation, QuantRule, plain_rules};
use super::{Binary, MaxPoolGrad, Reshape};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::kernels::Pool;
pub use crate::kernels::reduce::ReduceKind;
use crate::kernels::reduce::{self, ReduceI8};

/// `x → y`: mean, sum, largest or smallest along an axis, which stays with one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduce {
    /// What becomes of the elements.
    pub kind: ReduceKind,
    /// The axis, behind the batch.
    pub axis: usize,
}

/// `x → y` int32: where along an axis the first of the largest stands. The axis stays with one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgMax {
    /// The axis, behind the batch.
    pub axis: usize,
}

/// The shape with one element along the axis.
fn reduced(x: &Operands<'_>, axis: usize) -> Result<Shape> {
    let mut shape = x.shape(0).to_vec();
    if axis == 0 || axis >= shape.len() {
        let problem = format!("axis {axis} of {shape:?}, expected one behind the batch");
        return Err(Error::invalid(x.at(), problem));
    }
    if num_elements(&shape) == 0 {
        return Err(x.wrong_shape(0, "x", "no axis of 0"));
    }
    shape[axis] = 1;
    Ok(shape)
}

/// Where another axis is reduced, channels stay what they are.
fn tie_channels(axis: usize, node: &Node, ties: &mut Ties<'_>) {
    let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
    if x.1 == axis {
        ties.pin_all(node);
    } else {
        ties.tie(x, y);
    }
}

impl Operation for Reduce {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        let y = reduced(x, self.axis)?;
        if self.kind.selects() {
            return like(&y, x, 0);
        }
        one(&y, x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (kind, axis) = (self.kind, self.axis);
        let (x, dtype) = (to.shape(node.inputs[0]).clone(), to.dtype(node.inputs[0]));
        if dtype == DType::I8 && !kind.selects() {
            let (x_zero_point, scale, out) = pool_out(to, node)?;
            let kernel = ReduceI8 {
                kind,
                x,
                axis,
                x_zero_point,
                scale,
                out,
            };
            return to.step(node, kernel);
        }
        let kernel = reduce::Reduce {
            kind,
            x,
            axis,
            dtype,
        };
        to.step(node, kernel)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = node.inputs[0];
        if !tape.needs(x) {
            return Ok(());
        }
        match self.kind {
            ReduceKind::Mean => self.spread(node, dy, tape, true),
            ReduceKind::Sum => self.spread(node, dy, tape, false),
            ReduceKind::Max => self.first_largest(node, [x, dy], tape),
            ReduceKind::Min => {
                // The smallest is the largest of what is negated.
                let shape = vec![1; tape.shape(x).len()];
                let minus = tape.param("minus one", Tensor::from_f32(&shape, &[-1.0])?);
                let name = format!("- {}", tape.name(x));
                let negated = tape.push(&name, Binary::MUL, &[x, minus])?;
                self.first_largest(node, [negated, dy], tape)
            }
        }
    }

    fn quantization(&self) -> QuantRule {
        match self.kind {
            ReduceKind::Mean => QuantRule::Average,
            ReduceKind::Sum => QuantRule::Own,
            ReduceKind::Max | ReduceKind::Min => QuantRule::Operand,
        }
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        tie_channels(self.axis, node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Reduce {
    /// Every element along the axis gets the gradient of its sum, or its share of it.
    fn spread(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>, mean: bool) -> Result<()> {
        let x = tape.shape(node.inputs[0]);
        let len = x[self.axis];
        let mut shape = vec![1; x.len()];
        shape[self.axis] = len;
        let share = if mean { 1.0 / len as f32 } else { 1.0 };
        let shares = Tensor::from_f32(&shape, &vec![share; len])?;
        let shares = tape.param(&format!("{}:shares", node.name), shares);
        tape.add(node, node.inputs[0], Binary::MUL, &[dy, shares])
    }

    /// The first of the largest of `x` along the axis gets all: a window over images `[outer, len, 1, inner]`.
    fn first_largest(&self, node: &Node, [x, dy]: [ValueId; 2], tape: &mut Tape<'_>) -> Result<()> {
        let shape = tape.shape(x);
        let outer: usize = shape[..self.axis].iter().product();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let mut image = |id: ValueId, len| {
            let name = format!("{} along {}", tape.name(id), self.axis);
            let to = vec![outer, len, 1, inner];
            tape.push(&name, Reshape { to }, &[id])
        };
        let len = shape[self.axis];
        let (x, dy) = (image(x, len)?, image(dy, 1)?);
        let (pool, relu) = (Pool::whole(len, 1), false);
        let name = format!("d {} along {}", node.name, self.axis);
        let dx = tape.push(&name, MaxPoolGrad { pool, relu }, &[x, dy])?;
        tape.add(node, node.inputs[0], Reshape { to: shape }, &[dx])
    }
}

impl Operation for ArgMax {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", FLOATS)?;
        one(&reduced(x, self.axis)?, DType::I32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, dtype) = (to.shape(node.inputs[0]).clone(), to.dtype(node.inputs[0]));
        let axis = self.axis;
        to.step(node, reduce::ArgMax { x, axis, dtype })
    }

    plain_rules!(no_gradient);

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
    }

    plain_rules!(fusion);

    /// Where channels leave, places among them are others.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        tie_channels(self.axis, node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}
