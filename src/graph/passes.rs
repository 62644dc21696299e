//! Rewrites that keep the mathematics: batch norm folded, activations and residual additions fused, dead
//! nodes dropped.

use std::collections::{HashMap, HashSet};

use super::ops::{Affine, Op};
use super::rewriter::Rewriter;
use super::values::{Graph, Node, Source, ValueId};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::kernels::map::Unary;

/// Folds every batch norm that follows a layer with weights (and is its only user) into its weights and
/// bias: `w' = w · γ/√(σ² + ε)`, `b' = (b − μ) · γ/√(σ² + ε) + β`, per output channel, in f64. A layer
/// without a bias gets one.
///
/// # Errors
/// [`Error::Invalid`] if weights are not parameters or a folded weight is not finite.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    let mut folded: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        if let Some((norm, affine)) = foldable(graph, node)? {
            let y = fold(&mut rewriter, node, &affine)?;
            rewriter.map(norm.outputs[0], y);
            folded.insert(norm.outputs[0]);
        } else if !node.outputs.first().is_some_and(|y| folded.contains(y)) {
            rewriter.copy(node)?;
        }
    }
    rewriter.finish()
}

/// The node behind `node` that only scales and shifts the channels.
fn foldable<'g>(graph: &'g Graph, node: &Node) -> Result<Option<(&'g Node, Affine)>> {
    let rules = node.op.rules();
    let at = rules.weights().filter(|at| at.residual.is_none());
    let Some((at, next)) = at.zip(only_user(graph, node)) else {
        return Ok(None);
    };
    let stored = graph.as_param(node.inputs[at.weight]);
    let float = stored.is_some_and(|param| param.tensor.dtype() == DType::F32);
    if rules.activation().is_some() || !float || next.inputs[0] != node.outputs[0] {
        return Ok(None);
    }
    let affine = next.op.rules().affine(graph, next)?;
    Ok(affine.map(|affine| (next, affine)))
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
    let stored = |shape: &[usize], data: &[f64]| -> Result<Tensor> {
        let mut tensor = Tensor::zeros(shape, DType::F32);
        tensor.store_f64(data)?;
        Ok(tensor)
    };
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

/// True for nodes that compute in floats. Integers stay as they are: their roundings are part of the network.
fn computes_floats(graph: &Graph, node: &Node) -> bool {
    let mut outputs = node.outputs.iter().map(|&y| graph.value(y).dtype);
    outputs.all(|dtype| matches!(dtype, DType::F32 | DType::F16))
}

/// Fuses functions of single elements into the float layer or addition before them, where they are its only
/// users and `take` says so.
///
/// # Errors
/// None for a well-formed graph.
pub fn fuse_activations(graph: &Graph, take: impl Fn(Unary) -> bool) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    let mut fused: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        let next = only_user(graph, node).filter(|user| {
            computes_floats(graph, node)
                && matches!(user.op, Op::Map(_))
                && user.op.rules().activation().is_some_and(&take)
        });
        let both = next.and_then(|next| Some((next, node.op.rules().fuse(&next.op)?)));
        if let Some((next, op)) = both {
            let inputs: Vec<ValueId> = node
                .inputs
                .iter()
                .map(|&id| rewriter.get(id))
                .collect::<Result<_>>()?;
            let y = rewriter.graph.push(&node.name, op, &inputs)?;
            rewriter.map(next.outputs[0], y);
            fused.insert(next.outputs[0]);
        } else if !node.outputs.first().is_some_and(|y| fused.contains(y)) {
            rewriter.copy(node)?;
        }
    }
    rewriter.finish()
}

/// Fuses an addition of floats into the convolution before it, where the addition is its only user: a residual
/// block ends in `relu?(x ∗ w + bias + residual)`, rounded once. Of two such convolutions the later one
/// takes the addition. Run it after [`fold_batch_norm`] and [`fuse_activations`].
///
/// # Errors
/// None for a well-formed graph.
pub fn fuse_residual(graph: &Graph) -> Result<Graph> {
    // The layer (by its result) that takes an addition (by its result), and the other operand.
    let mut takes: HashMap<ValueId, (&Node, Op, ValueId)> = HashMap::new();
    let mut gone: HashSet<ValueId> = HashSet::new();
    for add in graph.nodes() {
        let (Op::Binary(_), &[a, b]) = (&add.op, add.inputs.as_slice()) else {
            continue;
        };
        let fusable = |y: ValueId, other: ValueId| {
            let at = graph.nodes().iter().position(|n| n.outputs == [y])?;
            let node = &graph.nodes()[at];
            node.op
                .rules()
                .weights()
                .filter(|_| computes_floats(graph, node))?;
            let same = graph.value(y).shape == graph.value(other).shape;
            let plain = a != b && same && only_user(graph, node).is_some();
            let fused = node.op.rules().fuse(&add.op)?;
            (plain && !gone.contains(&y)).then_some((at, node, fused))
        };
        let candidates = [(fusable(a, b), b), (fusable(b, a), a)];
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

/// Multiplies the masks of parameters into them; the masks stay.
///
/// # Errors
/// None for a well-formed graph.
pub fn bake_masks(graph: &Graph) -> Result<Graph> {
    let mut out = graph.clone();
    for (id, _) in graph.values() {
        let (Some(tensor), Some(mask)) = (graph.tensor(id), graph.mask(id)) else {
            continue;
        };
        let mut data = tensor.to_f64();
        for (i, x) in data.iter_mut().enumerate() {
            if mask.words()[i / 32] >> (i % 32) & 1 == 0 {
                *x = 0.0;
            }
        }
        let mut baked = tensor.as_ref().clone();
        if matches!(baked.dtype(), DType::F32 | DType::F16) {
            baked.store_f64(&data)?;
            out.set_tensor(id, baked)?;
        }
    }
    Ok(out)
}

/// Everything that inference wants: batch norm folded, activations and residual additions fused, dead
/// nodes dropped.
///
/// # Errors
/// As [`fold_batch_norm`].
pub fn optimize(graph: &Graph) -> Result<Graph> {
    let folded = fold_batch_norm(graph)?;
    fuse_residual(&drop_dead(&fuse_activations(&folded, |_| true)?)?)
}
