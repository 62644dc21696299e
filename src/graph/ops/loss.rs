//! Losses: scalars that a gradient starts at.

use serde::{Deserialize, Serialize};

use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::binary::Binary;
use super::operands::{F32, Operands, one};
use super::rules::{Operation, plain_rules};
use crate::base::{DType, num_elements};
use crate::error::Result;
use crate::kernels::loss::{self, Criterion};

/// `logits [n, c], labels u32 [n] → loss [1]`: the cross-entropy of the softmax, mean over rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropy;

/// `x, wanted → loss [1]`, same shapes: the mean squared difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanSquare;

/// `logits [n, c], teacher [n, c] → loss [1]`: `T² · KL(softmax(teacher / T) ‖ softmax(logits / T))`, mean over
/// rows. The teacher gets no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distill {
    /// `T`; positive.
    pub temperature: f32,
}

/// `x, wanted → dx` of a loss whose own gradient is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossGrad {
    /// The loss.
    pub criterion: Criterion,
}

/// Rows and columns as the kernels see them.
fn rows(shape: &[usize], criterion: Criterion) -> [usize; 2] {
    match (criterion, shape) {
        (Criterion::CrossEntropy | Criterion::Distill { .. }, &[rows, cols]) => [rows, cols],
        _ => [1, num_elements(shape)],
    }
}

fn check(x: &Operands<'_>, criterion: Criterion) -> Result<()> {
    x.count(2)?;
    x.expect_dtype(0, "x", F32)?;
    match criterion {
        Criterion::CrossEntropy => {
            let [rows, _] = x.matrix(0, "logits")?;
            x.expect_dtype(1, "labels", &[DType::U32])?;
            x.expect_shape(1, "labels", &[rows])
        }
        Criterion::Distill { .. } => {
            x.matrix(0, "logits")?;
            x.expect_dtype(1, "teacher", F32)?;
            x.expect_shape(1, "teacher", x.shape(0))
        }
        Criterion::MeanSquare => {
            x.expect_dtype(1, "wanted", F32)?;
            x.expect_shape(1, "wanted", x.shape(0))
        }
    }
}

fn lower(node: &Node, criterion: Criterion, to: &mut Lowering<'_>) -> Result<()> {
    let [rows, cols] = rows(to.shape(node.inputs[0]), criterion);
    let kernel = loss::Loss {
        criterion,
        rows,
        cols,
    };
    to.step(node, kernel)
}

/// The gradient of `x`, times that of the loss unless it is the 1 that everything starts at.
fn gradient(node: &Node, criterion: Criterion, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
    let (x, wanted) = (node.inputs[0], node.inputs[1]);
    if !tape.needs(x) {
        return Ok(());
    }
    let name = format!("d {} alone", node.name);
    let mut dx = tape.push(&name, LossGrad { criterion }, &[x, wanted])?;
    if !tape.starts_at(dy) {
        dx = tape.push(&format!("d {}", node.name), Binary::MUL, &[dx, dy])?;
    }
    tape.accumulate(node, x, dx)
}

macro_rules! loss {
    ($name:ident, $criterion:expr) => {
        impl Operation for $name {
            fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
                check(x, $criterion(self))?;
                one(&[1], DType::F32)
            }

            fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
                lower(node, $criterion(self), to)
            }

            fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
                gradient(node, $criterion(self), dy, tape)
            }

            plain_rules!();
        }
    };
}

loss!(SoftmaxCrossEntropy, |_: &SoftmaxCrossEntropy| {
    Criterion::CrossEntropy
});
loss!(MeanSquare, |_: &MeanSquare| Criterion::MeanSquare);
loss!(Distill, |loss: &Distill| Criterion::Distill {
    temperature: loss.temperature
});

impl Operation for LossGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        check(x, self.criterion)?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let criterion = self.criterion;
        let [rows, cols] = rows(to.shape(node.inputs[0]), criterion);
        let kernel = loss::LossGrad {
            criterion,
            rows,
            cols,
        };
        to.step(node, kernel)
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
