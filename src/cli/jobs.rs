//! The work behind the commands: train, evaluate, prune, quantize, fine-tune. `wizen demo` chains them.

use wizen::base::{Requant, Tensor};
use wizen::graph::{Device, Graph};
use wizen::io::{Dataset, Event, Model};
use wizen::models::Weights;
use wizen::prune::{Amount, MaskPlan, Norm, Schedule};
use wizen::quant::{
    self, FakeQuantized, LayerReport, LayerSchemes, Observer, QuantParams, Scheme, WeightMethod,
};
use wizen::train::{ParamGroup, Trainer};
use wizen::{Error, Result, prune};

use super::context::Context;
use super::data::{check_fits, in_order};
use super::fit::{Fit, FitSettings, fit};
use super::models as files;

/// What to prune, and how.
#[derive(Clone, Debug)]
pub struct PruneSettings {
    pub sparsity: f64,
    pub scope: prune::Scope,
    pub cubic: bool,
    /// Fine-tuning, if there is data for it.
    pub fit: Option<FitSettings>,
}

/// Magnitude pruning; with data, along a schedule while fine-tuning.
pub async fn prune(
    context: &Context,
    device: &Device,
    model: &Model,
    data: Option<&Dataset>,
    settings: &PruneSettings,
) -> Result<(Model, Option<Fit>)> {
    let weights = files::float_weights(model, "prune")?;
    let names: Vec<String> = files::layers(model)
        .iter()
        .map(|l| format!("{}.weight", l.name))
        .collect();
    let (weights, masks, done) = match (data, &settings.fit) {
        (Some(data), Some(fit_settings)) => {
            let batch = fit_settings.batch;
            let graph = model.graph.with_batch(batch)?;
            check_fits(&graph, data)?;
            let masked = prune::insert_masks(&graph, &names, &model.masks)?;
            let params = weights
                .keys()
                .map(|name| masked.find(name))
                .collect::<Result<_>>()?;
            let groups = [ParamGroup::weights(params)];
            let mut trainer = Trainer::new(device, masked, fit_settings.optimizer, &groups).await?;
            let shapes: Vec<_> = names
                .iter()
                .map(|name| weights[name].shape().to_vec())
                .collect();
            let mut masker = MaskPlan::new(device, &shapes, settings.scope).await?;
            let full: Vec<Tensor> = shapes
                .iter()
                .map(|s| prune::full_mask(s.iter().product()))
                .collect();
            let given = names.iter().map(|name| model.masks.get(name).cloned());
            let mut current: Vec<Tensor> = given
                .zip(full)
                .map(|(mask, full)| mask.unwrap_or(full))
                .collect();
            let (initial, target, cubic) =
                (files::sparsity(model), settings.sparsity, settings.cubic);
            let mut schedule = Schedule::OneShot { target };
            let done = fit(
                context,
                "prune",
                &mut trainer,
                data,
                fit_settings,
                async |trainer, step, steps| {
                    // The schedule takes half of the run, thirty masks in all; the rest heals, while the
                    // learning rate is still high enough.
                    let frequency = (steps / 2 / UPDATES).max(1);
                    if step == 0 && cubic {
                        schedule = Schedule::Cubic {
                            initial,
                            target,
                            begin: 0,
                            steps: UPDATES,
                            frequency,
                        };
                    }
                    if step % frequency != 0 || step / frequency > UPDATES || (!cubic && step > 0) {
                        return Ok(());
                    }
                    let sparsity = schedule.sparsity_at(step);
                    current =
                        update_masks(trainer, &mut masker, &names, &current, sparsity).await?;
                    Ok(())
                },
            )
            .await?;
            let mut masks = std::collections::BTreeMap::new();
            for name in &names {
                masks.insert(name.clone(), trainer.read(&prune::mask_name(name)).await?);
            }
            (
                trainer.params().await?.into_iter().collect(),
                masks,
                Some(done),
            )
        }
        _ => {
            let tensors: Vec<&Tensor> = names.iter().filter_map(|name| weights.get(name)).collect();
            let old: Vec<Option<&Tensor>> =
                names.iter().map(|name| model.masks.get(name)).collect();
            let (scope, sparsity) = (settings.scope, settings.sparsity);
            let masks =
                prune::magnitude_masks_to_sparsity(device, &tensors, &old, scope, sparsity).await?;
            (weights, names.iter().cloned().zip(masks).collect(), None)
        }
    };
    let weights = files::baked(weights, &masks)?;
    let mut pruned = model.clone();
    pruned.graph = files::with_weights(&model.graph, &weights)?;
    pruned.masks = masks;
    pruned.history.push(Event {
        did: "prune".into(),
        with: format!(
            "l1 {:?} to {:.4} of the weights",
            settings.scope, settings.sparsity
        ),
    });
    Ok((pruned, done))
}

/// Updates of the masks along a schedule.
const UPDATES: usize = 30;

/// New masks from the weights as they are now; what is gone stays gone.
async fn update_masks(
    trainer: &mut Trainer,
    masker: &mut MaskPlan,
    names: &[String],
    current: &[Tensor],
    sparsity: f64,
) -> Result<Vec<Tensor>> {
    let mut weights = Vec::with_capacity(names.len());
    for name in names {
        weights.push(trainer.read(name).await?);
    }
    let tensors: Vec<&Tensor> = weights.iter().collect();
    let old: Vec<Option<&Tensor>> = current.iter().map(Some).collect();
    let masks = masker.prune_to_sparsity(&tensors, &old, sparsity).await?;
    for (name, mask) in names.iter().zip(&masks) {
        trainer.write(&prune::mask_name(name), mask)?;
    }
    Ok(masks)
}

/// Structured pruning: the output channels with the smallest L2 norm leave each hidden layer for good, the
/// network shrinks, and what is left is fine-tuned if there is data.
pub async fn prune_channels(
    context: &Context,
    device: &Device,
    model: &Model,
    data: Option<&Dataset>,
    settings: &PruneSettings,
) -> Result<(Model, Option<Fit>)> {
    let weights = files::baked(files::float_weights(model, "prune")?, &model.masks)?;
    let float = files::with_weights(&model.graph, &weights)?;
    let mut keep = std::collections::BTreeMap::new();
    let hidden = |y| !float.outputs().contains(y);
    for node in float.nodes() {
        if !quant::has_weights(&node.op) || !node.outputs.iter().all(hidden) {
            continue;
        }
        let Some(w) = float.tensor(node.inputs[1]) else {
            continue;
        };
        let channels = w.shape()[0];
        // At least one channel stays, whatever the share.
        let goes = Amount::Fraction(settings.sparsity)
            .count(channels)?
            .min(channels - 1);
        let mask = prune::channel_masks(device, w, None, Norm::L2, 0, Amount::Count(goes)).await?;
        keep.insert(
            node.name.clone(),
            prune::channels_kept(&mask, w.shape(), 0)?,
        );
    }
    let mut thinned = model.clone();
    thinned.masks.clear();
    thinned.graph = prune::thin(&float, &keep)?;
    let with = format!(
        "{:.4} of the channels of every hidden layer, by L2 norm",
        settings.sparsity
    );
    thinned.history.push(Event {
        did: "prune".into(),
        with,
    });
    let mut done = None;
    if let (Some(data), Some(fit_settings)) = (data, &settings.fit) {
        let (graph, fit) =
            super::fit::train(context, device, &thinned.graph, data, fit_settings).await?;
        thinned.graph = graph;
        done = Some(fit);
    }
    Ok((thinned, done))
}

/// How to quantize.
#[derive(Clone, Debug)]
pub struct QuantizeSettings {
    pub schemes: LayerSchemes,
    pub observer: Observer,
    /// How scales of weights are found; `None` = what suits their bits.
    pub weights: Option<WeightMethod>,
    pub requant: Requant,
    /// Images to calibrate on.
    pub images: usize,
    /// Images on which each layer alone is judged; 0 = none.
    pub alone: usize,
}

/// A quantized model and how far each layer is from the float one.
#[derive(Debug)]
pub struct Quantized {
    pub model: Model,
    pub layers: Vec<LayerReport>,
}

/// Images of one calibration batch.
const CALIBRATION_BATCH: usize = 32;

/// The float network of a model, ready to be quantized.
pub fn ready_to_quantize(model: &Model, command: &str, scheme: Scheme) -> Result<Graph> {
    let weights = files::baked(files::float_weights(model, command)?, &model.masks)?;
    quant::prepare(&files::with_weights(&model.graph, &weights)?, scheme)
}

/// Ranges of activations from images, scales of weights from the weights.
pub async fn calibrate(
    context: &Context,
    device: &Device,
    graph: &Graph,
    data: &Dataset,
    settings: &QuantizeSettings,
) -> Result<QuantParams> {
    check_fits(graph, data)?;
    let weights = quant::choose_weights(graph, &settings.schemes, settings.weights)?;
    if settings.schemes.network().activation_range().is_none() {
        return Ok(QuantParams {
            weights,
            ..QuantParams::default()
        });
    }
    let images = data.take(settings.images);
    let batch = batch_for(graph, CALIBRATION_BATCH).min(images.len());
    let bar = context.progress("calibrate", images.len().div_ceil(batch));
    let batches = in_order(&images, batch).map(|batch| {
        bar.inc(1);
        batch.map(|(images, _)| images)
    });
    let graph = graph.with_batch(batch)?;
    let found = quant::calibrate(
        device,
        &graph,
        batches,
        settings.observer,
        &settings.schemes,
    )
    .await?;
    bar.finish_and_clear();
    Ok(found.with_weights(weights))
}

/// Freezes a float network into a model file's network.
pub fn freeze(
    graph: &Graph,
    params: &QuantParams,
    settings: &QuantizeSettings,
    origin: &Model,
    did: &str,
) -> Result<Model> {
    let frozen = match settings.schemes.network() {
        Scheme::Fp16 => quant::to_f16(graph)?,
        Scheme::WeightOnly { .. } => quant::to_weight_only(graph, params)?,
        Scheme::Integer { .. } => quant::freeze(graph, params, settings.requant)?,
    };
    let mut model = Model {
        arch: origin.arch.clone(),
        precision: settings.schemes.network().to_string(),
        graph: frozen,
        masks: origin.masks.clone(),
        activations: params.activations.clone(),
        history: origin.history.clone(),
        ..Model::default()
    };
    for layer in params.weights.keys() {
        // One bit is stored as the two of −1 and 1.
        let bits = settings.schemes.of(layer).weight_bits().max(2);
        if bits < 8 {
            model.bits.insert(format!("{layer}.weight"), bits);
        }
    }
    let layers = settings.schemes.layers();
    let own: Vec<String> = layers
        .map(|(layer, scheme)| format!(" {layer}={scheme}"))
        .collect();
    let with = format!(
        "{}{} {} {:?}, {} images",
        settings.schemes.network(),
        own.concat(),
        settings.observer,
        settings.requant,
        settings.images
    );
    model.history.push(Event {
        did: did.into(),
        with,
    });
    Ok(model)
}

/// Post-training quantization.
pub async fn quantize(
    context: &Context,
    device: &Device,
    model: &Model,
    data: &Dataset,
    settings: &QuantizeSettings,
) -> Result<Quantized> {
    let float = ready_to_quantize(model, "quantize", settings.schemes.network())?;
    let params = calibrate(context, device, &float, data, settings).await?;
    finish(
        context,
        device,
        &float,
        &params,
        (model, "quantize"),
        (data, settings),
    )
    .await
}

/// The integer network, and how far each of its layers is from the float one.
async fn finish(
    context: &Context,
    device: &Device,
    float: &Graph,
    params: &QuantParams,
    (origin, did): (&Model, &str),
    (data, settings): (&Dataset, &QuantizeSettings),
) -> Result<Quantized> {
    let model = freeze(float, params, settings, origin, did)?;
    let layers = report(
        context,
        device,
        float,
        &model,
        params,
        (data, settings.alone),
    )
    .await?;
    Ok(Quantized { model, layers })
}

/// Images of one comparison, small enough to hold every activation of.
const REPORT_BATCH: usize = 8;

/// Compares each layer's result with the float network's on some images, and measures what each layer
/// alone costs on `alone` of them.
async fn report(
    context: &Context,
    device: &Device,
    float: &Graph,
    frozen: &Model,
    params: &QuantParams,
    (data, alone): (&Dataset, usize),
) -> Result<Vec<LayerReport>> {
    let images = data.take(CALIBRATION_BATCH);
    // Comparing holds every activation of a batch twice.
    let batch = batch_for(float, REPORT_BATCH).min(images.len());
    let float_batch = float.with_batch(batch)?;
    let mut layers = quant::layer_reports(
        device,
        &float_batch,
        &frozen.graph.with_batch(batch)?,
        params,
        &frozen.bits,
        in_order(&images, batch).map(|batch| batch.map(|(images, _)| images)),
    )
    .await?;
    if alone > 0 && !params.weights.is_empty() {
        let images = data.take(alone);
        let batch = batch.min(images.len());
        let batches: Vec<Tensor> = in_order(&images, batch)
            .map(|batch| batch.map(|(images, _)| images))
            .collect::<Result<_>>()?;
        let bar = context.progress("each layer alone", layers.len());
        let float = float.with_batch(batch)?;
        let costs = quant::layer_costs(device, &float, params, &batches, || bar.inc(1)).await?;
        bar.finish_and_clear();
        for layer in &mut layers {
            layer.alone_sqnr_db = costs.get(&layer.name).copied().flatten();
        }
    }
    Ok(layers)
}

/// Images of a batch, at most `most`, of which all activations together stay below some 100 MB: for runs
/// that keep or observe every one of them.
pub fn batch_for(graph: &Graph, most: usize) -> usize {
    const VALUES: usize = 24 << 20;
    let nodes = graph.nodes().iter().flat_map(|node| &node.outputs);
    let one: usize = nodes
        .map(|&y| graph.value(y).shape.iter().skip(1).product::<usize>())
        .sum();
    (VALUES / one.max(1)).clamp(1, most)
}

/// Quantization-aware fine-tuning: scales start from calibration, then learn with the weights.
pub async fn qat(
    context: &Context,
    device: &Device,
    model: &Model,
    data: &Dataset,
    settings: &QuantizeSettings,
    fit_settings: &FitSettings,
) -> Result<(Quantized, Fit)> {
    if settings.schemes.network().activation_range().is_none() {
        let problem = format!(
            "{} has no integer activations to train; use `wizen quantize`",
            settings.schemes.network()
        );
        return Err(Error::invalid("qat", problem));
    }
    let weights = files::baked(files::float_weights(model, "qat")?, &model.masks)?;
    let float = ready_to_quantize(model, "qat", settings.schemes.network())?;
    let mut params = calibrate(context, device, &float, data, settings).await?;
    // Training sees the rounded weights: there is no error left to take back.
    params.means.clear();
    let names: Vec<String> = model.masks.keys().cloned().collect();
    let graph = float.with_batch(fit_settings.batch)?;
    let masked = if names.is_empty() {
        graph
    } else {
        prune::insert_masks(&graph, &names, &model.masks)?
    };
    let FakeQuantized { graph, scales } = quant::insert_fake_quant(&masked, &params)?;
    let trained = weights
        .keys()
        .map(|name| graph.find(name))
        .collect::<Result<_>>()?;
    let scales = ParamGroup {
        params: scales,
        lr_factor: 0.1,
        weight_decay: 0.0,
        min: Some(1e-6),
    };
    let groups = [ParamGroup::weights(trained), scales];
    let mut trainer = Trainer::new(device, graph, fit_settings.optimizer, &groups).await?;
    let what = format!("qat {}", settings.schemes.network());
    let done = fit(
        context,
        &what,
        &mut trainer,
        data,
        fit_settings,
        async |_, _, _| Ok(()),
    )
    .await?;
    let learned = trainer.params().await?;
    let params = quant::adopt_scales(&params, &learned)?;
    let learned: Weights = learned
        .into_iter()
        .filter(|(name, _)| weights.contains_key(name))
        .collect();
    let weights = files::baked(learned, &model.masks)?;
    let float = files::with_weights(&model.graph, &weights)?;
    let float = quant::prepare(&float, settings.schemes.network())?;
    let made = finish(
        context,
        device,
        &float,
        &params,
        (model, "qat"),
        (data, settings),
    )
    .await?;
    Ok((made, done))
}
