//! How far a quantized network is from the float one, layer by layer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::cosine;
use crate::base::{DType, QParams, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Device, Graph, SessionOptions, lower, sqnr_db};

/// Errors of one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// The layer.
    pub name: String,
    /// Bits of its weights.
    pub bits: u32,
    /// SQNR of its result against the float network's, with all layers before it quantized too; `None`
    /// if equal.
    pub sqnr_db: Option<f64>,
    /// Cosine of the angle between the two results.
    pub cosine: f64,
    /// SQNR of its weights; `None` if equal.
    pub weight_sqnr_db: Option<f64>,
    /// Share of the results at the ends of the integer range.
    pub clipped: f64,
}

/// Runs `images` through both networks and compares the results of every layer with weights.
///
/// # Errors
/// From lowering; what the device reports.
pub async fn layer_reports(
    device: &Device,
    float: &Graph,
    quantized: &Graph,
    activations: &BTreeMap<String, QParams>,
    bits: &BTreeMap<String, u32>,
    images: &Tensor,
) -> Result<Vec<LayerReport>> {
    let reference = values(device, float, images).await?;
    let ours = values(device, quantized, images).await?;
    let mut out = Vec::new();
    for node in float
        .nodes()
        .iter()
        .filter(|node| super::points::has_weights(&node.op))
    {
        let missing = || {
            Error::invalid(
                "report",
                format!("the quantized network has no `{}`", node.name),
            )
        };
        let want = reference.get(&node.name).ok_or_else(missing)?.to_f64();
        let got = ours.get(&node.name).ok_or_else(missing)?;
        let q = activations
            .get(&node.name)
            .filter(|_| got.dtype() == DType::I8);
        let raw = got.to_f64();
        let clipped = q.map_or(0, |q| {
            let ends = [f64::from(q.range.qmin), f64::from(q.range.qmax)];
            // Zero is where ReLU ends, not where the range does.
            raw.iter()
                .filter(|&&x| ends.contains(&x) && x != f64::from(q.zero_point))
                .count()
        });
        let real = |x: f64| q.map_or(x, |q| f64::from(q.scale) * (x - f64::from(q.zero_point)));
        let got: Vec<f64> = raw.iter().map(|&x| real(x)).collect();
        let as_tensor = |values: &[f64]| -> Result<Tensor> {
            let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            Tensor::from_f32(&[values.len()], &values)
        };
        let name = &float.value(node.inputs[1]).name;
        out.push(LayerReport {
            name: node.name.clone(),
            bits: weight_bits(quantized, name, bits),
            sqnr_db: sqnr_db(&want, &got),
            cosine: cosine(&as_tensor(&want)?, &as_tensor(&got)?)?,
            weight_sqnr_db: weight_error(float, quantized, name),
            clipped: clipped as f64 / raw.len().max(1) as f64,
        });
    }
    Ok(out)
}

async fn values(
    device: &Device,
    graph: &Graph,
    images: &Tensor,
) -> Result<BTreeMap<String, Tensor>> {
    let options = SessionOptions {
        trace: true,
        ..SessionOptions::default()
    };
    let mut executor = device
        .load_with(lower(graph, &device.caps())?, options)
        .await?;
    let trace = executor.trace(&[images]).await?;
    let named = executor.plan().values.iter().zip(trace);
    Ok(named
        .filter_map(|(value, tensor)| tensor.map(|tensor| (value.name.clone(), tensor)))
        .collect())
}

fn weight_bits(graph: &Graph, name: &str, bits: &BTreeMap<String, u32>) -> u32 {
    if let Some(&bits) = bits.get(name) {
        return bits;
    }
    let dtype = graph
        .find(name)
        .map_or(DType::F32, |id| graph.value(id).dtype);
    32 / dtype.lanes() as u32
}

/// SQNR of the stored weights, each channel scaled to fit best: the scale itself is not in the graph of
/// an integer network, only its product with others.
fn weight_error(float: &Graph, quantized: &Graph, name: &str) -> Option<f64> {
    let tensor = |graph: &Graph| {
        graph
            .find(name)
            .ok()
            .and_then(|id| graph.tensor(id).cloned())
    };
    let (want, got) = (tensor(float)?, tensor(quantized)?);
    let channels = want.shape().first().copied().unwrap_or(1).max(1);
    let (want, mut got) = (want.to_f64(), got.to_f64());
    let len = want.len() / channels;
    for (want, got) in want.chunks(len).zip(got.chunks_mut(len)) {
        let dot: f64 = want.iter().zip(got.iter()).map(|(a, b)| a * b).sum();
        let norm: f64 = got.iter().map(|b| b * b).sum();
        if norm > 0.0 {
            got.iter_mut().for_each(|b| *b *= dot / norm);
        }
    }
    sqnr_db(&want, &got)
}
