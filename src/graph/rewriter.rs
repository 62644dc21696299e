//! Building a graph from another one: the shape of every pass.

use std::sync::Arc;

use super::ops::Op;
use super::values::{Graph, Node, Source, ValueId};
use crate::base::{DType, Quantization, Tensor};
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
        let mut graph = Graph::new();
        graph.set_requant(old.requant());
        Self {
            old,
            graph,
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
            Source::Input => self.graph.copy_input(value, &value.shape),
            Source::Param(param) => self.graph.copy_param(value, param),
            Source::Node => {
                let problem = format!("`{}` is used but its node was dropped", value.name);
                return Err(Error::invalid("rewrite", problem));
            }
        };
        self.map(old, new);
        Ok(new)
    }

    /// Adds a parameter with the name and mask of an old one, of the same shape, and other contents.
    pub fn param_like(&mut self, old: ValueId, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let mask = self.old.mask(old).cloned();
        let name = &self.old.value(old).name;
        self.graph.add_param(name, tensor.into(), mask, None)
    }

    /// Puts another parameter, of the same name, in the place of an old one.
    pub fn replace_param(
        &mut self,
        old: ValueId,
        tensor: Tensor,
        mask: Option<Tensor>,
        quant: Option<Quantization>,
    ) {
        let (name, mask) = (&self.old.value(old).name, mask.map(Arc::new));
        let new = self.graph.add_param(name, Arc::new(tensor), mask, quant);
        self.map(old, new);
    }

    /// True if something stands for `old` already.
    pub fn is_mapped(&self, old: ValueId) -> bool {
        self.new_ids[old.0].is_some()
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
        self.replace(node, node.op.clone(), &inputs)
    }

    /// Puts another operation, on these operands of the new graph, in the place of a node; integer results
    /// keep what they stand for.
    ///
    /// # Errors
    /// If an operand does not fit.
    pub fn replace(&mut self, node: &Node, op: impl Into<Op>, inputs: &[ValueId]) -> Result<()> {
        let first = node.outputs.first().map(|&y| self.old.value(y));
        let quant = first.filter(|y| y.dtype == DType::I8);
        let quant = quant.and_then(|y| y.quant.clone());
        let outputs = self.graph.push_as(&node.name, op.into(), inputs, quant)?;
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
        for (&old, name) in self.old.outputs().iter().zip(self.old.output_names()) {
            let output = self.get(old)?;
            self.graph.output_named(name, output);
        }
        Ok(self.graph)
    }
}
