//! Functions of two tensors, element by element.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::narrowed;
use super::super::tape::Tape;
use super::super::values::{Graph, Node, Type, ValueId};
use super::operands::{Operands, REALS, one};
use super::rules::{Affine, Operation, QuantRule, plain_rules};
use super::{Op, Weights};
use crate::base::DType;
use crate::error::Result;
use crate::kernels::map::Unary;
use crate::kernels::{add_f16::AddF16, add_f32::AddF32, add_i8::AddI8};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOp {
    /// `a + b`
    Add,
}

/// `a, b → act(a op b)`, same shapes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// The function.
    pub op: BinaryOp,
    /// What follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Unary>,
}

impl Binary {
    /// `a + b`.
    pub const ADD: Self = Self {
        op: BinaryOp::Add,
        act: None,
    };
}

impl Operation for Binary {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        x.expect_dtype(0, "a", REALS)?;
        x.expect_dtype(1, "b", &[x.dtype(0)])?;
        x.expect_shape(1, "b", x.shape(0))?;
        one(x.shape(0), x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let shape = to.shape(node.inputs[0]).clone();
        let relu = self.act == Some(Unary::Relu);
        match to.dtype(node.inputs[0]) {
            DType::I8 => {
                let (a, b) = (to.qparams(node.inputs[0])?, to.qparams(node.inputs[1])?);
                let y = narrowed(to.qparams(node.outputs[0])?, self.act, node)?;
                let requant = to.graph.requant();
                to.step(
                    node,
                    AddI8 {
                        shape,
                        a,
                        b,
                        y,
                        requant,
                    },
                )
            }
            DType::F16 => to.step(node, AddF16 { shape, relu }),
            DType::F32 | DType::I32 | DType::U32 => to.step(node, AddF32 { shape, relu }),
        }
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let dy = tape.through(node, self.act, dy)?;
        tape.accumulate(node, node.inputs[0], dy)?;
        tape.accumulate(node, node.inputs[1], dy)
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Own
    }

    fn weights(&self) -> Option<Weights> {
        None
    }

    fn with_bias(&self, _node: &Node) -> Option<(Op, usize, usize)> {
        None
    }

    fn activation(&self) -> Option<Unary> {
        self.act
    }

    fn fuse(&self, next: &Op) -> Option<Op> {
        match (self.act, next) {
            (None, Op::Map(map)) => {
                let act = Some(map.f);
                Some(Self { act, ..*self }.into())
            }
            (None | Some(_), _) => None,
        }
    }

    fn affine(&self, _graph: &Graph, _node: &Node) -> Result<Option<Affine>> {
        Ok(None)
    }

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let y = ties.last(node.outputs[0]);
        for &id in &node.inputs {
            let axis = ties.last(id);
            ties.tie(axis, y);
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}
