//! Masks inside a graph, for training with them.

use std::collections::BTreeMap;

use super::sparsity::full_mask;
use crate::base::Tensor;
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Rewriter};

/// The name of a parameter's mask in a masked graph.
pub fn mask_name(param: &str) -> String {
    format!("{param}:mask")
}

/// Multiplies the named parameters by masks wherever they are used. The masks are parameters named
/// [`mask_name`]; those not given keep everything. Gradients pass through the same masks.
///
/// # Errors
/// [`Error::Invalid`] for a name that is no f32 parameter; [`Error::Shape`] for a mask that does not fit.
pub fn insert_masks(
    graph: &Graph,
    names: &[String],
    masks: &BTreeMap<String, Tensor>,
) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for name in names {
        let id = graph.find(name)?;
        let tensor = graph.tensor(id).ok_or_else(|| {
            Error::invalid("insert_masks", format!("`{name}` is not a parameter"))
        })?;
        let mask = masks
            .get(name)
            .cloned()
            .unwrap_or_else(|| full_mask(tensor.len()));
        let w = rewriter.get(id)?;
        let mask = rewriter.graph.param(&mask_name(name), mask);
        let masked = rewriter
            .graph
            .push(&format!("{name}:masked"), Op::ApplyMask, &[w, mask])?;
        rewriter.map(id, masked);
    }
    for node in graph.nodes() {
        rewriter.copy(node)?;
    }
    rewriter.finish()
}
