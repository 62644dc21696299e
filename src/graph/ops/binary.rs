//! Functions of two tensors, element by element.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::narrowed;
use super::super::tape::Tape;
use super::super::values::{Graph, Node, Type, ValueId};
use super::operands::{F32, Operands, REALS, one};
use super::rules::{Affine, Operation, QuantRule, plain_rules};
use super::{Op, Weights};
use crate::base::{DType, Shape};
use crate::error::Result;
use crate::kernels::binary::{self, BinaryI8, BinaryOp, broadcast_shape};
use crate::kernels::map::Unary;

/// `a, b → act(a op b)`, broadcast as NumPy does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// The function.
    pub op: BinaryOp,
    /// What follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Unary>,
}

/// `x → y`: sums over everything that a tensor of shape `to` was broadcast to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumTo {
    /// Shape of the result.
    pub to: Shape,
}

impl Binary {
    /// `a + b`.
    pub const ADD: Self = Self {
        op: BinaryOp::Add,
        act: None,
    };
    /// `a · b`.
    pub const MUL: Self = Self {
        op: BinaryOp::Mul,
        act: None,
    };
}

impl Operation for Binary {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        x.expect_dtype(0, "a", REALS)?;
        x.expect_dtype(1, "b", &[x.dtype(0)])?;
        one(
            &broadcast_shape(&x.at(), x.shape(0), x.shape(1))?,
            x.dtype(0),
        )
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [a, b] = [0, 1].map(|i| to.shape(node.inputs[i]).clone());
        let (op, act, dtype) = (self.op, self.act, to.dtype(node.inputs[0]));
        if dtype != DType::I8 {
            return to.step(
                node,
                binary::Binary {
                    op,
                    a,
                    b,
                    dtype,
                    act,
                },
            );
        }
        let (qa, qb) = (to.qparams(node.inputs[0])?, to.qparams(node.inputs[1])?);
        let qy = narrowed(to.qparams(node.outputs[0])?, act, node)?;
        let requant = to.graph.requant();
        to.step(
            node,
            BinaryI8 {
                op,
                a,
                b,
                qa,
                qb,
                qy,
                requant,
            },
        )
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let dy = tape.through(node, self.act, dy)?;
        for (of, other) in [(0, 1), (1, 0)].map(|(a, b)| (node.inputs[a], node.inputs[b])) {
            if !tape.needs(of) {
                continue;
            }
            let mut gradient = match self.op {
                BinaryOp::Add => dy,
                BinaryOp::Mul => {
                    let name = format!("d {} by {}", node.name, tape.name(other));
                    tape.push(&name, Self::MUL, &[dy, other])?
                }
            };
            let to = tape.shape(of);
            if to != tape.shape(gradient) {
                let name = format!("d {} to {}", node.name, tape.name(of));
                gradient = tape.push(&name, SumTo { to }, &[gradient])?;
            }
            tape.accumulate(node, of, gradient)?;
        }
        Ok(())
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Own
    }

    fn weights(&self) -> Option<Weights> {
        None
    }

    fn with_bias(&self) -> Option<Op> {
        None
    }

    fn in_training(&self, _momentum: f32) -> Option<Op> {
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

    /// Where an operand has as many channels as the result, they are the same ones.
    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let y = ties.last(node.outputs[0]);
        for &id in &node.inputs {
            let axis = ties.last(id);
            if ties.shape(id).last() == ties.shape(y.0).last() {
                ties.tie(axis, y);
            } else {
                ties.pin(axis);
            }
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for SumTo {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", F32)?;
        if broadcast_shape(&x.at(), x.shape(0), &self.to)? != x.shape(0) {
            let expected = format!("one that {:?} broadcasts to", self.to);
            return Err(x.wrong_shape(0, "x", &expected));
        }
        one(&self.to, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let from = to.shape(node.inputs[0]).clone();
        let kernel = binary::SumTo {
            from,
            to: self.to.clone(),
        };
        to.step(node, kernel)
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
