//! Functions of two tensors, element by element.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::narrowed;
use super::super::tape::{Tape, no_gradient};
use super::super::values::{Graph, Node, Type, ValueId};
use super::operands::{F32, Operands, REALS, one};
use super::rules::{Affine, Operation, QuantRule, plain_rules};
use super::{Map, MapGrad, Op, Weights};
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

impl Binary {
    /// The gradient of the first operand, or of the second, in the shape of the result.
    fn slope(&self, node: &Node, dy: ValueId, first: bool, tape: &mut Tape<'_>) -> Result<ValueId> {
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let mut step = |what: &str, op: Op, inputs: &[ValueId]| {
            let name = format!("d {} {what} {}", node.name, if first { "a" } else { "b" });
            tape.push(&name, op, inputs)
        };
        let binary = |op| Op::from(Self { op, act: None });
        let minus = Op::from(Map {
            f: Unary::Scale { factor: -1.0 },
        });
        // What of `dy` passes where `x` is positive.
        let where_positive = Op::from(MapGrad { f: Unary::Relu });
        match (self.op, first) {
            (BinaryOp::Add, _) | (BinaryOp::Sub, true) => Ok(dy),
            (BinaryOp::Sub, false) => step("minus", minus, &[dy]),
            (BinaryOp::Mul, _) => step("by", Self::MUL.into(), &[dy, if first { b } else { a }]),
            (BinaryOp::Div, true) => step("by", binary(BinaryOp::Div), &[dy, b]),
            (BinaryOp::Div, false) => {
                let ratio = step("ratio", binary(BinaryOp::Div), &[a, b])?;
                let ratio = step("square", binary(BinaryOp::Div), &[ratio, b])?;
                let product = step("by", Self::MUL.into(), &[dy, ratio])?;
                step("minus", minus, &[product])
            }
            (BinaryOp::Min | BinaryOp::Max, _) => {
                let larger_first = (self.op == BinaryOp::Max) == first;
                let pair = if larger_first { [a, b] } else { [b, a] };
                let lead = step("lead", binary(BinaryOp::Sub), &pair)?;
                step("chosen", where_positive, &[lead, dy])
            }
            (BinaryOp::Prelu, _) => {
                let passed = step("passed", where_positive, &[a, dy])?;
                let rest = step("rest", binary(BinaryOp::Sub), &[dy, passed])?;
                if !first {
                    return step("by", Self::MUL.into(), &[rest, a]);
                }
                let rest = step("by", Self::MUL.into(), &[rest, b])?;
                step("both", Self::ADD.into(), &[passed, rest])
            }
            (BinaryOp::Pow, _) => Err(no_gradient(node)),
        }
    }
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
        for first in [true, false] {
            let of = node.inputs[usize::from(!first)];
            if !tape.needs(of) {
                continue;
            }
            let mut gradient = self.slope(node, dy, first, tape)?;
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
        match BinaryOp::INTEGERS.contains(&self.op) {
            true => QuantRule::Own,
            false => QuantRule::Float,
        }
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

    /// A constant factor or summand for every channel, or one for all.
    fn affine(&self, graph: &Graph, node: &Node) -> Result<Option<Affine>> {
        let (x, y) = (graph.value(node.inputs[0]), graph.value(node.outputs[0]));
        let channels = y.shape.last().copied().unwrap_or(1);
        let constant = graph.tensor(node.inputs[1]).map(|tensor| tensor.to_f64());
        let constant = constant.filter(|c| c.len() == channels || c.len() == 1);
        let along = graph.value(node.inputs[1]).shape.last() == Some(&channels);
        let Some(mut c) = constant.filter(|c| along || c.len() == 1) else {
            return Ok(None);
        };
        if self.act.is_some() || x.shape != y.shape {
            return Ok(None);
        }
        c.resize(channels, c[0]);
        Ok(match self.op {
            BinaryOp::Add => Some(Affine {
                factor: vec![1.0; channels],
                shift: c,
            }),
            BinaryOp::Sub => Some(Affine {
                factor: vec![1.0; channels],
                shift: c.iter().map(|c| -c).collect(),
            }),
            BinaryOp::Mul => Some(Affine {
                factor: c,
                shift: vec![0.0; channels],
            }),
            BinaryOp::Div => Some(Affine {
                factor: c.iter().map(|c| 1.0 / c).collect(),
                shift: vec![0.0; channels],
            }),
            BinaryOp::Min | BinaryOp::Max | BinaryOp::Pow | BinaryOp::Prelu => None,
        })
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
