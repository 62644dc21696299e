//! From mathematics to kernels: every operation says which ([`super::ops`]), with what this lends it.

use std::collections::HashSet;
use std::sync::Arc;

use super::plan::{Kind, Plan, PlanBuilder};
use super::values::{Graph, Node, Source, ValueId};
use crate::base::{DType, QParams, Shape, Tensor, words_for};
use crate::error::{Error, Result};
use crate::gpu::Caps;
use crate::kernels::{
    Kernel,
    map::WithTable,
    movement::{Gather, Repack},
};

/// Choices that are not the device's to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LowerOptions {
    /// Multiply in native `f16` where the device has it, instead of unpacking to f32.
    pub native_f16: bool,
    /// Every value of the graph is one of the plan, for those who look at them: no layer takes the function behind it
    /// into its own step.
    pub every_value: bool,
}

/// Chooses a kernel for every node and shares buffers by liveness.
///
/// # Errors
/// Naming the node that cannot be lowered.
pub fn lower(graph: &Graph, caps: &Caps) -> Result<Plan> {
    lower_with(graph, caps, LowerOptions::default())
}

/// Like [`lower`], with choices.
///
/// # Errors
/// As [`lower`].
pub fn lower_with(graph: &Graph, caps: &Caps, options: LowerOptions) -> Result<Plan> {
    let mut lowering = Lowering {
        graph,
        caps,
        native_f16: options.native_f16 && caps.f16,
        every_value: options.every_value,
        builder: PlanBuilder::default(),
        map: vec![None; graph.values().count()],
        updated: graph.nodes().iter().flat_map(Node::updates).collect(),
        made: HashSet::new(),
    };
    for id in graph.inputs() {
        lowering.value(id)?;
    }
    for node in graph.nodes() {
        let made = node.outputs.first();
        if !made.is_some_and(|y| lowering.made.contains(y)) {
            node.op.rules().lower(node, &mut lowering)?;
        }
    }
    for &output in graph.outputs() {
        let mut value = lowering.value(output)?;
        let shape = &graph.value(output).shape;
        if !lowering.builder.can_show(value, shape) {
            value = lowering.copied(output, value)?;
        }
        lowering.builder.reshape(value, shape);
        lowering.builder.output(value);
    }
    lowering.builder.finish()
}

/// A graph on its way to a plan.
pub(crate) struct Lowering<'a> {
    /// What is lowered.
    pub graph: &'a Graph,
    /// What the device can do.
    pub caps: &'a Caps,
    /// Multiply in native `f16`.
    pub native_f16: bool,
    /// Every value of the graph is one of the plan.
    pub every_value: bool,
    builder: PlanBuilder,
    map: Vec<Option<usize>>,
    updated: Vec<ValueId>,
    /// Results that the step of an earlier node writes.
    made: HashSet<ValueId>,
}

impl<'a> Lowering<'a> {
    /// The plan's value for a value of the graph.
    pub fn value(&mut self, id: ValueId) -> Result<usize> {
        if let Some(value) = self.map[id.0] {
            return Ok(value);
        }
        let value = self.graph.value(id);
        let kind = match &value.source {
            Source::Input => Kind::Input,
            Source::Param(param) if self.updated.contains(&id) => {
                Kind::State(Arc::clone(&param.tensor))
            }
            Source::Param(param) => Kind::Const(Arc::clone(&param.tensor)),
            Source::Node => Kind::Temp,
        };
        let new = self
            .builder
            .value(&value.name, value.dtype, &value.shape, kind);
        self.map[id.0] = Some(new);
        Ok(new)
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> &'a Shape {
        &self.graph.value(id).shape
    }

    /// The element type of a value.
    pub fn dtype(&self, id: ValueId) -> DType {
        self.graph.value(id).dtype
    }

    /// The shape of an image.
    pub fn image(&self, id: ValueId) -> Result<[usize; 4]> {
        self.sizes(id, "[n, h, w, c]")
    }

    /// The shape of a matrix.
    pub fn matrix(&self, id: ValueId) -> Result<[usize; 2]> {
        self.sizes(id, "[rows, columns]")
    }

    fn sizes<const N: usize>(&self, id: ValueId, expected: &str) -> Result<[usize; N]> {
        let value = self.graph.value(id);
        <[usize; N]>::try_from(value.shape.as_slice())
            .map_err(|_| Error::shape("lower", &value.name, expected, &value.shape))
    }

    /// What the integers of a value that is quantized as a whole stand for.
    pub fn qparams(&self, id: ValueId) -> Result<QParams> {
        let value = self.graph.value(id);
        value.qparams().ok_or_else(|| {
            let problem = format!(
                "`{}` is {}, but nothing says what its integers stand for",
                value.name, value.dtype
            );
            Error::invalid("lower", problem)
        })
    }

    /// A launch whose bindings are all operands and then all results of the node.
    pub fn step(&mut self, node: &Node, kernel: impl Kernel + 'static) -> Result<()> {
        let ids: Vec<ValueId> = node.inputs.iter().chain(&node.outputs).copied().collect();
        self.step_on(node, kernel, &ids)
    }

    /// A launch on these values of the graph.
    pub fn step_on(
        &mut self,
        node: &Node,
        kernel: impl Kernel + 'static,
        ids: &[ValueId],
    ) -> Result<()> {
        let args: Vec<usize> = ids
            .iter()
            .map(|&id| self.value(id))
            .collect::<Result<_>>()?;
        self.launch(node, kernel, args)
    }

    /// A launch on these values of the plan.
    pub fn launch(
        &mut self,
        node: &Node,
        kernel: impl Kernel + 'static,
        args: Vec<usize>,
    ) -> Result<()> {
        self.launch_arc(node, Arc::new(kernel), args);
        Ok(())
    }

    /// A launch of an int8 kernel whose results go through a table, if there is one.
    pub fn launch_through(
        &mut self,
        node: &Node,
        kernel: impl Kernel + 'static,
        mut args: Vec<usize>,
        table: Option<usize>,
    ) -> Result<()> {
        let Some(table) = table else {
            return self.launch(node, kernel, args);
        };
        args.push(table);
        self.launch(node, WithTable::new(kernel), args)
    }

    /// The plan's value for the result of a node that needs no step: that of an earlier one writes it.
    pub fn made(&mut self, node: &Node) -> Result<usize> {
        let y = node.outputs[0];
        self.made.insert(y);
        self.value(y)
    }

    /// A launch of a kernel that somebody else holds too.
    pub fn launch_arc(&mut self, node: &Node, kernel: Arc<dyn Kernel>, args: Vec<usize>) {
        self.builder.step(&node.name, kernel, args);
    }

    /// An f32 value that lives within the node.
    pub fn temp(&mut self, name: String, shape: &[usize]) -> usize {
        self.builder.value(&name, DType::F32, shape, Kind::Temp)
    }

    /// A value of this type that lives within the node.
    pub fn temp_of(&mut self, name: String, dtype: DType, shape: &[usize]) -> usize {
        self.builder.value(&name, dtype, shape, Kind::Temp)
    }

    /// A tensor that lowering makes: the multipliers of a layer, the scale of a conversion.
    pub fn constant(&mut self, node: &Node, what: &str, tensor: Tensor) -> usize {
        let (name, shape) = (format!("{}:{what}", node.name), tensor.shape().to_vec());
        let dtype = tensor.dtype();
        let kind = Kind::Const(Arc::new(tensor));
        self.builder.value(&name, dtype, &shape, kind)
    }

    /// The bias of a layer, or the zeros that stand for it.
    pub fn bias(&mut self, node: &Node, bias: Option<ValueId>, channels: usize) -> Result<usize> {
        match bias {
            Some(id) => self.value(id),
            None => Ok(self.constant(node, "no bias", Tensor::zeros(&[channels], DType::F32))),
        }
    }

    /// A copy of the plan's value of a reshaped one, in the shape that the graph gives it.
    fn copied(&mut self, id: ValueId, value: usize) -> Result<usize> {
        let (name, shape, dtype) = (&self.graph.value(id).name, self.shape(id), self.dtype(id));
        let (from, step) = (vec![0; shape.len()], vec![1; shape.len()]);
        let kernel = Gather::slice(shape, [&from, &step, shape], dtype)?;
        let copy = self.builder.value(name, dtype, shape, Kind::Temp);
        self.builder.step(name, Arc::new(kernel), vec![value, copy]);
        Ok(copy)
    }

    /// Another shape over the same elements: the same value, or a copy where row padding differs.
    pub fn reshape(&mut self, node: &Node) -> Result<()> {
        let (from, to) = (node.inputs[0], node.outputs[0]);
        let dtype = self.graph.value(from).dtype;
        let (from_shape, to_shape) = (self.shape(from).clone(), self.shape(to).clone());
        let same_rows = from_shape.last() == to_shape.last()
            || [&from_shape, &to_shape]
                .iter()
                .all(|s| s.last().is_none_or(|c| c % dtype.lanes() == 0));
        if same_rows && words_for(&from_shape, dtype) == words_for(&to_shape, dtype) {
            let value = self.value(from)?;
            self.map[to.0] = Some(value);
            return Ok(());
        }
        match dtype {
            DType::I8 | DType::F16 => {
                let (from, to) = (from_shape, to_shape);
                self.step(node, Repack { from, to, dtype })
            }
            DType::F32 | DType::I32 | DType::U32 => Err(Error::invalid(
                &node.name,
                format!("cannot reshape {from_shape:?} to {to_shape:?}"),
            )),
        }
    }
}
