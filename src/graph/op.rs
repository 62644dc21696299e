//! The network as mathematics.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::infer::infer;
use crate::base::{DType, QParams, Range, Requant, Shape, Tensor};
use crate::error::{Error, Result};
use crate::kernels::{Access, Conv, Kernel, OutI8, Pool};

/// What a node computes. Images are `[n, h, w, c]`, linear weights `[out, in]`, convolution weights
/// `[out, kh, kw, in / groups]`. Inputs are listed in order, outputs after the arrow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    // Float networks: f32, or f16 storage with f32 accumulation.
    /// `x [m, k], w [n, k], bias [n] → y [m, n]`: `relu?(x · wᵀ + bias)`.
    Linear {
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x, w, bias [o] → y`.
    Conv2d {
        /// Stride, padding, dilation, groups.
        conv: Conv,
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x → max(0, x)`.
    Relu,
    /// `a, b → relu?(a + b)`, same shapes.
    Add {
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x [n, h, w, c] → y`; also for i8, whose order is that of the reals.
    MaxPool(Pool),
    /// `x [n, h, w, c] → mean over h, w [n, c]`.
    GlobalAvgPool,
    /// `x [n, …] → [n, rest]`.
    Flatten,
    /// `x [.., c], gamma, beta, mean, variance → y`.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// `x, gamma, beta, running_mean (updated), running_variance (updated) → y, mean, inv_std`.
    BatchNormTrain {
        /// Added to the variance.
        eps: f32,
        /// Weight of the new batch in the running statistics.
        momentum: f32,
    },
    /// `x → x` in another float type.
    Cast {
        /// `F32` or `F16`.
        to: DType,
    },
    /// `logits [n, c], labels u32 [n] → loss [1]`, the mean over rows.
    SoftmaxCrossEntropy,
    /// `x, mask u32 → x ⊙ mask`, one bit per element.
    ApplyMask,

    // Integers.
    /// `x f32, inv_scale [1], zero_point [1] → q i8`.
    Quantize {
        /// Integers allowed.
        range: Range,
    },
    /// `q i8 or i32, scale [c], zero_point [c] → x f32`.
    Dequantize {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
    },
    /// `x i8 [m, k], w i8 [n, k], bias i32 [n], multiplier u32 [n, 2] → y i8 [m, n]`.
    LinearI8 {
        /// How the accumulator becomes an output.
        out: OutI8,
    },
    /// `x i8 [m, k], w i8 [n, k], bias i32 [n] → accumulator i32 [m, n]`.
    LinearI32,
    /// `x i8, w i8, bias i32 [o], multiplier u32 [o, 2] → y i8`.
    Conv2dI8 {
        /// Stride, padding, dilation, groups.
        conv: Conv,
        /// What padding pads with.
        x_zero_point: i32,
        /// How the accumulator becomes an output.
        out: OutI8,
    },
    /// `a i8, b i8 → y i8`, each with its own parameters; ReLU is in the range of `y`.
    AddI8 {
        /// Parameters of `a`.
        a: QParams,
        /// Parameters of `b`.
        b: QParams,
        /// Parameters of `y`.
        y: QParams,
        /// Rounding rule.
        requant: Requant,
    },
    /// `x i8 [n, h, w, c] → y i8 [n, c]`.
    GlobalAvgPoolI8 {
        /// Zero point of `x`.
        x_zero_point: i32,
        /// `s_x / s_y`; the kernel's multiplier is this over `h · w`.
        scale: f64,
        /// How the sum becomes an output.
        out: OutI8,
    },

    // Quantization-aware training.
    /// `x, scale [c], inv_scale [c], zero_point i32 [c] → y`, quantized and dequantized.
    FakeQuant {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
        /// Multiplies the gradient of the scale (learned step size).
        grad_factor: f32,
    },
    /// `x → 1 / x`, for scales that live on the device during training.
    Reciprocal,

    // Gradients.
    /// `dy [m, n], w [n, k] → dx [m, k]`.
    LinearGradInput,
    /// `dy [m, n], x [m, k] → dw [n, k]`.
    LinearGradWeight,
    /// `dy [.., c] → column sums [c]`.
    BiasGrad,
    /// `dy, w → dx`.
    Conv2dGradInput {
        /// Stride, padding, dilation, groups of the forward convolution.
        conv: Conv,
        /// Shape of `x`.
        x: Shape,
    },
    /// `dy, x → dw`.
    Conv2dGradWeight {
        /// Stride, padding, dilation, groups of the forward convolution.
        conv: Conv,
        /// Shape of `w`.
        w: Shape,
    },
    /// `y, dy → dx`.
    ReluGrad,
    /// `x, dy → dx`.
    MaxPoolGrad {
        /// The window.
        pool: Pool,
        /// `x` is the result of a fused ReLU whose gradient is taken as well.
        relu: bool,
    },
    /// `dy [n, c] → dx`.
    GlobalAvgPoolGrad {
        /// Shape of `x`.
        x: Shape,
    },
    /// `dy → dx`, the inverse of [`Op::Flatten`].
    Reshape {
        /// Shape of the result.
        to: Shape,
    },
    /// `x, dy, gamma, mean, inv_std → dx, dgamma, dbeta`, through the batch statistics.
    BatchNormTrainGrad,
    /// `x, dy, gamma, mean, variance → dx, dgamma, dbeta`, statistics fixed.
    BatchNormGrad {
        /// Added to the variance.
        eps: f32,
    },
    /// `logits, labels → dlogits` of the mean loss.
    SoftmaxCrossEntropyGrad,
    /// `x, inv_scale, zero_point, dy → dx`, straight-through.
    FakeQuantGrad {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
    },
    /// `x, scale, inv_scale, zero_point, dy → dscale [c]`, learned step size.
    FakeQuantScaleGrad {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
        /// Multiplies the result.
        grad_factor: f32,
    },

    /// Any kernel, the application's own included: inputs are its read and updated bindings in order,
    /// outputs its written ones. Not stored in model files, has no gradient.
    #[serde(skip)]
    Kernel(Arc<dyn Kernel>),
}

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
            new_ids: vec![None; old.values.len()],
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
        for i in 0..self.old.outputs.len() {
            let output = self.get(self.old.outputs[i])?;
            self.graph.output(output);
        }
        Ok(self.graph)
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

impl Op {
    /// The variant's name, with the kernel's for [`Op::Kernel`].
    pub fn name(&self) -> String {
        if let Self::Kernel(kernel) = self {
            return kernel.name().to_owned();
        }
        let debug = format!("{self:?}");
        debug
            .split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned()
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
