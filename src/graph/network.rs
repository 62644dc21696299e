//! A network as values and nodes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::infer::infer;
use super::op::Op;
use super::rewriter::Rewriter;
use crate::base::{DType, Shape, Tensor};
use crate::error::{Error, Result};
use crate::kernels::Access;

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub(super) usize);

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Supplied at every run.
    Input,
    /// A weight or another tensor that the graph carries. A node may update it in place (training
    /// state); otherwise it is constant.
    Param(Arc<Tensor>),
    /// Made by a node.
    Node,
}

/// A value: its name, type, shape and source.
#[derive(Clone, Debug)]
pub struct Value {
    /// Unique name; weights keep the names of their files (`conv1.weight`).
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
    /// Where it comes from.
    pub source: Source,
}

/// One operation on values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique name (`conv1`); its first output carries it too.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands in the order that [`Op`] states.
    pub inputs: Vec<ValueId>,
    /// Results in the order that [`Op`] states.
    pub outputs: Vec<ValueId>,
}

/// A network: values, and nodes in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    outputs: Vec<ValueId>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    fn add_value(&mut self, name: &str, dtype: DType, shape: &[usize], source: Source) -> ValueId {
        let id = ValueId(self.values.len());
        let taken = self.values.iter().any(|value| value.name == name);
        let name = if taken {
            format!("{name}.{}", id.0)
        } else {
            name.to_owned()
        };
        self.values.push(Value {
            name,
            dtype,
            shape: shape.to_vec(),
            source,
        });
        id
    }

    /// Adds a value that is supplied at every run.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[usize]) -> ValueId {
        self.add_value(name, dtype, shape, Source::Input)
    }

    /// Adds a tensor that the graph carries.
    pub fn param(&mut self, name: &str, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let tensor = tensor.into();
        self.add_value(
            name,
            tensor.dtype(),
            tensor.shape(),
            Source::Param(Arc::clone(&tensor)),
        )
    }

    /// Adds a node and returns its outputs. The first output carries the node's name, the others get
    /// a suffix.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::Invalid`] naming the node and the operand.
    pub fn push_all(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        let operands: Vec<&Value> = inputs.iter().map(|&id| self.value(id)).collect();
        let results = infer(name, &op, &operands)?;
        let outputs: Vec<ValueId> = results
            .into_iter()
            .enumerate()
            .map(|(i, (shape, dtype))| {
                let name = if i == 0 {
                    name.to_owned()
                } else {
                    format!("{name}:{i}")
                };
                self.add_value(&name, dtype, &shape, Source::Node)
            })
            .collect();
        self.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
        });
        Ok(outputs)
    }

    /// Adds a node with one output and returns it.
    ///
    /// # Errors
    /// As [`Self::push_all`]; also if the operation has no output.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let outputs = self.push_all(name, op, inputs)?;
        outputs
            .first()
            .copied()
            .ok_or_else(|| Error::invalid(name, "it has no output"))
    }

    /// Marks a value as a result of the network.
    pub fn output(&mut self, value: ValueId) {
        self.outputs.push(value);
    }

    /// Replaces the list of results.
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }

    /// The results of the network.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// All values, by [`ValueId`] order.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values
            .iter()
            .enumerate()
            .map(|(i, value)| (ValueId(i), value))
    }

    /// All nodes in running order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The tensor of a parameter, `None` for other values.
    pub fn tensor(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        match &self.value(id).source {
            Source::Param(tensor) => Some(tensor),
            Source::Input | Source::Node => None,
        }
    }

    /// The value with this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none.
    pub fn find(&self, name: &str) -> Result<ValueId> {
        let found = self.values.iter().position(|value| value.name == name);
        found
            .map(ValueId)
            .ok_or_else(|| Error::invalid("graph", format!("there is no value `{name}`")))
    }

    /// The node that makes a value.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.outputs.contains(&id))
    }

    /// The nodes that use a value.
    pub fn users(&self, id: ValueId) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(move |node| node.inputs.contains(&id))
    }

    /// Inputs in the order in which a run takes them.
    pub fn inputs(&self) -> Vec<ValueId> {
        self.values()
            .filter(|(_, v)| matches!(v.source, Source::Input))
            .map(|(id, _)| id)
            .collect()
    }

    /// Replaces the tensor of a parameter.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Invalid`] if it does not fit or is no parameter.
    pub fn set_tensor(&mut self, id: ValueId, tensor: impl Into<Arc<Tensor>>) -> Result<()> {
        let tensor = tensor.into();
        let value = &mut self.values[id.0];
        if tensor.shape() != value.shape || tensor.dtype() != value.dtype {
            let expected = format!("{:?} {}", value.shape, value.dtype);
            return Err(Error::shape(
                "set_tensor",
                &value.name,
                expected,
                tensor.shape(),
            ));
        }
        match &mut value.source {
            Source::Param(old) => *old = tensor,
            Source::Input | Source::Node => {
                return Err(Error::invalid(
                    "set_tensor",
                    format!("`{}` is no parameter", value.name),
                ));
            }
        }
        Ok(())
    }

    /// The same network for another batch size (the first axis of every input).
    ///
    /// # Errors
    /// [`Error::Invalid`] for batch 0 or a graph whose operations state a batch size themselves.
    pub fn with_batch(&self, batch: usize) -> Result<Self> {
        if batch == 0 {
            return Err(Error::invalid("batch", "a batch needs at least one image"));
        }
        let mut rewriter = Rewriter::new(self);
        for (id, value) in self.values() {
            if matches!(value.source, Source::Input) {
                let mut shape = value.shape.clone();
                shape[0] = batch;
                let new = rewriter.graph.input(&value.name, value.dtype, &shape);
                rewriter.map(id, new);
            }
        }
        for node in self.nodes() {
            rewriter.copy(node)?;
        }
        rewriter.finish()
    }

    /// Batch size: the first axis of the first input.
    pub fn batch(&self) -> usize {
        self.inputs()
            .first()
            .map_or(1, |&id| self.value(id).shape[0])
    }
}

impl Node {
    /// Operands that the node updates in place.
    pub fn updates(&self) -> Vec<ValueId> {
        match &self.op {
            Op::BatchNormTrain { .. } => self.inputs[3..5].to_vec(),
            Op::Kernel(kernel) => {
                let read = kernel
                    .bindings()
                    .into_iter()
                    .filter(|b| b.access != Access::Write);
                let pairs = read.zip(&self.inputs);
                pairs
                    .filter(|(b, _)| b.access == Access::ReadWrite)
                    .map(|(_, &id)| id)
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let list = |ids: &[ValueId]| {
                let names: Vec<&str> = ids.iter().map(|&id| self.value(id).name.as_str()).collect();
                names.join(", ")
            };
            let types: Vec<String> = node
                .outputs
                .iter()
                .map(|&id| format!("{}{:?}", self.value(id).dtype, self.value(id).shape))
                .collect();
            let kind = if let Op::Kernel(kernel) = &node.op {
                kernel.name().into()
            } else {
                format!("{:?}", node.op)
            };
            writeln!(
                f,
                "{} = {kind}({}) : {}",
                node.name,
                list(&node.inputs),
                types.join(", ")
            )?;
        }
        let outputs: Vec<&str> = self
            .outputs
            .iter()
            .map(|&id| self.value(id).name.as_str())
            .collect();
        writeln!(f, "-> {}", outputs.join(", "))
    }
}
