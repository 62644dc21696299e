//! How far a quantized network is from the float one, layer by layer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::{Sums, clipped_share, cosine, sqnr_db};
use super::float16::to_weight_only;
use super::freeze::freeze;
use super::points::{QuantParams, has_weights, weights_of};
use crate::base::{QParams, Quantization, Requant, Tensor};
use crate::error::{Error, Result};
use crate::graph::{
    Device, Executor, Graph, LowerOptions, Node, SessionOptions, lower, lower_with, not_finite,
    overflow,
};

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
    /// Smallest and largest real value that the integers of the result stand for; `None` if it is float.
    pub range: Option<[f64; 2]>,
    /// Share of the results at the ends of the integer range.
    pub clipped: f64,
    /// SQNR of its weights; `None` if equal.
    pub weight_sqnr_db: Option<f64>,
    /// Cosine of the angle between float weights and quantized ones.
    pub weight_cosine: f64,
    /// Smallest and largest float weight.
    pub weight_range: [f64; 2],
    /// Share of the weights beyond the integer range.
    pub weight_clipped: f64,
    /// SQNR of the network's result that suffers most if nothing but this layer (weights and what it
    /// reads) is quantized; `None` if it was not measured or changes nothing.
    #[serde(default)]
    pub alone_sqnr_db: Option<f64>,
}

/// What was compared so far, and how many of the integers lie at the ends of their range.
#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    sums: Sums,
    clipped: usize,
}

/// Runs `batches` through both networks and compares the results of every layer with weights. Holds the
/// activations of one batch.
///
/// # Errors
/// From lowering and from `batches`; [`Error::Invalid`] naming the first layer whose result is not finite; what the
/// device reports.
pub async fn layer_reports(
    device: &Device,
    float: &Graph,
    quantized: &Graph,
    params: &QuantParams,
    batches: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<Vec<LayerReport>> {
    let layers: Vec<&Node> = weighted(float).collect();
    let mut compared = vec![Compared::default(); layers.len()];
    let (mut reference, mut ours) = (
        traced(device, float).await?,
        traced(device, quantized).await?,
    );
    for inputs in batches {
        let inputs = inputs?;
        let want = values(&mut reference, &inputs).await?;
        let got = values(&mut ours, &inputs).await?;
        for (node, compared) in layers.iter().zip(&mut compared) {
            let missing = || {
                let problem = format!("the quantized network has no `{}`", node.name);
                Error::invalid("report", problem)
            };
            let name = &float.value(node.outputs[0]).name;
            let want = want.get(name).ok_or_else(missing)?;
            let got = got.get(name).ok_or_else(missing)?;
            for tensor in [want, got] {
                if let Some(bad) = not_finite(tensor) {
                    return Err(overflow(&node.name, bad, tensor.dtype()));
                }
            }
            let want = want.to_f64();
            let value = quantized.value(quantized.find(name)?);
            compare(compared, &want, got, value.quant.as_ref());
        }
    }
    let mut out = Vec::new();
    for (node, compared) in layers.into_iter().zip(compared) {
        let q = params.activations.get(&float.value(node.outputs[0]).name);
        let weight = weight_name(float, node)?;
        let own = params.weights.get(weight);
        let (want, got, clipped) = weights(float, quantized, weight, own)?;
        let finite = want.to_f64().into_iter();
        let (low, high) = finite.fold((0.0, 0.0), |(a, b), x| (x.min(a), x.max(b)));
        let weight_sqnr = sqnr_db(&want, &got)?;
        out.push(LayerReport {
            name: node.name.clone(),
            bits: weight_bits(quantized, weight),
            sqnr_db: compared.sums.sqnr_db(),
            cosine: compared.sums.cosine(),
            range: q.map(|q| [q.range.qmin, q.range.qmax].map(|end| real(q, end.into()))),
            clipped: compared.clipped as f64 / compared.sums.count().max(1) as f64,
            weight_sqnr_db: Some(weight_sqnr).filter(|x| x.is_finite()),
            weight_cosine: cosine(&want, &got)?,
            weight_range: [low, high],
            weight_clipped: clipped,
            alone_sqnr_db: None,
        });
    }
    Ok(out)
}

fn weighted(graph: &Graph) -> impl Iterator<Item = &Node> {
    graph.nodes().iter().filter(|node| has_weights(node))
}

fn real(q: &QParams, integer: f64) -> f64 {
    f64::from(q.scale) * (integer - f64::from(q.zero_point))
}

/// Adds a layer's results; `quant` is what they stand for, if they are integers.
fn compare(compared: &mut Compared, want: &[f64], got: &Tensor, quant: Option<&Quantization>) {
    let Some(quant) = quant else {
        for (&want, raw) in want.iter().zip(got.to_f64()) {
            compared.sums.add(want, raw);
        }
        return;
    };
    let ends = [quant.range.qmin, quant.range.qmax].map(f64::from);
    for (i, (&want, raw)) in want.iter().zip(got.to_f64()).enumerate() {
        // Channels are the last axis.
        let q = quant.channel(i % quant.scales.len());
        // Zero is where ReLU ends, not where the range does.
        compared.clipped += usize::from(ends.contains(&raw) && raw != f64::from(q.zero_point));
        compared.sums.add(want, real(&q, raw));
    }
}

async fn traced(device: &Device, graph: &Graph) -> Result<Executor> {
    let options = SessionOptions {
        trace: true,
        ..SessionOptions::default()
    };
    let lowered = LowerOptions {
        every_value: true,
        ..LowerOptions::default()
    };
    device
        .load_with(lower_with(graph, &device.caps(), lowered)?, options)
        .await
}

async fn values(executor: &mut Executor, inputs: &[Tensor]) -> Result<BTreeMap<String, Tensor>> {
    let trace = executor.trace(&inputs.iter().collect::<Vec<_>>()).await?;
    let named = executor.plan().values.iter().zip(trace);
    Ok(named
        .filter_map(|(value, tensor)| tensor.map(|tensor| (value.name.clone(), tensor)))
        .collect())
}

fn weight_bits(graph: &Graph, name: &str) -> u32 {
    let value = graph.find(name).map(|id| graph.value(id));
    match value {
        Ok(value) => match &value.quant {
            Some(quant) => quant.bits(),
            None => 32 / value.dtype.lanes() as u32,
        },
        Err(_) => 32,
    }
}

/// The name of a layer's weights.
fn weight_name<'g>(graph: &'g Graph, node: &Node) -> Result<&'g str> {
    let id = weights_of(node).ok_or_else(|| Error::invalid(&node.name, "it has no weights"))?;
    Ok(&graph.value(id).name)
}

/// Float weights of a layer, what they become, and the share beyond the integer range.
fn weights(
    float: &Graph,
    quantized: &Graph,
    name: &str,
    quantization: Option<&Quantization>,
) -> Result<(Tensor, Tensor, f64)> {
    let stored = |graph: &Graph| {
        let tensor = graph.find(name).ok().and_then(|id| graph.tensor(id));
        let problem = format!("the weights `{name}` are not stored");
        tensor
            .cloned()
            .ok_or_else(|| Error::invalid("report", problem))
    };
    let (want, got) = (stored(float)?.as_ref().clone(), stored(quantized)?);
    let got: Vec<f32> = match &quantized.value(quantized.find(name)?).quant {
        Some(quant) => quant.reals(&got).iter().map(|&x| x as f32).collect(),
        None => got.to_f32(),
    };
    let got = Tensor::from_f32(want.shape(), &got)?;
    let clipped = match quantization {
        Some(quant) => clipped_share(&want, quant)?,
        None => 0.0,
    };
    Ok((want, got, clipped))
}

/// What each layer alone costs: SQNR in dB of that of the network's results which suffers most, against the
/// float network's, if only this layer's weights and what it reads are quantized; `None` where that changes
/// nothing. By layer name.
///
/// # Errors
/// From lowering; what the device reports; [`Error::Invalid`] for a layer without parameters.
pub async fn layer_costs(
    device: &Device,
    float: &Graph,
    (params, requant): (&QuantParams, Requant),
    batches: &[Vec<Tensor>],
    mut done: impl FnMut() -> Result<()>,
) -> Result<BTreeMap<String, Option<f64>>> {
    let reference = results(device, float, batches).await?;
    let mut out = BTreeMap::new();
    let quantized = |node: &&Node| !params.floats.contains(&node.name);
    for node in weighted(float).filter(quantized) {
        let alone = quantize_one(float, node, params, requant)?;
        let got = results(device, &alone, batches).await?;
        let each = reference.iter().zip(&got);
        let each = each.filter_map(|(want, got)| crate::graph::sqnr_db(want, got));
        out.insert(node.name.clone(), each.min_by(f64::total_cmp));
        done()?;
    }
    Ok(out)
}

/// Every result of a network, over all batches.
async fn results(device: &Device, graph: &Graph, batches: &[Vec<Tensor>]) -> Result<Vec<Vec<f64>>> {
    let mut executor = device.load(lower(graph, &device.caps())?).await?;
    let mut out = vec![Vec::new(); graph.outputs().len()];
    for inputs in batches {
        let results = executor.run(&inputs.iter().collect::<Vec<_>>()).await?;
        for (out, tensor) in out.iter_mut().zip(results) {
            out.extend(tensor.to_f64());
        }
    }
    Ok(out)
}

/// The float graph with one layer alone quantized: its weights, and what it reads where that becomes integers.
fn quantize_one(
    float: &Graph,
    layer: &Node,
    params: &QuantParams,
    requant: Requant,
) -> Result<Graph> {
    let others = weighted(float).filter(|node| node.name != layer.name);
    let floats = others.map(|node| node.name.clone()).collect();
    let alone = QuantParams {
        floats,
        everywhere: false,
        ..params.clone()
    };
    match params.activations.is_empty() {
        true => to_weight_only(float, &alone),
        false => freeze(float, &alone, requant),
    }
}
