//! Rewrites that keep the mathematics: batch norm folded, activations and residual additions fused, dead
//! nodes dropped.

mod equalize;
mod fold;
mod functions;
mod fuse;
mod integers;

pub use equalize::{equalize, scalable};
pub use fold::{affine_to_layers, fold_batch_norm, fold_constants};
pub use functions::name_functions;
pub use fuse::{fuse_activations, fuse_residual};
pub use integers::integer_operations;

use std::collections::HashSet;

use super::rewriter::Rewriter;
use super::values::{Graph, Node, Source, ValueId};
use crate::base::DType;
use crate::error::Result;

/// The single node that uses the single result of `node`, if the result is not a graph output.
fn only_user<'g>(graph: &'g Graph, node: &Node) -> Option<&'g Node> {
    let &[y] = node.outputs.as_slice() else {
        return None;
    };
    let mut users = graph.users(y);
    let user = users.next()?;
    (users.next().is_none() && !graph.outputs().contains(&y)).then_some(user)
}

/// True for nodes that compute in floats. Integers stay as they are: their roundings are part of the network.
fn computes_floats(graph: &Graph, node: &Node) -> bool {
    let mut outputs = node.outputs.iter().map(|&y| graph.value(y).dtype);
    outputs.all(|dtype| matches!(dtype, DType::F32 | DType::F16))
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
