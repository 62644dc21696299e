//! From mathematics to kernels: the only place that maps ops to kernels and asks what the device can do.

use std::sync::Arc;

use super::network::{Graph, Node, Source, ValueId};
use super::plan::{Kind, Plan, PlanBuilder};
use crate::base::{DType, words_for};
use crate::error::{Error, Result};
use crate::gpu::Caps;
use crate::kernels::{Kernel, repack_f16::RepackF16, repack_i8::RepackI8};

/// Choices that are not the device's to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LowerOptions {
    /// Multiply in native `f16` where the device has it, instead of unpacking to f32.
    pub native_f16: bool,
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
        builder: PlanBuilder::default(),
        map: vec![None; graph.values().count()],
        updated: graph.nodes().iter().flat_map(Node::updates).collect(),
    };
    for id in graph.inputs() {
        lowering.value(id)?;
    }
    for node in graph.nodes() {
        lowering.node(node)?;
    }
    for &output in graph.outputs() {
        let value = lowering.value(output)?;
        lowering.builder.reshape(value, &graph.value(output).shape);
        lowering.builder.output(value);
    }
    lowering.builder.finish()
}

pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    pub(super) caps: &'a Caps,
    pub(super) native_f16: bool,
    pub(super) builder: PlanBuilder,
    pub(super) map: Vec<Option<usize>>,
    pub(super) updated: Vec<ValueId>,
}

impl Lowering<'_> {
    /// The plan's value for a value of the graph.
    pub(super) fn value(&mut self, id: ValueId) -> Result<usize> {
        if let Some(value) = self.map[id.0] {
            return Ok(value);
        }
        let value = self.graph.value(id);
        let kind = match &value.source {
            Source::Input => Kind::Input,
            Source::Param(tensor) if self.updated.contains(&id) => Kind::State(Arc::clone(tensor)),
            Source::Param(tensor) => Kind::Const(Arc::clone(tensor)),
            Source::Node => Kind::Temp,
        };
        let new = self
            .builder
            .value(&value.name, value.dtype, &value.shape, kind);
        self.map[id.0] = Some(new);
        Ok(new)
    }

    pub(super) fn shape(&self, id: ValueId) -> &[usize] {
        &self.graph.value(id).shape
    }

    pub(super) fn image(&self, id: ValueId) -> Result<[usize; 4]> {
        let value = self.graph.value(id);
        <[usize; 4]>::try_from(value.shape.as_slice())
            .map_err(|_| Error::shape("lower", &value.name, "[n, h, w, c]", &value.shape))
    }

    /// A launch whose bindings are all inputs and then all outputs of the node.
    pub(super) fn step(&mut self, node: &Node, kernel: impl Kernel + 'static) -> Result<()> {
        let ids: Vec<ValueId> = node.inputs.iter().chain(&node.outputs).copied().collect();
        self.step_on(node, kernel, &ids)
    }

    pub(super) fn step_on(
        &mut self,
        node: &Node,
        kernel: impl Kernel + 'static,
        ids: &[ValueId],
    ) -> Result<()> {
        let args: Vec<usize> = ids
            .iter()
            .map(|&id| self.value(id))
            .collect::<Result<_>>()?;
        self.builder.step(&node.name, Arc::new(kernel), args);
        Ok(())
    }

    pub(super) fn temp(&mut self, name: String, shape: &[usize]) -> usize {
        self.builder.value(&name, DType::F32, shape, Kind::Temp)
    }

    /// Another shape over the same elements: the same value, or a copy where row padding differs.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<()> {
        let (from, to) = (node.inputs[0], node.outputs[0]);
        let dtype = self.graph.value(from).dtype;
        let (from_shape, to_shape) = (self.shape(from).to_vec(), self.shape(to).to_vec());
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
            DType::I8 => self.step(
                node,
                RepackI8 {
                    from: from_shape,
                    to: to_shape,
                },
            ),
            DType::F16 => self.step(
                node,
                RepackF16 {
                    from: from_shape,
                    to: to_shape,
                },
            ),
            DType::F32 | DType::I32 | DType::U32 => Err(Error::invalid(
                &node.name,
                format!("cannot reshape {from_shape:?} to {to_shape:?}"),
            )),
        }
    }
}
