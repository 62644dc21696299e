//! Building a graph from another one: the shape of every pass.

use std::sync::Arc;

use super::network::{Graph, Node, Source, ValueId};
use crate::error::{Error, Result};

/// Builds a graph from another one, node by node: the shape of every pass.
#[derive(Debug)]
pub struct Rewriter<'old> {
    old: &'old Graph,
    /// The graph under construction.
    pub graph: Graph,
    new_ids: Vec<Option<ValueId>>,
}

impl<'old> Rewriter<'old> {
    /// Starts from nothing.
    pub fn new(old: &'old Graph) -> Self {
        Self {
            old,
            graph: Graph::new(),
            new_ids: vec![None; old.values().count()],
        }
    }

    /// The graph being rewritten.
    pub fn old(&self) -> &'old Graph {
        self.old
    }

    /// From now on `new` stands for `old`.
    pub fn map(&mut self, old: ValueId, new: ValueId) {
        self.new_ids[old.0] = Some(new);
    }

    /// The value that stands for `old`; inputs and parameters are copied on first use.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value whose node was neither copied nor replaced.
    pub fn get(&mut self, old: ValueId) -> Result<ValueId> {
        if let Some(new) = self.new_ids[old.0] {
            return Ok(new);
        }
        let value = self.old.value(old);
        let new = match &value.source {
            Source::Input => self.graph.input(&value.name, value.dtype, &value.shape),
            Source::Param(tensor) => self.graph.param(&value.name, Arc::clone(tensor)),
            Source::Node => {
                let problem = format!("`{}` is used but its node was dropped", value.name);
                return Err(Error::invalid("rewrite", problem));
            }
        };
        self.map(old, new);
        Ok(new)
    }

    /// Copies a node with its operands replaced by what stands for them.
    ///
    /// # Errors
    /// If an operand has no stand-in or no longer fits.
    pub fn copy(&mut self, node: &Node) -> Result<()> {
        let inputs: Vec<ValueId> = node
            .inputs
            .iter()
            .map(|&id| self.get(id))
            .collect::<Result<_>>()?;
        let outputs = self.graph.push_all(&node.name, node.op.clone(), &inputs)?;
        for (&old, new) in node.outputs.iter().zip(outputs) {
            self.map(old, new);
        }
        Ok(())
    }

    /// The new graph, with the results of the old one.
    ///
    /// # Errors
    /// If a result has no stand-in.
    pub fn finish(mut self) -> Result<Graph> {
        for i in 0..self.old.outputs().len() {
            let output = self.get(self.old.outputs()[i])?;
            self.graph.output(output);
        }
        Ok(self.graph)
    }
}
