//! Batch norm in training.

use crate::error::Result;
use crate::graph::{Graph, Rewriter, ValueId};

/// PyTorch's default weight of a new batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;

/// The graph whose batch norms normalise with the statistics of the batch and move their running ones, as
/// PyTorch's in training mode: `running = (1 − momentum) · running + momentum · batch`, with the unbiased
/// variance. The running statistics stay the parameters they are; their values change when it runs.
///
/// # Errors
/// None for a well-formed graph.
pub fn train_batch_norms(graph: &Graph, momentum: f32) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        let Some(op) = node.op.rules().in_training(momentum) else {
            rewriter.copy(node)?;
            continue;
        };
        let inputs: Vec<ValueId> = node
            .inputs
            .iter()
            .map(|&id| rewriter.get(id))
            .collect::<Result<_>>()?;
        rewriter.replace(node, op, &inputs)?;
    }
    rewriter.finish()
}
