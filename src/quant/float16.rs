//! Float conversions of a whole network: f16 storage, and integer weights with float arithmetic.

use super::points::{QuantParams, has_weights};
use super::weights::quantize_weights;
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Rewriter, Source, ValueId};

/// Stores weights and activations as f16 (biases stay f32, sums accumulate in f32); inputs and results
/// of the network stay f32.
///
/// # Errors
/// [`Error::Invalid`] for a weight that overflows f16 (above 65504), or an operation without f16 form.
pub fn to_f16(graph: &Graph) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for (id, value) in graph.values() {
        if matches!(value.source, Source::Input) && value.dtype == DType::F32 {
            let x = rewriter.get(id)?;
            let name = format!("{}:f16", value.name);
            let y = rewriter
                .graph
                .push(&name, Op::Cast { to: DType::F16 }, &[x])?;
            rewriter.map(id, y);
        }
    }
    for node in graph.nodes() {
        if has_weights(&node.op) {
            let id = node.inputs[1];
            let value = graph.value(id);
            let tensor = graph.tensor(id).ok_or_else(|| {
                Error::invalid(
                    &node.name,
                    format!("`{}` is computed; bake masks first", value.name),
                )
            })?;
            let data = tensor.to_f32();
            if let Some(large) = data.iter().find(|x| x.is_nan() || x.abs() >= 65_520.0) {
                return Err(Error::invalid(
                    &value.name,
                    format!("the weight {large} has no f16 form"),
                ));
            }
            let half = Tensor::from_f32_as_f16(&value.shape, &data)?;
            let w = rewriter.graph.param(&value.name, half);
            rewriter.map(id, w);
        }
        rewriter.copy(node)?;
    }
    for &output in graph.outputs() {
        let x = rewriter.get(output)?;
        let name = format!("{}:f32", graph.value(output).name);
        let y = rewriter
            .graph
            .push(&name, Op::Cast { to: DType::F32 }, &[x])?;
        rewriter.map(output, y);
    }
    rewriter.finish()
}

/// Stores weights as integers that are dequantized when the network runs; activations stay f32.
///
/// # Errors
/// [`Error::Invalid`] for a layer without parameters.
pub fn to_weight_only(graph: &Graph, params: &QuantParams) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        if has_weights(&node.op) {
            let id = node.inputs[1];
            let name = graph.value(id).name.clone();
            let tensor = graph.tensor(id).ok_or_else(|| {
                Error::invalid(
                    &node.name,
                    format!("`{name}` is computed; bake masks first"),
                )
            })?;
            let w = dequantized_weight(
                &mut rewriter.graph,
                &name,
                tensor,
                params.weight(&node.name)?,
            )?;
            rewriter.map(id, w);
        }
        rewriter.copy(node)?;
    }
    rewriter.finish()
}

fn dequantized_weight(
    graph: &mut Graph,
    name: &str,
    tensor: &Tensor,
    q: &crate::base::Quantization,
) -> Result<ValueId> {
    let channels = q.scales.len();
    let w = graph.param(name, quantize_weights(tensor, q)?);
    let scale = graph.param(
        &format!("{name}:scale"),
        Tensor::from_f32(&[channels], &q.scales)?,
    );
    let zero_point = graph.param(
        &format!("{name}:zero_point"),
        Tensor::from_i32(&[channels], &q.zero_points)?,
    );
    graph.push(
        &format!("{name}:dequantized"),
        Op::Dequantize { axis: q.axis },
        &[w, scale, zero_point],
    )
}
