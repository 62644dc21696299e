//! A network as values and nodes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ops::{Op, Operands};
use super::rewriter::Rewriter;
pub(crate) use super::value::Type;
pub use super::value::{Param, Source, Value};
use crate::base::{DType, MAX_ELEMENTS, Quantization, Requant, Tensor, is_addressable};
use crate::error::{Error, Result};

/// A value of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub(super) usize);

/// One operation on values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique name (`conv1`); its first output carries it too.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands in the order that the operation states.
    pub inputs: Vec<ValueId>,
    /// Results in the order that the operation states.
    pub outputs: Vec<ValueId>,
}

/// A network: values, and nodes in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    names: HashSet<String>,
    nodes: Vec<Node>,
    outputs: Vec<ValueId>,
    /// What the results are called.
    output_names: Vec<String>,
    requant: Requant,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    fn add_value(&mut self, name: &str, ty: Type, source: Source) -> ValueId {
        let id = ValueId(self.values.len());
        let mut own = name.to_owned();
        while !self.names.insert(own.clone()) {
            own = format!("{own}.{}", id.0);
        }
        self.values.push(Value {
            name: own,
            dtype: ty.dtype,
            shape: ty.shape,
            quant: ty.quant,
            source,
        });
        id
    }

    /// Adds a value that is supplied at every run.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[usize]) -> ValueId {
        self.add_value(name, Type::new(shape, dtype), Source::Input)
    }

    /// Adds integers that are supplied at every run and stand for reals.
    pub fn input_quantized(&mut self, name: &str, shape: &[usize], quant: Quantization) -> ValueId {
        let quant = Some(quant);
        let ty = Type {
            quant,
            ..Type::new(shape, DType::I8)
        };
        self.add_value(name, ty, Source::Input)
    }

    /// Adds a tensor that the graph carries.
    pub fn param(&mut self, name: &str, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        self.add_param(name, tensor.into(), None, None)
    }

    /// Adds integers that the graph carries and that stand for reals.
    pub fn param_quantized(
        &mut self,
        name: &str,
        tensor: impl Into<Arc<Tensor>>,
        quant: Quantization,
    ) -> ValueId {
        self.add_param(name, tensor.into(), None, Some(quant))
    }

    pub(super) fn add_param(
        &mut self,
        name: &str,
        tensor: Arc<Tensor>,
        mask: Option<Arc<Tensor>>,
        quant: Option<Quantization>,
    ) -> ValueId {
        let ty = Type {
            quant,
            ..Type::new(tensor.shape(), tensor.dtype())
        };
        self.add_value(name, ty, Source::Param(Param { tensor, mask }))
    }

    /// Copies an input of another graph.
    pub(super) fn copy_input(&mut self, value: &Value, shape: &[usize]) -> ValueId {
        let ty = Type {
            shape: shape.to_vec(),
            dtype: value.dtype,
            quant: value.quant.clone(),
        };
        self.add_value(&value.name, ty, Source::Input)
    }

    /// Copies a parameter of another graph.
    pub(super) fn copy_param(&mut self, value: &Value, param: &Param) -> ValueId {
        let ty = Type {
            shape: value.shape.clone(),
            dtype: value.dtype,
            quant: value.quant.clone(),
        };
        self.add_value(&value.name, ty, Source::Param(param.clone()))
    }

    /// Adds a node and returns its outputs. The first output carries the node's name, the others get
    /// a suffix. The results of int8 layers are their int32 accumulators, exact and not yet rounded.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] or [`Error::Invalid`] naming the node and the operand.
    pub fn push_all(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        self.push_as(name, op.into(), inputs, None)
    }

    /// Adds a node with one output and returns it.
    ///
    /// # Errors
    /// As [`Self::push_all`]; also if the operation has no output.
    pub fn push(&mut self, name: &str, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId> {
        let outputs = self.push_all(name, op, inputs)?;
        outputs
            .first()
            .copied()
            .ok_or_else(|| Error::invalid(name, "it has no output"))
    }

    /// Adds a node whose (first) result is i8 and stands for reals by `quant`: accumulators are
    /// requantized to it, other results are rounded to it.
    ///
    /// # Errors
    /// As [`Self::push`]; [`Error::Invalid`] if the operation makes no integers of these operands or keeps
    /// those of its operand, or if the parameters are not those of a whole i8 tensor.
    pub fn push_quantized(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
        quant: Quantization,
    ) -> Result<ValueId> {
        let outputs = self.push_as(name, op.into(), inputs, Some(quant))?;
        Ok(outputs[0])
    }

    /// [`Self::push_all`], or with a `quant` [`Self::push_quantized`].
    pub(crate) fn push_as(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[ValueId],
        quant: Option<Quantization>,
    ) -> Result<Vec<ValueId>> {
        let values: Vec<&Value> = inputs.iter().map(|&id| self.value(id)).collect();
        let operands = Operands::new(name, op.name(), &values);
        let mut types = op.rules().infer(&operands)?;
        if let Some(ty) = types.iter().find(|ty| !is_addressable(&ty.shape)) {
            let expected = format!("at most {MAX_ELEMENTS} elements");
            return Err(Error::shape(operands.at(), "result", expected, &ty.shape));
        }
        if let Some(quant) = quant {
            quant.check(name)?;
            let integers = |ty: &&mut Type| matches!(ty.dtype, DType::I8 | DType::I32);
            let other = |ty: &Type| {
                ty.dtype == DType::I8 && ty.quant.as_ref().is_some_and(|own| *own != quant)
            };
            match types.first_mut().filter(integers) {
                Some(ty) if quant.axis.is_none() && !other(ty) => {
                    ty.dtype = DType::I8;
                    ty.quant = Some(quant);
                }
                _ => {
                    let problem = format!("{} cannot make such int8 of these operands", op.name());
                    return Err(Error::invalid(name, problem));
                }
            }
        }
        let named = types.into_iter().enumerate().map(|(i, ty)| match i {
            0 => self.add_value(name, ty, Source::Node),
            _ => self.add_value(&format!("{name}:{i}"), ty, Source::Node),
        });
        let outputs: Vec<ValueId> = named.collect();
        self.nodes.push(Node {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
        });
        Ok(outputs)
    }

    /// How accumulators of int8 layers are rounded.
    pub fn requant(&self) -> Requant {
        self.requant
    }

    /// Sets how accumulators of int8 layers are rounded.
    pub fn set_requant(&mut self, requant: Requant) {
        self.requant = requant;
    }

    /// Marks a value as a result of the network, under its own name.
    pub fn output(&mut self, value: ValueId) {
        let name = self.value(value).name.clone();
        self.output_named(&name, value);
    }

    /// Marks a value as a result of the network that is called `name`.
    pub fn output_named(&mut self, name: &str, value: ValueId) {
        self.outputs.push(value);
        self.output_names.push(name.to_owned());
    }

    /// Replaces the list of results; they carry the names of their values.
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs.clear();
        self.output_names.clear();
        for value in outputs {
            self.output(value);
        }
    }

    /// The results of the network.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// What the results are called, in the same order.
    pub fn output_names(&self) -> &[String] {
        &self.output_names
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

    /// The parameter behind a value, `None` for other values.
    pub fn as_param(&self, id: ValueId) -> Option<&Param> {
        match &self.value(id).source {
            Source::Param(param) => Some(param),
            Source::Input | Source::Node => None,
        }
    }

    /// The tensor of a parameter, `None` for other values.
    pub fn tensor(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.as_param(id).map(|param| &param.tensor)
    }

    /// The mask of a pruned parameter.
    pub fn mask(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.as_param(id)?.mask.as_ref()
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
        param_mut(value)?.tensor = tensor;
        Ok(())
    }

    /// Replaces or takes away the mask of a parameter.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of another length; [`Error::Invalid`] for a value that is no parameter.
    pub fn set_mask(&mut self, id: ValueId, mask: Option<Arc<Tensor>>) -> Result<()> {
        let value = &mut self.values[id.0];
        let words = crate::base::num_elements(&value.shape).div_ceil(32);
        if let Some(mask) = &mask
            && (mask.shape() != [words] || mask.dtype() != DType::U32)
        {
            let expected = format!("[{words}] u32, a bit for each of {:?}", value.shape);
            return Err(Error::shape(
                "set_mask",
                &value.name,
                expected,
                mask.shape(),
            ));
        }
        param_mut(value)?.mask = mask;
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
        self.with_inputs(|shape| shape[0] = batch)
    }

    /// The same network for images of another height and width: the two axes in the middle of every input
    /// `[n, height, width, channels]`.
    ///
    /// # Errors
    /// Those of the first operation that cannot take such images: a linear layer behind a flattened one, a
    /// window larger than its image.
    pub fn with_image(&self, height: usize, width: usize) -> Result<Self> {
        self.with_inputs(|shape| {
            if let [_, h, w, _] = shape {
                (*h, *w) = (height, width);
            }
        })
    }

    fn with_inputs(&self, change: impl Fn(&mut [usize])) -> Result<Self> {
        let mut rewriter = Rewriter::new(self);
        for (id, value) in self.values() {
            if matches!(value.source, Source::Input) {
                let mut shape = value.shape.clone();
                change(&mut shape);
                let new = rewriter.graph.copy_input(value, &shape);
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
        let updated = self.op.rules().updates();
        updated.into_iter().map(|i| self.inputs[i]).collect()
    }
}

fn param_mut(value: &mut Value) -> Result<&mut Param> {
    match &mut value.source {
        Source::Param(param) => Ok(param),
        Source::Input | Source::Node => {
            let problem = format!("`{}` is no parameter", value.name);
            Err(Error::invalid("graph", problem))
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
            let kind = format!("{:?}", node.op.rules());
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
