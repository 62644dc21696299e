//! Where a network is quantized, and with which parameters.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{DType, QParams, Quantization};
use crate::error::{Error, Result};
use crate::graph::ops::QuantRule;
use crate::graph::{Graph, Node, Source, ValueId};

/// Parameters of a network's quantization, by value name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantParams {
    /// Activations: graph inputs, results of layers, constants that are added or multiplied.
    pub activations: BTreeMap<String, QParams>,
    /// Weights of layers.
    pub weights: BTreeMap<String, Quantization>,
    /// Mean of every channel that a layer reads. Where known, [`super::freeze`] takes the mean error of
    /// rounded weights back through the bias; empty where weights were trained rounded.
    pub means: BTreeMap<String, Vec<f32>>,
    /// Layers that stay float, by their names: what they read is turned into reals, what they make is
    /// quantized like any other result.
    pub floats: BTreeSet<String>,
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

    /// Parameters of weights.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they were not chosen.
    pub fn weight(&self, name: &str) -> Result<&Quantization> {
        self.weights.get(name).ok_or_else(|| {
            Error::invalid("quantize", format!("the weights `{name}` have no scale"))
        })
    }

    /// What the integers of a value of `graph` will stand for: its own parameters, those of what it was
    /// moved or selected from, or those that its operation always has.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nothing says it.
    pub fn of(&self, graph: &Graph, id: ValueId) -> Result<QParams> {
        let name = &graph.value(id).name;
        if let Some(&own) = self.activations.get(name) {
            return Ok(own);
        }
        match graph.producer(id) {
            Some(node) => match node.op.quantization() {
                QuantRule::Operand => self.of(graph, node.inputs[0]),
                QuantRule::Fixed(q) => Ok(q),
                QuantRule::Own | QuantRule::Average | QuantRule::Float => self.activation(name),
            },
            None => self.activation(name),
        }
    }
}

/// The weights of a node, if it is a layer that has any.
pub fn weights_of(node: &Node) -> Option<ValueId> {
    let at = node.op.weights()?;
    node.inputs.get(at.weight).copied()
}

/// True for nodes with weights that are quantized.
pub fn has_weights(node: &Node) -> bool {
    weights_of(node).is_some()
}

/// The parameters of a node's result, if it gets any of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Point {
    /// Found by calibration.
    Observed,
    /// Known beforehand.
    Fixed(QParams),
}

/// Which parameters a node's result has. Pooling and reshaping pass on those of their operand; a layer
/// whose result is the network's and nobody else's stays a full accumulator, unless the conventions ask
/// for `outputs` to be integers too ([`Scheme::quantizes_outputs`]).
///
/// [`Scheme::quantizes_outputs`]: super::Scheme::quantizes_outputs
pub(super) fn point_of(graph: &Graph, node: &Node, outputs: bool) -> Option<Point> {
    match node.op.quantization() {
        QuantRule::Own if !outputs && stays_accumulator(graph, node) => None,
        QuantRule::Own | QuantRule::Average => Some(Point::Observed),
        QuantRule::Fixed(q) => Some(Point::Fixed(q)),
        QuantRule::Operand | QuantRule::Float => None,
    }
}

/// True for a layer whose result is one of the network, used by nobody else and with nothing behind the
/// sum.
pub(super) fn stays_accumulator(graph: &Graph, node: &Node) -> bool {
    let y = node.outputs[0];
    let result = graph.outputs().contains(&y) && graph.users(y).next().is_none();
    result && has_weights(node) && node.op.ends_in_sum()
}

/// Constants that operations on activations take: what is added to an image, or multiplies it.
pub(super) fn constants(graph: &Graph) -> Vec<ValueId> {
    let mut found = Vec::new();
    for node in graph.nodes() {
        if node.op.quantization() == QuantRule::Float || has_weights(node) {
            continue;
        }
        for &id in &node.inputs {
            let float = graph.value(id).dtype == DType::F32;
            if float && graph.as_param(id).is_some() && !found.contains(&id) {
                found.push(id);
            }
        }
    }
    found
}

/// Float values that are supplied at every run.
pub(super) fn float_inputs(graph: &Graph) -> impl Iterator<Item = ValueId> + '_ {
    let input =
        |v: &crate::graph::Value| matches!(v.source, Source::Input) && v.dtype == DType::F32;
    graph
        .values()
        .filter(move |(_, v)| input(v))
        .map(|(id, _)| id)
}

/// The activations to calibrate, in order: float inputs, then results of layers (those of the network
/// among them if `outputs`).
pub fn activation_points(graph: &Graph, outputs: bool) -> Vec<ValueId> {
    let results = graph
        .nodes()
        .iter()
        .filter(|node| matches!(point_of(graph, node, outputs), Some(Point::Observed)));
    float_inputs(graph)
        .chain(results.map(|node| node.outputs[0]))
        .collect()
}
