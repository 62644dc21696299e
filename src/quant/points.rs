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
    /// quantized if integers read it.
    pub floats: BTreeSet<String>,
    /// Everything that has an integer form is made of integers, as PyTorch and ONNX Runtime do it; otherwise
    /// what lies between layers with weights, and what comes before the first or behind the last stays float.
    pub everywhere: bool,
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

/// Which nodes of a float graph compute with integers, and which values are quantized for them.
#[derive(Debug)]
pub(super) struct Placement<'g> {
    graph: &'g Graph,
    /// Of every node.
    integer: Vec<bool>,
    everywhere: bool,
}

impl<'g> Placement<'g> {
    /// `floats` are the layers that stay float; `everywhere` as in [`QuantParams`].
    pub fn new(graph: &'g Graph, floats: &BTreeSet<String>, everywhere: bool) -> Self {
        let nodes = graph.nodes();
        let has_form = |node: &Node| {
            node.op.quantization() != QuantRule::Float && !floats.contains(&node.name)
        };
        let mut integer: Vec<bool> = nodes.iter().map(has_form).collect();
        if !everywhere {
            // What a layer with weights reads, directly or through what has an integer form.
            let mut read: BTreeSet<ValueId> = BTreeSet::new();
            for (node, form) in nodes.iter().zip(&integer).rev() {
                let between = node.outputs.iter().any(|y| read.contains(y));
                if *form && (has_weights(node) || between) {
                    read.extend(activations_of(node));
                }
            }
            let mut made: BTreeSet<ValueId> = BTreeSet::new();
            for (node, form) in nodes.iter().zip(&mut integer) {
                let behind = node.inputs.iter().any(|x| made.contains(x));
                let before = node.outputs.iter().any(|y| read.contains(y));
                *form &= has_weights(node) || (behind && before);
                if *form {
                    made.extend(&node.outputs);
                }
            }
        }
        Self {
            graph,
            integer,
            everywhere,
        }
    }

    /// As the parameters of a network say.
    pub fn of(graph: &'g Graph, params: &QuantParams) -> Self {
        Self::new(graph, &params.floats, params.everywhere)
    }

    /// True if node `i` computes with integers.
    pub fn is_integer(&self, i: usize) -> bool {
        self.integer[i]
    }

    /// Nodes that compute with integers.
    fn integers(&self) -> impl Iterator<Item = &'g Node> + '_ {
        let all = self.graph.nodes().iter().zip(&self.integer);
        all.filter(|(_, integer)| **integer).map(|(node, _)| node)
    }

    /// True if integers read the value.
    fn is_read(&self, id: ValueId) -> bool {
        self.integers()
            .any(|node| activations_of(node).any(|x| x == id))
    }

    /// Which parameters the result of node `i` has, if it makes integers that are told: pooling and reshaping
    /// pass on those of their operand; a layer that nothing but floats and the network's user read stays a
    /// full accumulator, unless the conventions ask for `outputs` to be integers too
    /// ([`Scheme::quantizes_outputs`]).
    ///
    /// [`Scheme::quantizes_outputs`]: super::Scheme::quantizes_outputs
    pub fn point(&self, i: usize, outputs: bool) -> Option<Point> {
        let node = &self.graph.nodes()[i];
        if !self.integer[i] {
            return None;
        }
        match node.op.quantization() {
            QuantRule::Own if !outputs && self.stays_accumulator(node) => None,
            QuantRule::Own | QuantRule::Average => Some(Point::Observed),
            QuantRule::Fixed(q) => Some(Point::Fixed(q)),
            QuantRule::Operand | QuantRule::Float => None,
        }
    }

    /// True for a layer whose sum is never rounded: no integers read its result, and nothing joins it.
    fn stays_accumulator(&self, node: &Node) -> bool {
        let (y, at) = (node.outputs[0], node.op.weights());
        if at.is_none_or(|at| at.residual.is_some()) {
            return false;
        }
        match self.everywhere {
            true => {
                let last = self.graph.users(y).next().is_none();
                last && self.graph.outputs().contains(&y) && node.op.rules().activation().is_none()
            }
            false => !self.is_read(y),
        }
    }

    /// Floats that become integers because integers read them, in order: inputs, constants and results of
    /// what stays float.
    pub fn quantized(&self) -> Vec<ValueId> {
        let nodes = self.graph.nodes().iter().zip(&self.integer);
        let made = nodes.filter(|(_, integer)| **integer);
        let made: BTreeSet<ValueId> = made.flat_map(|(node, _)| &node.outputs).copied().collect();
        let mut read: BTreeSet<ValueId> = BTreeSet::new();
        for node in self.integers() {
            read.extend(activations_of(node));
        }
        if self.everywhere {
            read.extend(float_inputs(self.graph));
        }
        read.into_iter().filter(|id| !made.contains(id)).collect()
    }

    /// The activations to calibrate, in order: what becomes integers, then results of layers (those of the
    /// network among them if `outputs`). Constants are none: what they hold is known.
    pub fn observed(&self, outputs: bool) -> Vec<ValueId> {
        let floats = self.quantized().into_iter();
        let floats = floats.filter(|&id| self.graph.as_param(id).is_none());
        let nodes = self.graph.nodes().iter().enumerate();
        let results = nodes.filter(|(i, _)| self.point(*i, outputs) == Some(Point::Observed));
        floats
            .chain(results.map(|(_, node)| node.outputs[0]))
            .collect()
    }
}

/// The operands of a node that are activations: neither weights nor a bias.
fn activations_of(node: &Node) -> impl Iterator<Item = ValueId> + '_ {
    let at = node.op.weights();
    let skipped = move |i: usize| at.is_some_and(|at| i == at.weight || at.bias == Some(i));
    let operands = node.inputs.iter().enumerate();
    operands
        .filter(move |(i, _)| !skipped(*i))
        .map(|(_, &id)| id)
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
