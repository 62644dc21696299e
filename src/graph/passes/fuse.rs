//! What follows a layer becomes a part of it.

use std::collections::{HashMap, HashSet};

use super::super::ops::Op;
use super::super::rewriter::Rewriter;
use super::super::values::{Graph, Node, ValueId};
use super::{computes_floats, only_user};
use crate::error::Result;
use crate::kernels::map::Unary;

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
/// takes the addition. Run it after [`super::fold_batch_norm`] and [`fuse_activations`].
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
