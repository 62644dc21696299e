//! Multiplications and additions along the channels join the layer before them.

use std::collections::HashSet;

use super::super::ops::{Affine, Binary, Conv2d, Op};
use super::super::rewriter::Rewriter;
use super::super::values::{Graph, Node, ValueId};
use super::only_user;
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::kernels::Conv;

/// Folds what only multiplies and adds along the channels (batch norms, products with and sums of
/// constants) into the layer with weights or the batch norm before it, whose only users they are, one after
/// another: `w' = w · factor`, `b' = b · factor + shift`, per output channel, in f64; for a batch norm `factor
/// = γ/√(σ² + ε)` and `shift = β − μ · factor`. A layer without a bias gets one.
///
/// # Errors
/// [`Error::Invalid`] if weights are not parameters or a folded weight is not finite.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    fold_behind(graph, true)
}

/// [`fold_batch_norm`] for products with and sums of constants alone: batch norms stay, and training can move
/// their statistics.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn fold_constants(graph: &Graph) -> Result<Graph> {
    fold_behind(graph, false)
}

fn fold_behind(graph: &Graph, norms: bool) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    let mut folded: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        if node.outputs.first().is_some_and(|y| folded.contains(y)) {
            continue;
        }
        let mut chain: Option<Affine> = None;
        let mut last = node;
        while takes_affine(graph, node)
            && let Some((next, affine)) = affine_behind(graph, last, norms)?
        {
            chain = Some(match chain {
                Some(first) => first.then(&affine),
                None => affine,
            });
            folded.extend(&next.outputs);
            last = next;
        }
        let Some(affine) = chain else {
            rewriter.copy(node)?;
            continue;
        };
        let y = match node.op.rules().weights() {
            Some(_) => fold(&mut rewriter, node, &affine)?,
            None => fold_into_norm(&mut rewriter, node, &affine)?,
        };
        rewriter.map(last.outputs[0], y);
    }
    rewriter.finish()
}

/// True for layers whose weights are stored floats that nothing follows, and batch norms.
fn takes_affine(graph: &Graph, node: &Node) -> bool {
    let rules = node.op.rules();
    let Some(at) = rules.weights() else {
        return matches!(node.op, Op::BatchNorm(_));
    };
    let stored = graph.as_param(node.inputs[at.weight]);
    let float = stored.is_some_and(|param| param.tensor.dtype() == DType::F32);
    at.residual.is_none() && rules.activation().is_none() && float
}

/// The only user of the node's result, if it multiplies and adds along the channels.
fn affine_behind<'g>(
    graph: &'g Graph,
    node: &Node,
    norms: bool,
) -> Result<Option<(&'g Node, Affine)>> {
    let Some(next) = only_user(graph, node) else {
        return Ok(None);
    };
    let norm = matches!(next.op, Op::BatchNorm(_));
    if next.inputs[0] != node.outputs[0] || (norm && !norms) {
        return Ok(None);
    }
    let affine = next.op.rules().affine(graph, next)?;
    Ok(affine.map(|affine| (next, affine)))
}

/// A batch norm's own factors take those behind it: `γ' = γ · factor`, `β' = β · factor + shift`.
fn fold_into_norm(rewriter: &mut Rewriter<'_>, node: &Node, affine: &Affine) -> Result<ValueId> {
    let graph = rewriter.old();
    let mut inputs = vec![rewriter.get(node.inputs[0])?];
    for (i, &id) in node.inputs.iter().enumerate().skip(1) {
        let Some(tensor) = graph.tensor(id).filter(|_| i < 3) else {
            inputs.push(rewriter.get(id)?);
            continue;
        };
        let both = affine.factor.iter().zip(&affine.shift);
        let data: Vec<f64> = tensor
            .to_f64()
            .iter()
            .zip(both)
            .map(|(x, (f, s))| x * f + if i == 2 { *s } else { 0.0 })
            .collect();
        inputs.push(rewriter.param_like(id, stored(tensor.shape(), &data)?));
    }
    rewriter.graph.push(&node.name, node.op.clone(), &inputs)
}

fn stored(shape: &[usize], data: &[f64]) -> Result<Tensor> {
    let mut tensor = Tensor::zeros(shape, DType::F32);
    tensor.store_f64(data)?;
    Ok(tensor)
}

/// Batch norms that no layer before them could take become layers of their own, which integers can run:
/// depthwise convolutions of one pixel for images, products with and sums of constants otherwise.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn affine_to_layers(graph: &Graph) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        let norm = matches!(node.op, Op::BatchNorm(_));
        let affine = if norm {
            node.op.rules().affine(graph, node)?
        } else {
            None
        };
        let Some(affine) = affine else {
            rewriter.copy(node)?;
            continue;
        };
        let x = rewriter.get(node.inputs[0])?;
        let channels = affine.factor.len();
        let name = |what: &str| format!("{}.{what}", node.name);
        let image = graph.value(node.inputs[0]).shape.len() == 4;
        let shape: &[usize] = if image {
            &[channels, 1, 1, 1]
        } else {
            &[channels]
        };
        let factor = stored(shape, &affine.factor)?;
        let shift = stored(&[channels], &affine.shift)?;
        let graph = &mut rewriter.graph;
        let factor = graph.param(&name("weight"), factor);
        let shift = graph.param(&name("bias"), shift);
        let y = match image {
            true => {
                let conv = Conv2d::new(Conv::square(1, 0, 1, channels));
                graph.push(&node.name, conv, &[x, factor, shift])?
            }
            false => {
                let y = graph.push(&name("scaled"), Binary::MUL, &[x, factor])?;
                graph.push(&node.name, Binary::ADD, &[y, shift])?
            }
        };
        rewriter.map(node.outputs[0], y);
    }
    rewriter.finish()
}

fn fold(rewriter: &mut Rewriter<'_>, node: &Node, affine: &Affine) -> Result<ValueId> {
    let graph = rewriter.old();
    let rules = node.op.rules();
    let (Some(at), Some(op)) = (rules.weights(), rules.with_bias()) else {
        let problem = "it has no weights that a batch norm could join";
        return Err(Error::invalid(&node.name, problem));
    };
    let w_id = node.inputs[at.weight];
    let bias_id = at.bias.and_then(|i| node.inputs.get(i)).copied();
    let tensor = |id: ValueId| {
        let value = graph.value(id);
        graph.tensor(id).ok_or_else(|| {
            Error::invalid(
                "fold_batch_norm",
                format!("`{}` is not a parameter", value.name),
            )
        })
    };
    let mut w = tensor(w_id)?.to_f64();
    let channels = affine.factor.len();
    let mut b = match bias_id {
        Some(id) => tensor(id)?.to_f64(),
        None => vec![0.0; channels],
    };
    let per_channel = w.len() / channels.max(1);
    for (c, (factor, shift)) in affine.factor.iter().zip(&affine.shift).enumerate() {
        let row = &mut w[c * per_channel..(c + 1) * per_channel];
        row.iter_mut().for_each(|w| *w *= factor);
        b[c] = b[c] * factor + shift;
    }
    let w = stored(&graph.value(w_id).shape, &w)?;
    let w = rewriter.param_like(w_id, w);
    let b = stored(&[channels], &b)?;
    let b = match bias_id {
        Some(id) => rewriter.param_like(id, b),
        None => rewriter.graph.param(&format!("{}.bias", node.name), b),
    };
    let x = rewriter.get(node.inputs[0])?;
    rewriter.graph.push(&node.name, op, &[x, w, b])
}
