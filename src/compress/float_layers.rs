//! Which layers have to stay float for the network's results to stay close: measured, not guessed.

use std::collections::BTreeMap;

use super::Job;
use super::judge::{agreement, batch_for, worst};
use super::quantize::QuantizeOptions;
use crate::base::Tensor;
use crate::data::{Data, inputs_of, sample};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::network::Network;
use crate::quant::{self, QuantParams};

/// Items on which results are compared.
const ITEMS: usize = 16;
/// Items on which the cost of each layer alone is measured.
const ALONE: usize = 4;

/// Adds to `params.floats` as few layers, those with most noise for their multiply-accumulates, as it takes for
/// every result to be `target` dB from the float network's, on a sample of the calibration items.
///
/// # Errors
/// As [`super::quantize()`]; [`Error::Invalid`] if not even a network of floats is as close.
pub(super) async fn keep_float(
    job: &Job<'_>,
    float: &Graph,
    params: &mut QuantParams,
    (data, options): (&dyn Data, &QuantizeOptions),
    target: f64,
) -> Result<()> {
    let chosen = Chosen {
        data,
        items: sample(data.len(), ITEMS, options.seed),
    };
    let fixed = params.floats.clone();
    if closeness(job, float, params, &chosen, options).await? >= target {
        return Ok(());
    }
    let batch = batch_for(float, ALONE).min(chosen.len());
    let one = float.with_batch(batch)?;
    let batches = chosen.in_order(ALONE.min(chosen.len()), batch);
    let batches: Vec<Vec<Tensor>> = inputs_of(batches).collect::<Result<_>>()?;
    let layers = float.nodes().iter().filter(|node| quant::has_weights(node));
    let mut stage = job.stage("each layer alone", layers.count());
    let costs = quant::layer_costs(
        job.device(),
        &one,
        (params, options.requant),
        &batches,
        || stage.step(1),
    )
    .await?;
    let macs = Network::new("", float.clone()).layers().into_iter();
    let macs: BTreeMap<String, u64> = macs.map(|layer| (layer.name, layer.macs)).collect();
    // The noise that floats take away, over the integers that they cost; what changes nothing last.
    let mut order: Vec<(String, f64)> = Vec::new();
    for (layer, db) in costs {
        let noise = db.map_or(0.0, |db| 10f64.powf(-db / 10.0));
        let macs = macs.get(&layer).copied().unwrap_or(0).max(1);
        order.push((layer, noise / macs as f64));
    }
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    // The fewest that suffice: more floats are closer.
    let (mut few, mut many) = (0, order.len());
    while many - few > 1 {
        let middle = few.midpoint(many);
        params.floats.clone_from(&fixed);
        params
            .floats
            .extend(order[..middle].iter().map(|(layer, _)| layer.clone()));
        match closeness(job, float, params, &chosen, options).await? >= target {
            true => many = middle,
            false => few = middle,
        }
    }
    params.floats = fixed;
    params
        .floats
        .extend(order[..many].iter().map(|(layer, _)| layer.clone()));
    let reached = closeness(job, float, params, &chosen, options).await?;
    if reached < target {
        let problem =
            format!("with every layer in float the results are at {reached:.1} dB, not {target}");
        return Err(Error::invalid("auto-float", problem));
    }
    Ok(())
}

/// How close a network with these floats is: the SQNR of its worst result.
async fn closeness(
    job: &Job<'_>,
    float: &Graph,
    params: &QuantParams,
    data: &Chosen<'_>,
    options: &QuantizeOptions,
) -> Result<f64> {
    let frozen = quant::freeze(float, params, options.requant)?;
    let results = agreement(job, float, &frozen, data).await?;
    Ok(worst(&results).unwrap_or(f64::INFINITY))
}

/// Some items of a source.
pub(super) struct Chosen<'a> {
    pub data: &'a dyn Data,
    pub items: Vec<usize>,
}

impl Data for Chosen<'_> {
    fn name(&self) -> &str {
        self.data.name()
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        let items: Vec<usize> = items.iter().map(|&i| self.items[i]).collect();
        self.data.inputs(&items)
    }

    fn targets(&self, _items: &[usize]) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    fn labels(&self) -> Option<&[u32]> {
        None
    }
}
