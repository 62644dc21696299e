//! Values: what nodes read and make.

use std::sync::Arc;

use crate::base::{DType, QParams, Quantization, Shape, Tensor};

/// A weight or another tensor that the graph carries. A node may update it in place (training state);
/// otherwise it is constant.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its elements.
    pub tensor: Arc<Tensor>,
    /// Which of them are there (pruning): one bit each, `u32 [⌈elements / 32⌉]`; `None` = all. The tensor may
    /// hold anything where the mask is 0; what computes with it multiplies by the mask first.
    pub mask: Option<Arc<Tensor>>,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Supplied at every run.
    Input,
    /// Carried by the graph.
    Param(Param),
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
    /// What its integers stand for; `None` for floats, and for integers that stand for themselves.
    pub quant: Option<Quantization>,
    /// Where it comes from.
    pub source: Source,
}

impl Value {
    /// The parameters of a value that is quantized as a whole; `None` if it is float or per channel.
    pub fn qparams(&self) -> Option<QParams> {
        let quant = self.quant.as_ref()?;
        quant.axis.is_none().then(|| quant.channel(0))
    }
}

/// Type of a value: what an operation says of its results.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Type {
    pub shape: Shape,
    pub dtype: DType,
    pub quant: Option<Quantization>,
}

impl Type {
    pub fn new(shape: &[usize], dtype: DType) -> Self {
        Self {
            shape: shape.to_vec(),
            dtype,
            quant: None,
        }
    }
}
