//! What a classifier answers with: scores of any size, or shares that a softmax or a sigmoid made of them.

use super::ops::{Op, QuantRule};
use super::values::{Graph, ValueId};

/// The scores that a result makes shares of, if it ends in a softmax (or, answering with a single number, in a
/// sigmoid), perhaps with its elements moved or its type changed behind it.
pub fn scores(graph: &Graph, result: ValueId) -> Option<ValueId> {
    let mut at = result;
    loop {
        let node = graph.producer(at)?;
        let single = graph.value(at).shape.last() == Some(&1);
        if node.op.makes_shares(single) {
            return node.inputs.first().copied();
        }
        if !passes_on(&node.op) {
            return None;
        }
        at = *node.inputs.first()?;
    }
}

fn passes_on(op: &Op) -> bool {
    op.quantization() == QuantRule::Operand || op.only_changes_type()
}
