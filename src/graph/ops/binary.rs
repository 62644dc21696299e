//! Functions of two tensors, element by element.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::lower_i8::narrowed;
use super::super::tape::{Tape, no_gradient};
use super::super::values::{Graph, Node, Type, ValueId};
use super::map::{Map, MapGrad, through};
use super::operands::{F32, FLOATS, Operands, REALS, one};
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
    pub const ADD: Self = Self::new(BinaryOp::Add);
    /// `a − b`.
    pub const SUB: Self = Self::new(BinaryOp::Sub);
    /// `a · b`.
    pub const MUL: Self = Self::new(BinaryOp::Mul);
    /// `a / b`.
    pub const DIV: Self = Self::new(BinaryOp::Div);
    /// The smaller of both.
    pub const MIN: Self = Self::new(BinaryOp::Min);
    /// The larger of both.
    pub const MAX: Self = Self::new(BinaryOp::Max);
    /// `aᵇ`.
    pub const POW: Self = Self::new(BinaryOp::Pow);
    /// `a` for `a ≥ 0`, else `a · b`.
    pub const PRELU: Self = Self::new(BinaryOp::Prelu);

    /// This function, and nothing behind it.
    pub const fn new(op: BinaryOp) -> Self {
        Self { op, act: None }
    }

    /// The gradient of one operand of `node` before it is summed to its shape; `side` is 0 or 1.
    fn side_gradient(
        &self,
        node: &Node,
        side: usize,
        dy: ValueId,
        tape: &mut Tape<'_>,
    ) -> Result<ValueId> {
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let at = format!("d {} by {}", node.name, tape.name(node.inputs[1 - side]));
        let scaled = |factor| Map {
            f: Unary::Scale { factor },
        };
        Ok(match (self.op, side) {
            (BinaryOp::Add, _) | (BinaryOp::Sub, 0) => dy,
            (BinaryOp::Sub, _) => tape.push(&at, scaled(-1.0), &[dy])?,
            (BinaryOp::Mul, _) => tape.push(&at, Self::MUL, &[dy, node.inputs[1 - side]])?,
            (BinaryOp::Div, 0) => tape.push(&at, Self::DIV, &[dy, b])?,
            // −dy · (a / b) / b
            (BinaryOp::Div, _) => {
                let y = tape.push(&format!("{at}: a / b"), Self::DIV, &[a, b])?;
                let share = tape.push(&format!("{at}: dy / b"), Self::DIV, &[dy, b])?;
                let product = tape.push(&format!("{at}: product"), Self::MUL, &[share, y])?;
                tape.push(&at, scaled(-1.0), &[product])?
            }
            // Where both are equal, half of dy is that of either: sign(0) is 0.
            (BinaryOp::Min | BinaryOp::Max, _) => {
                let away = tape.push(&format!("{at}: a - b"), Self::SUB, &[a, b])?;
                let sign = MapGrad { f: Unary::Abs };
                let signed = tape.push(&format!("{at}: signed"), sign, &[away, dy])?;
                let positive = usize::from(self.op == BinaryOp::Min);
                let join = if side == positive {
                    Self::ADD
                } else {
                    Self::SUB
                };
                let twice = tape.push(&format!("{at}: twice"), join, &[dy, signed])?;
                tape.push(&at, scaled(0.5), &[twice])?
            }
            // dy where a is positive, dy · b elsewhere.
            (BinaryOp::Prelu, 0) => {
                let mut wide = a;
                if tape.shape(a) != tape.shape(dy) {
                    let zero = tape.push(&format!("{at}: 0"), scaled(0.0), &[dy])?;
                    wide = tape.push(&format!("{at}: wide"), Self::ADD, &[a, zero])?;
                }
                let relu = MapGrad { f: Unary::Relu };
                let positive = tape.push(&format!("{at}: positive"), relu, &[wide, dy])?;
                let negative = tape.push(&format!("{at}: negative"), Self::SUB, &[dy, positive])?;
                let negative = tape.push(&format!("{at}: product"), Self::MUL, &[negative, b])?;
                tape.push(&at, Self::ADD, &[positive, negative])?
            }
            (BinaryOp::Prelu, _) => {
                let (min, max) = (f32::MIN, 0.0);
                let f = Unary::Clip { min, max };
                let negative = tape.push(&format!("{at}: negative"), Map { f }, &[a])?;
                tape.push(&at, Self::MUL, &[dy, negative])?
            }
            (BinaryOp::Pow, _) => return Err(no_gradient(node)),
        })
    }
}

impl Operation for Binary {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let types = if self.op.has_integers() {
            REALS
        } else {
            FLOATS
        };
        x.expect_dtype(0, "a", types)?;
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
        let mut args = vec![to.value(node.inputs[0])?, to.value(node.inputs[1])?];
        let (y, table) = through(to, node)?;
        args.push(y);
        to.launch_through(
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
            args,
            table,
        )
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let dy = tape.through(node, self.act, dy)?;
        for side in [0, 1] {
            let of = node.inputs[side];
            if !tape.needs(of) {
                continue;
            }
            let mut gradient = self.side_gradient(node, side, dy, tape)?;
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
        if self.op.has_integers() {
            QuantRule::Own
        } else {
            QuantRule::Float
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
        let summand = |shift: Vec<f64>| Affine {
            factor: vec![1.0; channels],
            shift,
        };
        let product = |factor: Vec<f64>| Affine {
            factor,
            shift: vec![0.0; channels],
        };
        Ok(match self.op {
            BinaryOp::Add => Some(summand(c)),
            BinaryOp::Sub => Some(summand(c.iter().map(|c| -c).collect())),
            BinaryOp::Mul => Some(product(c)),
            BinaryOp::Div => Some(product(c.iter().map(|c| 1.0 / c).collect())),
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
