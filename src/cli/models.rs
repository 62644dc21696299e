//! Model files that commands take, and what can be said of a model without running it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use wizen::base::Tensor;
use wizen::graph::{Graph, Op};
use wizen::io::{Loaded, Model, float_tensors};
use wizen::models::{self, Weights};
use wizen::{Error, Result, prune};

/// Loads a model that wizen wrote, or foreign weights of a known architecture.
pub fn load(path: &Path, arch: Option<&str>) -> Result<Model> {
    match Model::load(path)? {
        Loaded::Wizen(model) => Ok(*model),
        Loaded::Foreign(tensors) => {
            let (arch, weights) = float_tensors(&tensors)
                .and_then(|floats| models::import(arch, &floats))
                .map_err(|e| Error::format(path, e.to_string()))?;
            float_model(&arch, &weights)
        }
    }
}

/// An fp32 model of these weights, without history.
pub fn float_model(arch: &str, weights: &Weights) -> Result<Model> {
    let graph = models::build(arch, 1, weights)?;
    Ok(Model {
        arch: arch.into(),
        precision: "fp32".into(),
        graph,
        ..Model::default()
    })
}

/// The same network with other weights, by name.
pub fn with_weights(graph: &Graph, weights: &Weights) -> Result<Graph> {
    let mut graph = graph.clone();
    for (name, tensor) in weights {
        graph.set_tensor(graph.find(name)?, tensor.clone())?;
    }
    Ok(graph)
}

/// The weights of an fp32 model by name.
///
/// # Errors
/// [`Error::Invalid`] for a model of another precision: only float models can be trained or quantized.
pub fn float_weights(model: &Model, command: &str) -> Result<Weights> {
    if model.precision != "fp32" {
        let problem = format!(
            "it takes an fp32 model, this one is {}; start from the float model",
            model.precision
        );
        return Err(Error::invalid(command, problem));
    }
    let params = model.graph.values().filter_map(|(id, value)| {
        model
            .graph
            .tensor(id)
            .map(|tensor| (value.name.clone(), tensor.as_ref().clone()))
    });
    let weights: Weights = params.collect();
    for (name, tensor) in &weights {
        if let Some(bad) = tensor.to_f32().iter().find(|x| !x.is_finite()) {
            return Err(Error::invalid(
                command,
                format!("`{name}` contains {bad}; the model is damaged"),
            ));
        }
    }
    Ok(weights)
}

/// One layer with weights, as tables and JSON show it.
#[derive(Clone, Debug, Serialize)]
pub struct LayerInfo {
    pub name: String,
    pub op: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub bits: u32,
    pub sparsity: f64,
    pub macs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_zero_point: Option<i32>,
}

/// Layers with weights, in running order.
pub fn layers(model: &Model) -> Vec<LayerInfo> {
    let graph = &model.graph;
    let mut out = Vec::new();
    for node in graph.nodes() {
        let weighted = matches!(
            node.op,
            Op::Linear { .. }
                | Op::Conv2d { .. }
                | Op::LinearI8 { .. }
                | Op::LinearI32
                | Op::Conv2dI8 { .. }
        );
        if !weighted {
            continue;
        }
        // Weights-only models dequantize first.
        let stored = match graph.producer(node.inputs[1]) {
            Some(producer) => producer.inputs[0],
            None => node.inputs[1],
        };
        let value = graph.value(stored);
        let sparsity = graph
            .tensor(stored)
            .map_or(0.0, |tensor| prune::tensor_sparsity(tensor));
        let name = node.name.trim_end_matches(":accumulator").to_owned();
        let q = model.activations.get(&name);
        let full = if value.dtype == wizen::base::DType::I8 {
            8
        } else {
            32 / value.dtype.lanes() as u32
        };
        out.push(LayerInfo {
            op: node.op.name(),
            shape: value.shape.clone(),
            dtype: value.dtype.to_string(),
            bits: model.bits.get(&value.name).copied().unwrap_or(full),
            sparsity,
            macs: macs(graph, node),
            output_scale: q.map(|q| q.scale),
            output_zero_point: q.map(|q| q.zero_point),
            name,
        });
    }
    out
}

/// Share of zeros over all weights (biases not counted).
pub fn sparsity(model: &Model) -> f64 {
    let layers = layers(model);
    let elements = |layer: &LayerInfo| layer.shape.iter().product::<usize>() as f64;
    let zeros: f64 = layers
        .iter()
        .map(|layer| layer.sparsity * elements(layer))
        .sum();
    zeros / layers.iter().map(elements).sum::<f64>().max(1.0)
}

/// Multiply-accumulates of one image.
fn macs(graph: &Graph, node: &wizen::graph::Node) -> u64 {
    let y: usize = graph.value(node.outputs[0]).shape.iter().skip(1).product();
    let w = &graph.value(node.inputs[1]).shape;
    (y * w[1..].iter().product::<usize>()) as u64
}

/// Multiply-accumulates of one image through all layers.
pub fn total_macs(model: &Model) -> u64 {
    layers(model).iter().map(|layer| layer.macs).sum()
}

/// Masks multiplied into the weights: what inference and quantization start from.
pub fn baked(mut weights: Weights, masks: &BTreeMap<String, Tensor>) -> Result<Weights> {
    for (name, mask) in masks {
        if let Some(tensor) = weights.get_mut(name) {
            *tensor = prune::apply_mask(tensor, mask)?;
        }
    }
    Ok(weights)
}

/// What runs: the model's network with batch norm folded and ReLU fused.
pub fn runnable(model: &Model) -> Result<Graph> {
    wizen::graph::optimize(&model.graph)
}
