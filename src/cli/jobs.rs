//! The work behind the commands: train, evaluate, prune, quantize, fine-tune. `wizen demo` chains them.

use wizen::base::{DType, Requant, Tensor};
use wizen::graph::{Device, Graph, ValueId};
use wizen::io::Dataset;
use wizen::prune::{MaskPlan, Masked, Schedule};
use wizen::quant::{
    self, FakeQuantized, LayerReport, LayerSchemes, Observer, QuantParams, Scheme, WeightMethod,
};
use wizen::train::{ParamGroup, Trainer};
use wizen::{Error, Network, Result, prune};

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
    /// Channels that are left of a layer are a multiple of this.
    pub multiple: usize,
    /// Fine-tuning, if there is data for it.
    pub fit: Option<FitSettings>,
}

/// Magnitude pruning; with data, along a schedule while fine-tuning.
pub async fn prune(
    context: &Context,
    device: &Device,
    model: &Network,
    data: Option<&Dataset>,
    settings: &PruneSettings,
) -> Result<(Network, Option<Fit>)> {
    let float = model.float_graph("prune")?;
    let ids: Vec<ValueId> = prunable(&float);
    let mut pruned = model.clone();
    let (weights, masks, done) = match (data, &settings.fit) {
        (Some(data), Some(fit_settings)) => {
            let graph = float.with_batch(fit_settings.batch)?;
            check_fits(&graph, data)?;
            let Masked { graph, masks } = prune::insert_masks(&graph, &prunable(&graph))?;
            let name = |id: ValueId| graph.value(id).name.clone();
            let names: Vec<(String, String)> =
                masks.iter().map(|&(w, m)| (name(w), name(m))).collect();
            let masked: Vec<ValueId> = masks.iter().map(|&(_, mask)| mask).collect();
            let mut current: Vec<Tensor> = masked
                .iter()
                .filter_map(|&id| graph.tensor(id))
                .map(|mask| mask.as_ref().clone())
                .collect();
            let shapes: Vec<_> = masks
                .iter()
                .map(|&(w, _)| graph.value(w).shape.clone())
                .collect();
            let params = files::trained(&graph);
            let groups = [ParamGroup::weights(params)];
            let mut trainer = Trainer::new(device, graph, fit_settings.optimizer, &groups).await?;
            let mut masker = MaskPlan::new(device, &shapes, settings.scope).await?;
            let (initial, target, cubic) = (model.sparsity(), settings.sparsity, settings.cubic);
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
            let mut masks = Vec::new();
            for (_, mask) in &names {
                masks.push(trainer.read(mask).await?);
            }
            (trainer.params().await?, masks, Some(done))
        }
        _ => {
            let tensors: Vec<&Tensor> = ids
                .iter()
                .filter_map(|&id| float.tensor(id))
                .map(AsRef::as_ref)
                .collect();
            let old: Vec<Option<&Tensor>> = ids
                .iter()
                .map(|&id| float.mask(id).map(AsRef::as_ref))
                .collect();
            let (scope, sparsity) = (settings.scope, settings.sparsity);
            let masks =
                prune::magnitude_masks_to_sparsity(device, &tensors, &old, scope, sparsity).await?;
            (Vec::new(), masks, None)
        }
    };
    pruned.graph = files::with_weights(&float, weights)?;
    for (id, mask) in ids.into_iter().zip(masks) {
        pruned.graph.set_mask(id, Some(mask.into()))?;
    }
    pruned.graph = pruned.float_graph("prune")?;
    let with = format!(
        "l1 {:?} to {:.4} of the weights",
        settings.scope, settings.sparsity
    );
    Ok((pruned.after("prune", with), done))
}

/// The weights of all layers.
fn prunable(graph: &Graph) -> Vec<ValueId> {
    let mut ids: Vec<ValueId> = Vec::new();
    for id in graph.nodes().iter().filter_map(quant::weights_of) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// Updates of the masks along a schedule.
const UPDATES: usize = 30;

/// New masks from the weights as they are now; what is gone stays gone.
async fn update_masks(
    trainer: &mut Trainer,
    masker: &mut MaskPlan,
    names: &[(String, String)],
    current: &[Tensor],
    sparsity: f64,
) -> Result<Vec<Tensor>> {
    let mut weights = Vec::with_capacity(names.len());
    for (weight, _) in names {
        weights.push(trainer.read(weight).await?);
    }
    let tensors: Vec<&Tensor> = weights.iter().collect();
    let old: Vec<Option<&Tensor>> = current.iter().map(Some).collect();
    let masks = masker.prune_to_sparsity(&tensors, &old, sparsity).await?;
    for ((_, name), mask) in names.iter().zip(&masks) {
        trainer.write(name, mask)?;
    }
    Ok(masks)
}

/// Structured pruning: the channels of least importance leave each hidden layer for good, the network shrinks, and what is left is fine-tuned if there is data.
pub async fn prune_channels(
    context: &Context,
    device: &Device,
    model: &Network,
    data: Option<&Dataset>,
    settings: &PruneSettings,
) -> Result<(Network, Option<Fit>)> {
    let float = model.float_graph("prune")?;
    let families = prune::families(&float)?;
    let gone = families
        .iter()
        .flat_map(|family| family.weakest(settings.sparsity, settings.multiple));
    let mut thinned = model.clone();
    thinned.graph = prune::thin(&float, gone)?;
    let with = format!(
        "{:.4} of the channels of every hidden layer, by the norms of what makes and reads them, to multiples of {}",
        settings.sparsity, settings.multiple
    );
    thinned = thinned.after("prune", with);
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
    pub model: Network,
    pub layers: Vec<LayerReport>,
}

/// Images of one calibration batch.
const CALIBRATION_BATCH: usize = 32;

/// The float network of a model, ready to be quantized.
pub fn ready_to_quantize(model: &Network, command: &str, scheme: Scheme) -> Result<Graph> {
    quant::prepare(&model.float_graph(command)?, scheme)
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
    origin: &Network,
    did: &str,
) -> Result<Network> {
    let frozen = match settings.schemes.network() {
        Scheme::Fp16 => quant::to_f16(graph)?,
        Scheme::WeightOnly { .. } => quant::to_weight_only(graph, params)?,
        Scheme::Integer { .. } => quant::freeze(graph, params, settings.requant)?,
    };
    let model = Network {
        graph: frozen,
        ..origin.clone()
    };
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
    Ok(model.after(did, with))
}

/// Post-training quantization.
pub async fn quantize(
    context: &Context,
    device: &Device,
    model: &Network,
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
    (origin, did): (&Network, &str),
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
    frozen: &Network,
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
    model: &Network,
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
    let scheme = settings.schemes.network();
    let float = ready_to_quantize(model, "qat", scheme)?;
    let mut params = calibrate(context, device, &float, data, settings).await?;
    // Training sees the rounded weights: there is no error left to take back.
    params.means.clear();
    let graph = float.with_batch(fit_settings.batch)?;
    let masked: Vec<ValueId> = prunable(&graph)
        .into_iter()
        .filter(|&id| graph.mask(id).is_some())
        .collect();
    let Masked { graph, .. } = prune::insert_masks(&graph, &masked)?;
    let FakeQuantized { graph, scales } = quant::insert_fake_quant(&graph, &params)?;
    let learned: Vec<ValueId> = scales.iter().map(|scale| scale.param).collect();
    let name = |id: ValueId| graph.value(id).name.clone();
    let scale_names: Vec<(String, String)> = scales
        .into_iter()
        .map(|scale| (name(scale.param), scale.of))
        .collect();
    let trained: Vec<ValueId> = float
        .values()
        .filter(|(id, value)| float.tensor(*id).is_some() && value.dtype == DType::F32)
        .map(|(_, value)| graph.find(&value.name))
        .collect::<Result<_>>()?;
    let scales = ParamGroup {
        params: learned,
        lr_factor: 0.1,
        weight_decay: 0.0,
        min: Some(1e-6),
    };
    let groups = [ParamGroup::weights(trained), scales];
    let mut trainer = Trainer::new(device, graph, fit_settings.optimizer, &groups).await?;
    let what = format!("qat {scheme}");
    let done = fit(
        context,
        &what,
        &mut trainer,
        data,
        fit_settings,
        async |_, _, _| Ok(()),
    )
    .await?;
    let (mut weights, mut learned) = (Vec::new(), Vec::new());
    for (name, tensor) in trainer.params().await? {
        match scale_names.iter().find(|(scale, _)| *scale == name) {
            Some((_, of)) => learned.push((of.clone(), tensor)),
            None => weights.push((name, tensor)),
        }
    }
    let params = quant::adopt_scales(&params, &learned)?;
    let float = Network {
        graph: files::with_weights(&float, weights)?,
        ..model.clone()
    }
    .float_graph("qat")?;
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
