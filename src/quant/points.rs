//! Where a network is quantized, and with which parameters.

use std::collections::BTreeMap;

use crate::base::{QParams, Quantization};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Op, Source, ValueId};

/// Parameters of a network's quantization, by value name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantParams {
    /// Activations: graph inputs and results of layers.
    pub activations: BTreeMap<String, QParams>,
    /// Weights, by the name of the layer that uses them.
    pub weights: BTreeMap<String, Quantization>,
    /// Mean of every channel that a layer reads, by value name. Where known, [`super::freeze`] takes the
    /// mean error of rounded weights back through the bias; empty where weights were trained rounded.
    pub means: BTreeMap<String, Vec<f32>>,
}

impl QuantParams {
    /// Parameters of an activation.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it was not calibrated.
    pub fn activation(&self, name: &str) -> Result<QParams> {
        self.activations.get(name).copied().ok_or_else(|| {
            Error::invalid(
                "quantize",
                format!("`{name}` has no range; calibrate first"),
            )
        })
    }

    /// Parameters of a layer's weights.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they were not chosen.
    pub fn weight(&self, layer: &str) -> Result<&Quantization> {
        self.weights.get(layer).ok_or_else(|| {
            Error::invalid(
                "quantize",
                format!("the weights of `{layer}` have no scale"),
            )
        })
    }
}

/// True for operations with weights that are quantized.
pub fn has_weights(op: &Op) -> bool {
    matches!(op, Op::Linear { .. } | Op::Conv2d { .. })
}

/// True if the node's result gets quantization parameters of its own. The others (pooling, reshaping)
/// pass on those of their operand; a layer whose result is the network's stays a full accumulator, unless
/// the conventions ask for `outputs` to be integers too ([`Scheme::quantizes_outputs`]).
///
/// [`Scheme::quantizes_outputs`]: super::Scheme::quantizes_outputs
pub fn is_quantized_result(graph: &Graph, node: &Node, outputs: bool) -> bool {
    let own =
        has_weights(&node.op) || matches!(node.op, Op::Add { .. } | Op::GlobalAvgPool | Op::Relu);
    let result = node.outputs.iter().any(|y| graph.outputs().contains(y));
    own && (outputs || !(has_weights(&node.op) && result))
}

/// The activations to calibrate, in order: float inputs, then results of layers (those of the network
/// among them if `outputs`).
pub fn activation_points(graph: &Graph, outputs: bool) -> Vec<ValueId> {
    let inputs = graph
        .values()
        .filter(|(_, v)| matches!(v.source, Source::Input) && v.dtype == crate::base::DType::F32);
    let results = graph
        .nodes()
        .iter()
        .filter(|node| is_quantized_result(graph, node, outputs));
    inputs
        .map(|(id, _)| id)
        .chain(results.map(|node| node.outputs[0]))
        .collect()
}
