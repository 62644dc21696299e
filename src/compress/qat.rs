//! Quantization-aware training.

use super::fit::{Fit, FitOptions, Learning};
use super::float_layers::keep_float;
use super::quantize::{QuantizeOptions, Quantized, calibrate, freeze, report};
use super::{Job, float_params};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::ValueId;
use crate::network::Network;
use crate::quant::{self, FakeQuantized};
use crate::train::ParamGroup;

/// Learning rate of scales over that of weights.
const SCALES: f32 = 0.1;
/// What a learned scale cannot fall below.
const LEAST_SCALE: f32 = 1e-6;

/// Quantization-aware fine-tuning: scales start from calibration, then learn with the weights; the same
/// freeze as [`super::quantize`] ends it.
///
/// Batch norms are folded into their layers before the first step, so that what is trained is what runs;
/// their statistics do not move any more. Masks stay.
///
/// # Errors
/// As [`super::quantize`] and [`super::train`]; [`Error::Invalid`] for a scheme without integer activations
/// or with weights of one bit.
pub async fn qat(
    job: &Job<'_>,
    network: &Network,
    data: &dyn Data,
    options: &QuantizeOptions,
    fit_options: &FitOptions,
) -> Result<(Quantized, Fit)> {
    let scheme = options.schemes.network();
    if scheme.activation_range().is_none() {
        let problem = format!("{scheme} has no integer activations to train; use `wizen quantize`");
        return Err(Error::invalid("qat", problem));
    }
    let float = quant::prepare(&network.float_graph("qat")?, scheme)?;
    let mut params = calibrate(job, &float, data, options).await?;
    if let Some(target) = options.auto_float {
        keep_float(job, &float, &mut params, (data, options), target).await?;
    }
    // Training sees the rounded weights: there is no error left to take back.
    params.means.clear();
    let FakeQuantized { graph, scales } = quant::insert_fake_quant(&float, &params)?;
    let scale_names: Vec<(String, String)> = scales
        .into_iter()
        .map(|scale| (graph.value(scale.param).name.clone(), scale.of))
        .collect();
    // Masks come before rounding: what is removed is the integer that stands for 0.
    let learning = Learning::new(&graph, fit_options)?;
    let scales = scale_names
        .iter()
        .map(|(name, _)| learning.graph.find(name));
    let scales: Vec<ValueId> = scales.collect::<Result<_>>()?;
    let mut learned = float_params(&learning.graph);
    learned.retain(|id| !scales.contains(id));
    let group = ParamGroup {
        params: scales,
        lr_factor: SCALES,
        weight_decay: 0.0,
        min: Some(LEAST_SCALE),
    };
    let mut run = learning
        .start_with(job, fit_options, learned, vec![group])
        .await?;
    let what = format!("qat {scheme}");
    let fit = run
        .fit(job, &what, data, fit_options, async |_, _, _| Ok(()))
        .await?;
    let mut trained = Vec::with_capacity(scale_names.len());
    for (name, of) in scale_names {
        trained.push((of, run.trainer.read(&name).await?));
    }
    let params = quant::adopt_scales(&params, &trained)?;
    let float = run.into_graph(&float).await?;
    let frozen = freeze(&float, &params, options, network, "qat")?;
    let layers = report(job, &float, &frozen.graph, &params, (data, options)).await?;
    let made = Quantized {
        network: frozen,
        layers,
        reconstruction: None,
    };
    Ok((made, fit))
}
