//! Masks inside a graph, for training with them.

use std::sync::Arc;

use super::sparsity::full_mask;
use crate::error::{Error, Result};
use crate::graph::ops::ApplyMask;
use crate::graph::{Graph, Rewriter, ValueId};

/// A graph that multiplies parameters by masks.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The graph.
    pub graph: Graph,
    /// Its parameters and their masks, which are parameters too, in the order they were asked for.
    pub masks: Vec<(ValueId, ValueId)>,
}

/// Multiplies these parameters by masks wherever they are used: their own, or one that keeps everything.
/// Gradients pass through the same masks.
///
/// # Errors
/// [`Error::Invalid`] for a value that is no f32 parameter.
pub fn insert_masks(graph: &Graph, params: &[ValueId]) -> Result<Masked> {
    let mut rewriter = Rewriter::new(graph);
    let mut masks = Vec::with_capacity(params.len());
    for &id in params {
        let name = &graph.value(id).name;
        let param = graph.as_param(id).ok_or_else(|| {
            Error::invalid("insert_masks", format!("`{name}` is not a parameter"))
        })?;
        let full = || Arc::new(full_mask(param.tensor.len()));
        let mask = param.mask.clone().unwrap_or_else(full);
        let w = rewriter.get(id)?;
        let mask = rewriter.graph.param(&format!("mask of {name}"), mask);
        let name = format!("{name} masked");
        let masked = rewriter.graph.push(&name, ApplyMask, &[w, mask])?;
        rewriter.map(id, masked);
        masks.push((w, mask));
    }
    for node in graph.nodes() {
        rewriter.copy(node)?;
    }
    let graph = rewriter.finish()?;
    Ok(Masked { graph, masks })
}
