//! Float conversions of a whole network: f16 storage, and integer weights with float arithmetic.

use std::collections::BTreeSet;

use super::points::{QuantParams, constants, float_inputs, weights_of};
use super::weights::quantize_weights;
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{Cast, Dequantize};
use crate::graph::{Graph, Node, Rewriter, ValueId};

/// Stores weights and activations as f16 (biases stay f32, sums accumulate in f32); inputs and results
/// of the network, and the layers `floats`, stay f32.
///
/// # Errors
/// [`Error::Invalid`] for a weight that overflows f16 (above 65504), or an operation without f16 form.
pub fn to_f16(graph: &Graph, floats: &BTreeSet<String>) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for id in float_inputs(graph) {
        let x = rewriter.get(id)?;
        let name = format!("{}:f16", graph.value(id).name);
        let y = rewriter.graph.push(&name, Cast { to: DType::F16 }, &[x])?;
        rewriter.map(id, y);
    }
    for id in constants(graph) {
        halve(&mut rewriter, id)?;
    }
    for node in graph.nodes() {
        match weights_of(node).filter(|_| !floats.contains(&node.name)) {
            Some(weights) => {
                halve(&mut rewriter, weights)?;
                in_type(&mut rewriter, node, DType::F16)?;
            }
            None if floats.contains(&node.name) || reads_wide(&mut rewriter, node)? => {
                in_type(&mut rewriter, node, DType::F32)?;
            }
            None => rewriter.copy(node)?,
        }
    }
    for &output in graph.outputs() {
        let x = rewriter.get(output)?;
        if rewriter.graph.value(x).dtype == DType::F16 {
            let name = format!("{}:f32", graph.value(output).name);
            let y = rewriter.graph.push(&name, Cast { to: DType::F32 }, &[x])?;
            rewriter.map(output, y);
        }
    }
    rewriter.finish()
}

/// True for an operation that reads what a layer in f32 made: until the next layer in f16 nothing is narrowed, so
/// that values which f16 cannot hold get through.
fn reads_wide(rewriter: &mut Rewriter<'_>, node: &Node) -> Result<bool> {
    for &id in &node.inputs {
        let stored = rewriter.old().as_param(id).is_some();
        let x = rewriter.get(id)?;
        if !stored && rewriter.graph.value(x).dtype == DType::F32 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies a node, its computed operands (and the f16 constants of one in f32) in this type.
fn in_type(rewriter: &mut Rewriter<'_>, node: &Node, to: DType) -> Result<()> {
    let mut inputs = Vec::new();
    for &id in &node.inputs {
        let stored = rewriter.old().as_param(id).is_some();
        let x = rewriter.get(id)?;
        let value = rewriter.graph.value(x);
        // Weights and biases are in the type that their layer wants.
        let other = match value.dtype {
            DType::F16 => to == DType::F32,
            DType::F32 => to == DType::F16 && !stored,
            _ => false,
        };
        inputs.push(match other {
            true => {
                let name = format!("{}:{to} at {}", value.name, node.name);
                rewriter.graph.push(&name, Cast { to }, &[x])?
            }
            false => x,
        });
    }
    rewriter.replace(node, node.op.clone(), &inputs)
}

/// Puts the f16 form of a parameter in its place.
fn halve(rewriter: &mut Rewriter<'_>, id: ValueId) -> Result<()> {
    let value = rewriter.old().value(id);
    let data = stored(rewriter.old(), id)?.to_f32();
    if let Some(large) = data.iter().find(|x| x.is_nan() || x.abs() >= 65_520.0) {
        let problem = format!(
            "the weight {large} has no f16 form (at most 65504); keep its layer in float (--layer NAME=float), or \
             quantize to int8"
        );
        return Err(Error::invalid(&value.name, problem));
    }
    let half = Tensor::from_f32_as_f16(&value.shape, &data)?;
    let new = rewriter.param_like(id, half);
    rewriter.map(id, new);
    Ok(())
}

fn stored(graph: &Graph, id: ValueId) -> Result<&Tensor> {
    graph.tensor(id).map(AsRef::as_ref).ok_or_else(|| {
        let name = &graph.value(id).name;
        Error::invalid(name, "it is computed, not stored; bake masks first")
    })
}

/// Stores weights as integers that are dequantized when the network runs; activations stay f32.
///
/// # Errors
/// [`Error::Invalid`] for a layer without parameters.
pub fn to_weight_only(graph: &Graph, params: &QuantParams) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        let float = params.floats.contains(&node.name);
        if let Some(id) = weights_of(node).filter(|_| !float) {
            let name = &graph.value(id).name;
            let q = params.weight(name)?;
            let integers = quantize_weights(stored(graph, id)?, q)?;
            let w = rewriter.graph.param_quantized(name, integers, q.clone());
            let name = format!("dequantize {name}");
            let w = rewriter.graph.push(&name, Dequantize, &[w])?;
            rewriter.map(id, w);
        }
        rewriter.copy(node)?;
    }
    rewriter.finish()
}
