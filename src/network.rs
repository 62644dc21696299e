//! What files hold, what commands take and give: a graph and everything that belongs to it.

use serde::{Deserialize, Serialize};

use crate::base::{DType, Preprocess, Quantization, Rng, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Rewriter, Source, ValueId, bake_masks, optimize};

/// One thing that was done to a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The command (`train`, `prune`, `quantize`, `qat`).
    pub did: String,
    /// With what settings, and what came out.
    pub with: String,
}

/// A training run in the middle: everything that its next step depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: usize,
    /// How many of them no mean loss has counted yet.
    pub unread: u32,
    /// Parameters, running statistics, masks, the optimizer's moments and the sum of losses, by name.
    pub tensors: Vec<(String, Tensor)>,
}

/// A network with its weights, its labels and its history.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Architecture it was built from (`lenet5`).
    pub arch: String,
    /// The network, for batches of one image.
    pub graph: Graph,
    /// What is done to a picture before the network sees it; `None` if that is not known, or it takes none.
    pub preprocess: Option<Preprocess>,
    /// Names of the classes, if they are known.
    pub labels: Vec<String>,
    /// What was done to it, oldest first.
    pub history: Vec<Event>,
}

/// One layer with weights, as tables show it.
#[derive(Clone, Debug, Serialize)]
pub struct LayerInfo {
    /// The layer.
    pub name: String,
    /// The operation.
    pub op: String,
    /// Shape of the weights, output channels first.
    pub shape: Vec<usize>,
    /// Their element type as stored.
    pub dtype: String,
    /// Bits of a weight.
    pub bits: u32,
    /// Share of the weights that are zero.
    pub sparsity: f64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Real size of one step of the result, if it is int8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_scale: Option<f32>,
    /// The integer of the result that stands for 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_zero_point: Option<i32>,
}

impl Network {
    /// A network without history.
    pub fn new(arch: impl Into<String>, graph: Graph) -> Self {
        Self {
            arch: arch.into(),
            graph,
            ..Self::default()
        }
    }

    /// The same with one more event in its history.
    #[must_use]
    pub fn after(mut self, did: &str, with: impl Into<String>) -> Self {
        self.history.push(Event {
            did: did.into(),
            with: with.into(),
        });
        self
    }

    /// `[height, width, channels]` of its input, if it takes one image.
    pub fn image_shape(&self) -> Option<[usize; 3]> {
        match self.graph.inputs().as_slice() {
            &[id] => match *self.graph.value(id).shape.as_slice() {
                [_, height, width, channels] => Some([height, width, channels]),
                _ => None,
            },
            _ => None,
        }
    }

    /// What runs: batch norms folded, masks multiplied in, activations and residual additions fused.
    ///
    /// # Errors
    /// As [`optimize`].
    pub fn runnable(&self) -> Result<Graph> {
        optimize(&bake_masks(&self.graph)?)
    }

    /// `fp32`, `fp16`, `int8`, `w4a8` (bits of most weights and activations), `w4` (weights alone).
    pub fn precision(&self) -> String {
        let stored = |node: &Node| stored_weights(&self.graph, node);
        let weights: Vec<ValueId> = self.graph.nodes().iter().filter_map(stored).collect();
        let types: Vec<DType> = weights
            .iter()
            .map(|&id| self.graph.value(id).dtype)
            .collect();
        if types.contains(&DType::F16) {
            return "fp16".into();
        }
        if !types.contains(&DType::I8) {
            return "fp32".into();
        }
        let bits = |id: &ValueId| self.graph.value(*id).quant.as_ref().map(meant_bits);
        let weight_bits = most(weights.iter().filter_map(bits)).unwrap_or(8);
        let made = self.graph.nodes().iter().flat_map(|node| &node.outputs);
        let made = made.filter(|&&id| self.graph.value(id).dtype == DType::I8);
        match most(made.filter_map(bits)) {
            Some(8) if weight_bits == 8 => "int8".into(),
            Some(bits) => format!("w{weight_bits}a{bits}"),
            None => format!("w{weight_bits}"),
        }
    }

    /// Layers with weights, in running order.
    pub fn layers(&self) -> Vec<LayerInfo> {
        let graph = &self.graph;
        let mut out = Vec::new();
        for node in graph.nodes() {
            let Some(stored) = stored_weights(graph, node) else {
                continue;
            };
            let value = graph.value(stored);
            let result = graph.value(node.outputs[0]);
            let q = result.qparams().filter(|_| result.dtype == DType::I8);
            let full = 32 / value.dtype.lanes() as u32;
            let y: usize = result.shape.iter().skip(1).product();
            out.push(LayerInfo {
                name: node.name.clone(),
                op: node.op.name(),
                shape: value.shape.clone(),
                dtype: value.dtype.to_string(),
                bits: value.quant.as_ref().map_or(full, meant_bits),
                sparsity: graph.tensor(stored).map_or(0.0, |tensor| zeros(tensor)),
                macs: (y * value.shape[1..].iter().product::<usize>()) as u64,
                output_scale: q.map(|q| q.scale),
                output_zero_point: q.map(|q| q.zero_point),
            });
        }
        out
    }

    /// Share of zeros over the weights of all layers (biases not counted).
    pub fn sparsity(&self) -> f64 {
        let layers = self.layers();
        let elements = |layer: &LayerInfo| layer.shape.iter().product::<usize>() as f64;
        let zeros: f64 = layers.iter().map(|l| l.sparsity * elements(l)).sum();
        zeros / layers.iter().map(elements).sum::<f64>().max(1.0)
    }

    /// Multiply-accumulates of one image through all layers.
    pub fn macs(&self) -> u64 {
        self.layers().iter().map(|layer| layer.macs).sum()
    }

    /// The float network, its masks multiplied into the weights: what training and quantization start from.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming `command` for a network of another precision, or weights that are not
    /// finite.
    pub fn float_graph(&self, command: &str) -> Result<Graph> {
        let precision = self.precision();
        if precision != "fp32" {
            let problem = format!(
                "it takes an fp32 model, this one is {precision}; start from the float model"
            );
            return Err(Error::invalid(command, problem));
        }
        for (id, value) in self.graph.values() {
            let data = self.graph.tensor(id).filter(|_| value.dtype == DType::F32);
            let data = data.map(|tensor| tensor.to_f32()).unwrap_or_default();
            if let Some(bad) = data.iter().find(|x| !x.is_finite()) {
                let problem = format!("`{}` contains {bad}; the model is damaged", value.name);
                return Err(Error::invalid(command, problem));
            }
        }
        bake_masks(&self.graph)
    }

    /// The same network with a new last layer for the classes called `labels`: random weights, uniform in
    /// `±1/√fan_in` (PyTorch's default), the rest as it was. Fine-tune it with [`crate::compress::train`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network that is not float, whose first result is not made by a layer with
    /// weights that nothing else uses, or for fewer than two labels.
    pub fn with_new_head(&self, labels: &[String], seed: u64) -> Result<Self> {
        let wrong = |problem: &str| Err(Error::invalid("new head", problem));
        if labels.len() < 2 {
            return wrong("it needs two classes or more");
        }
        let graph = self.float_graph("new head")?;
        let result = graph.outputs().first().copied();
        let last = result.and_then(|id| graph.producer(id));
        let at = last.and_then(|node| node.op.weights());
        let (Some(last), Some(at)) = (last, at) else {
            return wrong("the first result of the model is not made by a layer with weights");
        };
        let mut rng = Rng::new(seed);
        let mut rewriter = Rewriter::new(&graph);
        let bias = at.bias.and_then(|i| last.inputs.get(i)).copied();
        let weight = last.inputs[at.weight];
        let fan_in: usize = graph.value(weight).shape[1..].iter().product();
        for id in [Some(weight), bias].into_iter().flatten() {
            let mut shape = graph.value(id).shape.clone();
            shape[0] = labels.len();
            let bound = 1.0 / (fan_in as f32).sqrt();
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|_| rng.range(-bound, bound))
                .collect();
            rewriter.replace_param(id, Tensor::from_f32(&shape, &values)?, None, None);
        }
        for (id, value) in graph.values() {
            if matches!(value.source, Source::Input) {
                rewriter.get(id)?;
            }
        }
        for node in graph.nodes() {
            rewriter.copy(node)?;
        }
        let renewed = Self {
            graph: rewriter.finish()?,
            labels: labels.to_vec(),
            ..self.clone()
        };
        let with = format!("{} for {} classes, seed {seed}", last.name, labels.len());
        Ok(renewed.after("new head", with))
    }
}

/// The weights of a layer as the graph stores them: networks with integer weights alone dequantize first.
fn stored_weights(graph: &Graph, node: &Node) -> Option<ValueId> {
    let at = node.op.weights()?;
    let id = node.inputs[at.weight];
    match graph.producer(id) {
        Some(producer) => producer.inputs.first().copied(),
        None => Some(id),
    }
}

/// Bits that the integers were chosen from: signs have one, though −1 and 1 take two to store.
fn meant_bits(quant: &Quantization) -> u32 {
    if quant.binary { 1 } else { quant.bits() }
}

fn most(bits: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts = std::collections::BTreeMap::new();
    for bits in bits {
        *counts.entry(bits).or_insert(0usize) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|&(_, count)| count)
        .map(|(bits, _)| bits)
}

fn zeros(tensor: &Tensor) -> f64 {
    let data = tensor.to_f64();
    data.iter().filter(|x| **x == 0.0).count() as f64 / data.len().max(1) as f64
}
