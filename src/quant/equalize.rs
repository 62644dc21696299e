//! Channels of like range before ranges are calibrated.

use std::collections::BTreeMap;

use super::calibrate::watched;
use crate::base::Tensor;
use crate::error::{Error, Result};
use crate::graph::ops::Custom;
use crate::graph::{Device, Graph, lower, scalable};
use crate::kernels::observe::{MinMaxState, ObserveMinMax};

/// The largest absolute value of every channel of every activation whose channels can be scaled, over
/// `batches`; reads them back once, at the end.
///
/// # Errors
/// From reading the batches; what the device reports; [`Error::Invalid`] if an activation has NaN or infinite
/// values.
pub async fn channel_peaks(
    device: &Device,
    graph: &Graph,
    batches: impl Iterator<Item = Result<Vec<Tensor>>>,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let values = scalable(graph);
    if values.is_empty() {
        return Ok(BTreeMap::new());
    }
    let state = |name: &str| format!("{name}:peaks");
    let observed = watched(graph, |rewriter, id| {
        if !values.contains(&id) {
            return Ok(());
        }
        let (x, value) = (rewriter.get(id)?, graph.value(id));
        let axis = value.shape.len().saturating_sub(1);
        let kernel = ObserveMinMax {
            shape: value.shape.clone(),
            axis: Some(axis),
        };
        let seen = MinMaxState::initial(value.shape[axis]);
        let seen = rewriter.graph.param(&state(&value.name), seen);
        let node = format!("peaks of {}", value.name);
        let kernel = Custom::new(kernel);
        rewriter
            .graph
            .push_all(&node, kernel, &[x, seen])
            .map(|_| ())
    })?;
    let mut executor = device.load(lower(&observed, &device.caps())?).await?;
    for inputs in batches {
        executor.submit(&inputs?.iter().collect::<Vec<_>>())?;
    }
    let mut peaks = BTreeMap::new();
    for id in values {
        let name = &graph.value(id).name;
        let channels = MinMaxState::decode(&executor.read(&state(name)).await?)?;
        if channels.iter().any(|channel| channel.not_finite > 0) {
            let problem = format!("`{name}` has values that are NaN or infinite");
            return Err(Error::invalid("calibrate", problem));
        }
        let peak = |channel: MinMaxState| match channel.range() {
            Some((min, max)) => max.max(-min),
            None => 0.0,
        };
        peaks.insert(name.clone(), channels.into_iter().map(peak).collect());
    }
    Ok(peaks)
}
