//! Batch normalisation, and its gradients.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Graph, Node, Type, ValueId};
use super::operands::{F32, Operands, one, rows_of};
use super::rules::{Affine, Operation, QuantRule, plain_rules};
use super::{Op, Weights};
use crate::base::DType;
use crate::error::{Error, Result};
use crate::kernels::map::Unary;
use crate::kernels::{map, norm};

/// `x [.., c], gamma, beta, mean, variance → y`: `(x − mean) / √(variance + ε) · gamma + beta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// `x, gamma, beta, running_mean (updated), running_variance (updated) → y, mean, inv_std`, normalised with
/// the statistics of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNormTrain {
    /// Added to the variance.
    pub eps: f32,
    /// Weight of the new batch in the running statistics.
    pub momentum: f32,
}

/// `x, dy, gamma, mean, inv_std → dx, dgamma, dbeta`, through the batch statistics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNormTrainGrad;

/// `x, dy, gamma, mean, variance → dx, dgamma, dbeta`, statistics fixed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNormGrad {
    /// Added to the variance.
    pub eps: f32,
}

fn check(x: &Operands<'_>, names: &[&str]) -> Result<usize> {
    x.count(names.len())?;
    let channels = x.shape(0).last().copied().unwrap_or(0);
    for (i, name) in names.iter().enumerate() {
        x.expect_dtype(i, name, F32)?;
        if i > 0 {
            x.expect_shape(i, name, &[channels])?;
        }
    }
    Ok(channels)
}

fn operands<const N: usize>(ids: &[ValueId], node: &Node) -> Result<[ValueId; N]> {
    <[ValueId; N]>::try_from(ids)
        .map_err(|_| Error::invalid(&node.name, format!("{} operands, not {N}", ids.len())))
}

/// The channels of `x`, `y` and of everything per channel are the same ones.
fn same_channels(node: &Node, ties: &mut Ties<'_>) {
    let x = ties.last(node.inputs[0]);
    for &id in node.inputs[1..].iter().chain(&node.outputs) {
        let axis = ties.last(id);
        ties.tie(axis, x);
    }
}

/// `dx`, `dgamma`, `dbeta` by an operation with these three results.
fn gradients(
    node: &Node,
    op: impl Into<Op>,
    operands: &[ValueId],
    tape: &mut Tape<'_>,
) -> Result<()> {
    let gradients = tape.push_all(&format!("d {}", node.name), op, operands)?;
    for (&of, gradient) in node.inputs.iter().zip(gradients) {
        tape.accumulate(node, of, gradient)?;
    }
    Ok(())
}

impl Operation for BatchNorm {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        check(x, &["x", "gamma", "beta", "mean", "variance"])?;
        one(x.shape(0), DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, channels) = rows_of(to.shape(node.inputs[0]));
        let eps = self.eps;
        to.step(
            node,
            norm::BatchNorm {
                rows,
                channels,
                statistics: norm::Statistics::Running { eps },
            },
        )
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let [x, gamma, _, mean, variance] = operands(&node.inputs, node)?;
        let op = BatchNormGrad { eps: self.eps };
        gradients(node, op, &[x, dy, gamma, mean, variance], tape)
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
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

    fn in_training(&self, momentum: f32) -> Option<Op> {
        let eps = self.eps;
        Some(BatchNormTrain { eps, momentum }.into())
    }

    fn activation(&self) -> Option<Unary> {
        None
    }

    fn fuse(&self, _next: &Op) -> Option<Op> {
        None
    }

    fn affine(&self, graph: &Graph, node: &Node) -> Result<Option<Affine>> {
        let mut params = Vec::new();
        for &id in &node.inputs[1..] {
            let Some(tensor) = graph.tensor(id) else {
                return Ok(None);
            };
            params.push(tensor.to_f64());
        }
        let [gamma, beta, mean, variance] = params.as_slice() else {
            return Ok(None);
        };
        let (mut factor, mut shift) = (Vec::new(), Vec::new());
        for (c, (gamma, variance)) in gamma.iter().zip(variance).enumerate() {
            let f = gamma / (variance + f64::from(self.eps)).sqrt();
            if !f.is_finite() {
                let problem = format!(
                    "channel {c}: variance {variance} and gamma {gamma} give no finite factor"
                );
                return Err(Error::invalid(&node.name, problem));
            }
            factor.push(f);
            shift.push(beta[c] - mean[c] * f);
        }
        Ok(Some(Affine { factor, shift }))
    }

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        same_channels(node, ties);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for BatchNormTrain {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        let names = ["x", "gamma", "beta", "running_mean", "running_variance"];
        let c = check(x, &names)?;
        let per_channel = Type::new(&[c], DType::F32);
        let y = Type::new(x.shape(0), DType::F32);
        Ok(vec![y, per_channel.clone(), per_channel])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, channels) = rows_of(to.shape(node.inputs[0]));
        let [x, gamma, beta, running_mean, running_variance] = operands(&node.inputs, node)?;
        let [y, mean, inv_std] = operands(&node.outputs, node)?;
        let stats = norm::BatchNormStats {
            rows,
            channels,
            eps: self.eps,
            momentum: self.momentum,
        };
        to.step_on(
            node,
            stats,
            &[x, running_mean, running_variance, mean, inv_std],
        )?;
        let apply = norm::BatchNorm {
            rows,
            channels,
            statistics: norm::Statistics::Batch,
        };
        to.step_on(node, apply, &[x, gamma, beta, mean, inv_std, y])
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let (x, gamma) = (node.inputs[0], node.inputs[1]);
        let operands = [x, dy, gamma, node.outputs[1], node.outputs[2]];
        gradients(node, BatchNormTrainGrad, &operands, tape)
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Float
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        same_channels(node, ties);
    }

    plain_rules!(unchanged);

    fn updates(&self) -> Vec<usize> {
        vec![3, 4]
    }
}

fn gradient_types(x: &Operands<'_>, last: [&str; 2]) -> Result<Vec<Type>> {
    x.count(5)?;
    x.expect_dtype(0, "x", F32)?;
    x.expect_dtype(1, "dy", F32)?;
    x.expect_shape(1, "dy", x.shape(0))?;
    let c = x.shape(0).last().copied().unwrap_or(0);
    for (i, name) in ["gamma"].into_iter().chain(last).enumerate() {
        x.expect_dtype(i + 2, name, F32)?;
        x.expect_shape(i + 2, name, &[c])?;
    }
    let per_channel = Type::new(&[c], DType::F32);
    let dx = Type::new(x.shape(0), DType::F32);
    Ok(vec![dx, per_channel.clone(), per_channel])
}

impl Operation for BatchNormTrainGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        gradient_types(x, ["mean", "inv_std"])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, channels) = rows_of(to.shape(node.inputs[0]));
        let [x, dy, gamma, mean, inv_std] = operands(&node.inputs, node)?;
        let [dx, dgamma, dbeta] = operands(&node.outputs, node)?;
        let params = norm::BatchNormGradParams { rows, channels };
        to.step_on(node, params, &[x, dy, mean, inv_std, dgamma, dbeta])?;
        let inputs = norm::BatchNormGrad { rows, channels };
        to.step_on(
            node,
            inputs,
            &[x, dy, gamma, mean, inv_std, dgamma, dbeta, dx],
        )
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for BatchNormGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        gradient_types(x, ["mean", "variance"])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, channels) = rows_of(to.shape(node.inputs[0]));
        let eps = self.eps;
        let [x, dy, gamma, mean, variance] = operands(&node.inputs, node)?;
        let [dx, dgamma, dbeta] = operands(&node.outputs, node)?;
        let inv_std = to.temp(format!("{}:inv_std", node.name), &[channels]);
        let from = to.value(variance)?;
        let root = map::Map {
            shape: vec![channels],
            dtype: DType::F32,
            f: Unary::InvStd { eps },
        };
        to.launch(node, root, vec![from, inv_std])?;
        let mut args = Vec::new();
        for id in [x, dy, mean, dgamma, dbeta] {
            args.push(to.value(id)?);
        }
        args.insert(3, inv_std);
        to.launch(node, norm::BatchNormGradParams { rows, channels }, args)?;
        let inputs = norm::BatchNormEvalGrad {
            rows,
            channels,
            eps,
        };
        to.step_on(node, inputs, &[dy, gamma, variance, dx])
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
