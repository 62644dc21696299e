//! Masks inside a graph, for training with them.

use std::collections::BTreeMap;

use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Rewriter};

/// The name of a parameter's mask in a masked graph.
pub fn mask_name(param: &str) -> String {
    format!("{param}:mask")
}

/// A mask that keeps everything: bit-packed `u32 [⌈len / 32⌉]`, unused bits zero.
pub fn full_mask(len: usize) -> Tensor {
    let mut mask = Tensor::zeros(&[len.div_ceil(32)], DType::U32);
    for (i, word) in mask.words_mut().iter_mut().enumerate() {
        let bits = (len - 32 * i).min(32);
        *word = u32::MAX >> (32 - bits);
    }
    mask
}

/// Multiplies the named parameters by masks wherever they are used. The masks are parameters named
/// [`mask_name`]; those not given keep everything. Gradients pass through the same masks.
///
/// # Errors
/// [`Error::Invalid`] for a name that is no f32 parameter; [`Error::Shape`] for a mask that does not fit.
pub fn insert_masks(graph: &Graph, names: &[String], masks: &BTreeMap<String, Tensor>) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for name in names {
        let id = graph.find(name)?;
        let tensor = graph
            .tensor(id)
            .ok_or_else(|| Error::invalid("insert_masks", format!("`{name}` is not a parameter")))?;
        let mask = masks.get(name).cloned().unwrap_or_else(|| full_mask(tensor.len()));
        let w = rewriter.get(id)?;
        let mask = rewriter.graph.param(&mask_name(name), mask);
        let masked = rewriter.graph.push(&format!("{name}:masked"), Op::ApplyMask, &[w, mask])?;
        rewriter.map(id, masked);
    }
    for node in graph.nodes() {
        rewriter.copy(node)?;
    }
    rewriter.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_bits_are_zero() {
        assert_eq!(full_mask(33).words(), [u32::MAX, 1]);
        assert_eq!(full_mask(64).words(), [u32::MAX; 2]);
        assert_eq!(full_mask(5).words(), [31]);
    }
}
