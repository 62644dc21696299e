//! Rewrites that keep the mathematics: batch norm folded, ReLU and residual additions fused, dead nodes
//! dropped.

use std::collections::{HashMap, HashSet};

use super::network::{Graph, Node, Source, ValueId};
use super::op::Op;
use super::rewriter::Rewriter;
use crate::base::Tensor;
use crate::error::{Error, Result};

/// Folds every batch norm that follows a convolution or linear layer (and is its only user) into its
/// weights and bias: `w' = w · γ/√(σ² + ε)`, `b' = (b − μ) · γ/√(σ² + ε) + β`, per output channel, in f64.
///
/// # Errors
/// [`Error::Invalid`] if weights are not parameters or a folded weight is not finite.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    let mut folded: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        match (&node.op, foldable(graph, node)) {
            (Op::Linear { .. } | Op::Conv2d { .. }, Some((norm, eps))) => {
                let (w, bias) = fold(graph, node, norm, eps)?;
                let x = rewriter.get(node.inputs[0])?;
                let names = [1, 2].map(|i| graph.value(node.inputs[i]).name.clone());
                let w = rewriter.graph.param(&names[0], w);
                let bias = rewriter.graph.param(&names[1], bias);
                let y = rewriter
                    .graph
                    .push(&node.name, node.op.clone(), &[x, w, bias])?;
                rewriter.map(norm.outputs[0], y);
                folded.insert(norm.outputs[0]);
            }
            _ if node.outputs.first().is_some_and(|y| folded.contains(y)) => {}
            _ => rewriter.copy(node)?,
        }
    }
    rewriter.finish()
}

/// The batch norm that can be folded into `node`, with its ε.
fn foldable<'g>(graph: &'g Graph, node: &Node) -> Option<(&'g Node, f32)> {
    let relu = matches!(
        node.op,
        Op::Linear { relu: true } | Op::Conv2d { relu: true, .. }
    );
    let norm = only_user(graph, node)?;
    match norm.op {
        Op::BatchNorm { eps } if !relu => Some((norm, eps)),
        _ => None,
    }
}

/// The single node that uses the single result of `node`, if the result is not a graph output.
fn only_user<'g>(graph: &'g Graph, node: &Node) -> Option<&'g Node> {
    let &[y] = node.outputs.as_slice() else {
        return None;
    };
    let mut users = graph.users(y);
    let user = users.next()?;
    (users.next().is_none() && !graph.outputs().contains(&y)).then_some(user)
}

fn fold(graph: &Graph, node: &Node, norm: &Node, eps: f32) -> Result<(Tensor, Tensor)> {
    let param = |id: ValueId| -> Result<Vec<f64>> {
        let tensor = graph.tensor(id).ok_or_else(|| {
            Error::invalid(
                "fold_batch_norm",
                format!("`{}` is not a parameter", graph.value(id).name),
            )
        })?;
        Ok(tensor.to_f64())
    };
    let (mut w, mut bias) = (param(node.inputs[1])?, param(node.inputs[2])?);
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| param(norm.inputs[i]));
    let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
    let per_channel = w.len() / bias.len();
    for (c, b) in bias.iter_mut().enumerate() {
        let factor = gamma[c] / (variance[c] + f64::from(eps)).sqrt();
        if !factor.is_finite() {
            let problem = format!(
                "channel {c}: variance {} and gamma {} give no finite factor",
                variance[c], gamma[c]
            );
            return Err(Error::invalid(&norm.name, problem));
        }
        w[c * per_channel..(c + 1) * per_channel]
            .iter_mut()
            .for_each(|w| *w *= factor);
        *b = (*b - mean[c]) * factor + beta[c];
    }
    let mut tensors = Vec::new();
    for (data, id) in [(w, node.inputs[1]), (bias, node.inputs[2])] {
        let value = graph.value(id);
        let mut tensor = Tensor::zeros(&value.shape, value.dtype);
        tensor.store_f64(&data)?;
        tensors.push(tensor);
    }
    let bias = tensors
        .pop()
        .unwrap_or_else(|| Tensor::zeros(&[], crate::base::DType::F32));
    let w = tensors
        .pop()
        .unwrap_or_else(|| Tensor::zeros(&[], crate::base::DType::F32));
    Ok((w, bias))
}

/// Fuses a ReLU into the linear layer, convolution or addition before it, where it is the only user.
///
/// # Errors
/// None for a well-formed graph.
pub fn fuse_relu(graph: &Graph) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    let mut fused: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        let relu = only_user(graph, node).filter(|user| matches!(user.op, Op::Relu));
        let with_relu = match &node.op {
            Op::Linear { relu: false } => Some(Op::Linear { relu: true }),
            Op::Conv2d { conv, relu: false } => Some(Op::Conv2d {
                conv: *conv,
                relu: true,
            }),
            Op::Add { relu: false } => Some(Op::Add { relu: true }),
            _ => None,
        };
        match (relu, with_relu) {
            (Some(relu), Some(op)) => {
                let inputs: Vec<ValueId> = node
                    .inputs
                    .iter()
                    .map(|&id| rewriter.get(id))
                    .collect::<Result<_>>()?;
                let y = rewriter.graph.push(&node.name, op, &inputs)?;
                rewriter.map(relu.outputs[0], y);
                fused.insert(relu.outputs[0]);
            }
            _ if node.outputs.first().is_some_and(|y| fused.contains(y)) => {}
            _ => rewriter.copy(node)?,
        }
    }
    rewriter.finish()
}

/// Fuses an addition into the convolution before it, where the addition is its only user: a residual
/// block ends in `relu?(x ∗ w + bias + residual)`, rounded once. Of two such convolutions the later one
/// takes the addition. Run it after [`fold_batch_norm`] and [`fuse_relu`].
///
/// # Errors
/// None for a well-formed graph.
pub fn fuse_residual(graph: &Graph) -> Result<Graph> {
    // The convolution (by its result) that takes an addition (by its result), and the other operand.
    let mut takes: HashMap<ValueId, (&Node, Op, ValueId)> = HashMap::new();
    let mut gone: HashSet<ValueId> = HashSet::new();
    for add in graph.nodes() {
        let (&Op::Add { relu }, &[a, b]) = (&add.op, add.inputs.as_slice()) else {
            continue;
        };
        let fusable = |y: ValueId| {
            let conv = graph.nodes().iter().position(|n| n.outputs == [y])?;
            let node = &graph.nodes()[conv];
            let Op::Conv2d {
                conv: geometry,
                relu: false,
            } = node.op
            else {
                return None;
            };
            let fused = Op::Conv2d {
                conv: geometry,
                relu,
            };
            let plain = node.inputs.len() == 3 && a != b && only_user(graph, node).is_some();
            plain.then_some((conv, node, fused))
        };
        let candidates = [(fusable(a), b), (fusable(b), a)];
        let found = candidates
            .into_iter()
            .filter_map(|(conv, other)| conv.map(|conv| (conv, other)))
            .max_by_key(|((at, _, _), _)| *at);
        if let Some(((_, conv, fused), other)) = found {
            takes.insert(add.outputs[0], (conv, fused, other));
            gone.insert(conv.outputs[0]);
        }
    }
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        if node.outputs.first().is_some_and(|y| gone.contains(y)) {
            continue;
        }
        let fused = node.outputs.first().and_then(|y| takes.remove(y));
        let Some((conv, op, other)) = fused else {
            rewriter.copy(node)?;
            continue;
        };
        let inputs: Vec<ValueId> = conv
            .inputs
            .iter()
            .copied()
            .chain([other])
            .map(|id| rewriter.get(id))
            .collect::<Result<_>>()?;
        let y = rewriter.graph.push(&conv.name, op, &inputs)?;
        rewriter.map(node.outputs[0], y);
    }
    rewriter.finish()
}

/// Drops nodes whose results nobody uses and that update nothing, and parameters left without users.
///
/// # Errors
/// None for a well-formed graph.
pub fn drop_dead(graph: &Graph) -> Result<Graph> {
    let mut needed: HashSet<ValueId> = graph.outputs().iter().copied().collect();
    let mut keep = vec![false; graph.nodes().len()];
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        keep[i] = !node.updates().is_empty() || node.outputs.iter().any(|y| needed.contains(y));
        if keep[i] {
            needed.extend(&node.inputs);
        }
    }
    let mut rewriter = Rewriter::new(graph);
    for (id, value) in graph.values() {
        if matches!(value.source, Source::Input) {
            rewriter.get(id)?;
        }
    }
    for (node, _) in graph.nodes().iter().zip(keep).filter(|(_, keep)| *keep) {
        rewriter.copy(node)?;
    }
    rewriter.finish()
}

/// Everything that inference wants: batch norm folded, ReLU and residual additions fused, dead nodes
/// dropped.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn optimize(graph: &Graph) -> Result<Graph> {
    fuse_residual(&drop_dead(&fuse_relu(&fold_batch_norm(graph)?)?)?)
}
