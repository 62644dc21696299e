//! Functions of single elements.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{F32, Operands, REALS, one};
use super::rules::{Operation, QuantRule, plain_rules};
use super::{Op, Weights};
use crate::base::{DType, QParams, Range};
use crate::error::Result;
use crate::kernels::map::{self, MapI8, Unary};

/// `x → f(x)`, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The function.
    pub f: Unary,
}

impl Map {
    /// `max(0, x)`.
    pub const RELU: Self = Self { f: Unary::Relu };
}

/// `x, dy → dy · f′(x)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapGrad {
    /// The function.
    pub f: Unary,
}

/// The constant that holds the results of `f` for every integer of its operand.
fn table(to: &mut Lowering<'_>, node: &Node, f: Unary) -> Result<usize> {
    let (x, y) = (to.qparams(node.inputs[0])?, to.qparams(node.outputs[0])?);
    let table = map::table(|x| f.f64(f64::from(x)) as f32, x, y);
    Ok(to.constant(node, "table", table))
}

/// Where the int8 result of a node goes, and the table that it goes through on its way: those of the only node that
/// uses it, if that is a function of single integers, which then needs no step of its own.
pub(super) fn through(to: &mut Lowering<'_>, node: &Node) -> Result<(usize, Option<usize>)> {
    let y = node.outputs[0];
    match only_function(to, y) {
        Some((next, f)) => {
            let table = table(to, next, f)?;
            Ok((to.made(next)?, Some(table)))
        }
        None => Ok((to.value(y)?, None)),
    }
}

fn only_function<'g>(to: &Lowering<'g>, y: ValueId) -> Option<(&'g Node, Unary)> {
    let graph = to.graph;
    let mut users = graph.users(y);
    let (user, None) = (users.next()?, users.next()) else {
        return None;
    };
    let Op::Map(map) = user.op else { return None };
    let seen = to.every_value || graph.outputs().contains(&y);
    (!seen && to.dtype(y) == DType::I8).then_some((user, map.f))
}

impl Operation for Map {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        self.f.check()?;
        x.expect_dtype(0, "x", REALS)?;
        one(x.shape(0), x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let dtype = to.dtype(node.inputs[0]);
        if dtype != DType::I8 {
            let f = self.f;
            return to.step(node, map::Map { shape, dtype, f });
        }
        let table = table(to, node, self.f)?;
        let (x, y) = (to.value(node.inputs[0])?, to.value(node.outputs[0])?);
        to.launch(node, MapI8 { shape }, vec![x, table, y])
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let (x, f) = (node.inputs[0], self.f);
        tape.add(node, x, MapGrad { f }, &[x, dy])
    }

    fn quantization(&self) -> QuantRule {
        match self.f.fixed_range() {
            Some((low, high)) => QuantRule::Fixed(fixed(low, high)),
            None => QuantRule::Own,
        }
    }

    fn weights(&self) -> Option<Weights> {
        None
    }

    fn with_bias(&self) -> Option<Op> {
        None
    }

    fn sum(&self) -> Option<Op> {
        None
    }

    fn in_training(&self, _momentum: f32) -> Option<Op> {
        None
    }

    fn activation(&self) -> Option<Unary> {
        Some(self.f)
    }

    fn fuse(&self, _next: &Op) -> Option<Op> {
        None
    }

    fn affine(&self, graph: &super::super::Graph, node: &Node) -> Result<Option<super::Affine>> {
        let (factor, offset) = match self.f {
            Unary::Scale { factor } => (factor, 0.0),
            Unary::Affine { factor, offset } => (factor, offset),
            _ => return Ok(None),
        };
        let shape = &graph.value(node.outputs[0]).shape;
        let channels = shape.last().copied().unwrap_or(1);
        Ok(Some(super::Affine {
            factor: vec![factor.into(); channels],
            shift: vec![offset.into(); channels],
        }))
    }

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        ties.tie(x, y);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

/// Parameters of results within a range that is known: 256 steps of it, and 0 is one of them.
pub(super) fn fixed(low: f32, high: f32) -> QParams {
    let scale = (high - low) / 256.0;
    let zero_point = (-128.0 - low / scale).round_ties_even() as i32;
    QParams {
        scale,
        zero_point: zero_point.clamp(-128, 127),
        range: Range::affine(8),
    }
}

impl Operation for MapGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        self.f.check()?;
        x.expect_dtype(0, "x", F32)?;
        x.expect_dtype(1, "dy", F32)?;
        x.expect_shape(1, "dy", x.shape(0))?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        to.step(node, map::MapGrad { shape, f: self.f })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
