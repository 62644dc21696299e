//! Windows over images.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::pool_out;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::map::through;
use super::operands::{F32, Operands, REALS, like, one};
use super::rules::{Operation, QuantRule, plain_rules};
use crate::base::{DType, Shape};
use crate::error::{Error, Result};
use crate::kernels::{Pool, pool};

/// `x [n, h, w, c] → y [n, oh, ow, c]`, the largest of every window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// The window.
    pub pool: Pool,
}

/// `x, dy → dx`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPoolGrad {
    /// The window.
    pub pool: Pool,
    /// `x` is the result of a fused ReLU whose gradient is taken as well.
    pub relu: bool,
}

/// `x [n, h, w, c] → y [n, oh, ow, c]`, the mean of every window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// The window.
    pub pool: Pool,
}

/// `dy → dx`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPoolGrad {
    /// The window.
    pub pool: Pool,
    /// Shape of `x`.
    pub x: Shape,
}

/// `x [n, h, w, c] → mean over h, w [n, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPool;

/// `dy [n, c] → dx`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPoolGrad {
    /// Shape of `x`.
    pub x: Shape,
}

/// Channels of images and of what is made of them are the same ones.
fn same_channels(node: &Node, ties: &mut Ties<'_>) {
    let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
    ties.tie(x, y);
}

/// The mean of each window of integers.
fn average_i8(node: &Node, x: [usize; 4], pool: Pool, to: &mut Lowering<'_>) -> Result<()> {
    let (x_zero_point, scale, out) = pool_out(to, node)?;
    let image = to.value(node.inputs[0])?;
    let (y, table) = through(to, node)?;
    let kernel = pool::AvgPoolI8 {
        x,
        pool,
        x_zero_point,
        scale,
        out,
    };
    to.launch_through(node, kernel, vec![image, y], table)
}

impl Operation for MaxPool {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        like(&self.pool.output_shape(x.image(0, "x")?)?, x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, pool) = (to.image(node.inputs[0])?, self.pool);
        let dtype = to.dtype(node.inputs[0]);
        to.step(node, pool::MaxPool { x, pool, dtype })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = node.inputs[0];
        let (pool, relu) = (self.pool, tape.pool_takes_relu(x));
        tape.add(node, x, MaxPoolGrad { pool, relu }, &[x, dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        same_channels(node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for MaxPoolGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let image = x.image(0, "x")?;
        x.expect_dtype(0, "x", F32)?;
        x.expect_dtype(1, "dy", F32)?;
        x.expect_shape(1, "dy", &self.pool.output_shape(image)?)?;
        one(&image, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let x = to.image(node.inputs[0])?;
        let (pool, relu) = (self.pool, self.relu);
        to.step(node, pool::MaxPoolGrad { x, pool, relu })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for AvgPool {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        one(&self.pool.output_shape(x.image(0, "x")?)?, x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, pool) = (to.image(node.inputs[0])?, self.pool);
        let dtype = to.dtype(node.inputs[0]);
        if dtype != DType::I8 {
            return to.step(node, pool::AvgPool { x, pool, dtype });
        }
        average_i8(node, x, pool, to)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = node.inputs[0];
        let op = AvgPoolGrad {
            pool: self.pool,
            x: tape.shape(x),
        };
        tape.add(node, x, op, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Average
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        same_channels(node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for AvgPoolGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        let image = <[usize; 4]>::try_from(self.x.as_slice())
            .map_err(|_| Error::shape(x.at(), "x", "[n, h, w, c]", &self.x))?;
        x.expect_dtype(0, "dy", F32)?;
        x.expect_shape(0, "dy", &self.pool.output_shape(image)?)?;
        one(&image, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, pool) = (to.image(node.outputs[0])?, self.pool);
        to.step(node, pool::AvgPoolGrad { x, pool })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for GlobalAvgPool {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        let [n, _, _, c] = x.image(0, "x")?;
        one(&[n, c], x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let x = to.image(node.inputs[0])?;
        let (pool, dtype) = (Pool::whole(x[1], x[2]), to.dtype(node.inputs[0]));
        if dtype == DType::I8 {
            return average_i8(node, x, pool, to);
        }
        to.step(node, pool::AvgPool { x, pool, dtype })
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = node.inputs[0];
        let op = GlobalAvgPoolGrad { x: tape.shape(x) };
        tape.add(node, x, op, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Average
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        same_channels(node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for GlobalAvgPoolGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "dy", F32)?;
        let [n, c] = x.matrix(0, "dy")?;
        let shape = &self.x;
        if shape.len() != 4 || shape[0] != n || shape[3] != c {
            return Err(x.wrong_shape(0, "dy", &format!("[n, c] of {shape:?}")));
        }
        one(shape, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let x = to.image(node.outputs[0])?;
        let pool = Pool::whole(x[1], x[2]);
        to.step(node, pool::AvgPoolGrad { x, pool })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
