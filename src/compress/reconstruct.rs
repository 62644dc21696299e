//! Reconstruction on a part of the calibration items, judged on the rest.

use serde::Serialize;

use super::Job;
use super::quantize::QuantizeOptions;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::network::Network;
use crate::quant::QuantParams;

/// How close a reconstructed network is to the float one, on what it was reconstructed from and on what it never
/// saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reconstruction {
    /// Items that the weights were chosen on.
    pub items: usize,
    /// SQNR in dB of that of the network's results which is furthest, on as many of them as were kept back.
    pub sqnr_db: Option<f64>,
    /// Items that were kept back.
    pub held_back: usize,
    /// The same on those.
    pub held_back_sqnr_db: Option<f64>,
    /// Layers whose weights were only rounded: signs of one bit, and layers with too many inputs.
    pub rounded: Vec<String>,
    /// Layers with fewer samples than inputs, which repair no errors of what they read.
    pub unrepaired: Vec<String>,
}

/// The network with weights that reconstruction chose.
#[cfg(feature = "reconstruct")]
pub(super) async fn reconstructed(
    job: &Job<'_>,
    network: &Network,
    float: &Graph,
    params: &QuantParams,
    (data, options): (&dyn Data, &QuantizeOptions),
) -> Result<(Network, QuantParams, Reconstruction)> {
    use super::float_layers::Chosen;
    use super::judge::{agreement, batch_for, worst};
    use super::quantize::{REPORT_BATCH, freeze};
    use crate::data::{inputs_of, sample};
    use crate::quant;

    /// Of so many items one is kept back.
    const HELD_BACK: usize = 10;
    /// Bytes of values between two layers, of both networks, that the host keeps at most.
    const KEPT: usize = 1 << 30;

    let one = float.with_batch(1)?;
    let most = (KEPT / (2 * quant::live_bytes(&one)).max(1)).max(1);
    let count = options.items.min(data.len()).min(most);
    if count == 0 {
        let problem = "there are no inputs to reconstruct from";
        return Err(Error::invalid("reconstruct", problem));
    }
    let items = sample(data.len(), count, options.seed);
    let kept = |i: usize| i % HELD_BACK == HELD_BACK - 1;
    let part = |held: bool| -> Vec<usize> {
        let some = items.iter().enumerate().filter(|(i, _)| kept(*i) == held);
        some.map(|(_, &item)| item).collect()
    };
    let (used, held) = (part(false), part(true));
    let batch = batch_for(float, REPORT_BATCH).min(used.len());
    let batched = float.with_batch(batch)?;
    let batches = inputs_of(data.batches(used.clone(), batch));
    let layers = float.nodes().iter().filter(|node| quant::has_weights(node));
    let mut stage = job.stage("reconstruct", layers.count());
    let device = job.device();
    let made = quant::reconstruct(device, &batched, params, batches, options.seed, || {
        stage.step(1)
    });
    let made = made.await?;
    let graph = made.graph.with_batch(float.batch())?;
    let frozen = freeze(&graph, &made.params, options, network, "reconstruct")?;
    let mut found = [None, None];
    if !held.is_empty() {
        let seen = used.iter().take(held.len()).copied().collect();
        for (items, found) in [seen, held.clone()].into_iter().zip(&mut found) {
            let chosen = Chosen { data, items };
            *found = worst(&agreement(job, float, &frozen.graph, &chosen).await?);
        }
    }
    let reconstruction = Reconstruction {
        items: used.len(),
        sqnr_db: found[0],
        held_back: held.len(),
        held_back_sqnr_db: found[1],
        rounded: made.rounded,
        unrepaired: made.unrepaired,
    };
    Ok((frozen, made.params, reconstruction))
}

#[cfg(not(feature = "reconstruct"))]
pub(super) async fn reconstructed(
    _: &Job<'_>,
    _: &Network,
    _: &Graph,
    _: &QuantParams,
    _: (&dyn Data, &QuantizeOptions),
) -> Result<(Network, QuantParams, Reconstruction)> {
    let problem = "this build has not the feature `reconstruct`; build wizen with it, or round (--method round)";
    Err(Error::invalid("reconstruct", problem))
}
