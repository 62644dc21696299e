//! Post-training quantization: ranges from data, integers, and how far each layer is from the float one.

use std::collections::BTreeSet;

use super::Job;
use super::float_layers::keep_float;
use super::judge::batch_for;
use super::reconstruct::{Reconstruction, reconstructed};
use crate::base::{Requant, Tensor};
use crate::data::{Data, inputs_of, sample};
use crate::error::{Error, Result};
use crate::graph::{Graph, equalize};
use crate::network::Network;
use crate::quant::{
    self, LayerReport, LayerSchemes, Observer, Preset, QuantParams, Scheme, WeightMethod,
};

/// How to quantize.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// Of the network, and of single layers.
    pub schemes: LayerSchemes,
    /// How ranges of activations are found; `None` = as the scheme's conventions do.
    pub observer: Option<Observer>,
    /// How scales of weights are found; `None` = what suits their bits.
    pub weights: Option<WeightMethod>,
    /// How accumulators are rounded.
    pub requant: Requant,
    /// Items to calibrate on, spread over all there are.
    pub items: usize,
    /// Chooses them: two runs with one seed see the same.
    pub seed: u64,
    /// Channels are scaled to like ranges first ([`equalize()`]); schemes of other conventions never do it.
    pub equalize: bool,
    /// How weights become integers; `None` = by reconstruction from 2 to 7 bits with wizen's own conventions, in
    /// builds that have it, else to the nearest.
    pub method: Option<Method>,
    /// Layers that keep 8 bits; `None` = the first, where weights of fewer are reconstructed.
    pub ends: Option<Ends>,
    /// Items on which each layer alone is judged; 0 = none.
    pub alone: usize,
    /// Layers that cost most stay float, as few as it takes for every result to be this close to the float
    /// network's, in dB.
    pub auto_float: Option<f64>,
}

impl Default for QuantizeOptions {
    /// int8 with wizen's own conventions, rounded by integers alone: equal on every device. 128 items.
    fn default() -> Self {
        Self {
            schemes: Scheme::INT8.into(),
            observer: None,
            weights: None,
            requant: Requant::Fixed,
            items: 128,
            seed: 1,
            equalize: true,
            method: None,
            ends: None,
            alone: 0,
            auto_float: None,
        }
    }
}

impl QuantizeOptions {
    /// How weights become integers.
    pub fn method(&self) -> Method {
        let scheme = self.schemes.network();
        let few = (2..8).contains(&scheme.weight_bits()) && scheme.preset() == Preset::Wizen;
        self.method
            .unwrap_or(match few && cfg!(feature = "reconstruct") {
                true => Method::Reconstruct,
                false => Method::Round,
            })
    }

    /// These with the layers at the ends of a network at 8 bits, but for those that have a scheme of their own.
    fn with_ends(&self, graph: &Graph) -> Result<Self> {
        let scheme = self.schemes.network();
        let wide = match scheme {
            Scheme::Integer {
                activation_bits,
                preset: Preset::Wizen,
                ..
            } => Scheme::Integer {
                weight_bits: 8,
                activation_bits,
                preset: Preset::Wizen,
            },
            Scheme::WeightOnly { .. } => Scheme::WeightOnly { weight_bits: 8 },
            Scheme::Integer { .. } | Scheme::Fp16 => {
                let asked = self.ends.filter(|ends| *ends != Ends::None);
                let problem =
                    format!("{scheme} has 8 bits or more everywhere; it is for wNaM and wN");
                return match asked {
                    Some(_) => Err(Error::invalid("keep-ends", problem)),
                    None => Ok(self.clone()),
                };
            }
        };
        let few = scheme.weight_bits() < 8 && self.method() == Method::Reconstruct;
        let ends = self
            .ends
            .unwrap_or(if few { Ends::First } else { Ends::None });
        let layers = graph.nodes().iter().filter(|node| quant::has_weights(node));
        let layers: Vec<&str> = layers.map(|node| node.name.as_str()).collect();
        let (first, last) = (layers.first(), layers.last());
        let kept = match ends {
            Ends::None => [None, None],
            Ends::First => [first, None],
            Ends::Both => [first, last],
        };
        let mut schemes = self.schemes.clone();
        for layer in kept.into_iter().flatten() {
            let own = self.schemes.layers().any(|(own, _)| own == *layer);
            if !own && !self.schemes.is_float(layer) {
                schemes = schemes.with(layer, wide)?;
            }
        }
        Ok(Self {
            schemes,
            ..self.clone()
        })
    }

    fn observer(&self) -> Observer {
        let scheme = self.schemes.network();
        self.observer
            .unwrap_or_else(|| Observer::for_scheme(scheme))
    }
}

/// A quantized network and how far each layer is from the float one.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The network.
    pub network: Network,
    /// Its layers.
    pub layers: Vec<LayerReport>,
    /// How close reconstruction came, if that chose the weights.
    pub reconstruction: Option<Reconstruction>,
}

/// How weights become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each to the nearest.
    Round,
    /// Layer by layer, so that each makes what the float layer makes, in closed form, without labels.
    Reconstruct,
}

/// Which layers keep 8 bits in a network of fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// None.
    None,
    /// The first with weights: small, and by far the most sensitive.
    First,
    /// The first and the last.
    Both,
}

/// Items of one calibration batch, at most.
const CALIBRATION_BATCH: usize = 32;
/// Items whose channels are measured before they are scaled, at most.
const EQUALIZATION: usize = 64;
/// Items of one comparison, small enough to hold every activation of.
pub(super) const REPORT_BATCH: usize = 8;

/// Post-training quantization of a float network on representative inputs; no labels are needed.
///
/// # Errors
/// [`Error::Invalid`] for a network that is not float, an operation without integer form, inputs that give
/// no finite ranges, or no inputs at all; from reading `data`; what the device reports; [`Error::Stopped`].
pub async fn quantize(
    job: &Job<'_>,
    network: &Network,
    data: &dyn Data,
    options: &QuantizeOptions,
) -> Result<Quantized> {
    let scheme = options.schemes.network();
    let float = quant::prepare(&network.float_graph("quantize")?, scheme)?;
    let options = &options.with_ends(&float)?;
    if options.method == Some(Method::Reconstruct) && scheme == Scheme::Fp16 {
        let problem = "fp16 has no integers to choose; it is for int8, wNaM and wN";
        return Err(Error::invalid("method", problem));
    }
    let float = equalized(job, float, data, options).await?;
    let mut params = calibrate(job, &float, data, options).await?;
    if let Some(target) = options.auto_float {
        if !matches!(scheme, Scheme::Integer { .. }) {
            let problem = format!("{scheme} rounds no activations; it is for int8 and wNaM");
            return Err(Error::invalid("auto-float", problem));
        }
        keep_float(job, &float, &mut params, (data, options), target).await?;
    }
    let (frozen, params, reconstruction) = match options.method() {
        Method::Reconstruct => {
            let (frozen, params, said) =
                reconstructed(job, network, &float, &params, (data, options)).await?;
            (frozen, params, Some(said))
        }
        Method::Round => {
            let frozen = freeze(&float, &params, options, network, "quantize")?;
            (frozen, params, None)
        }
    };
    let layers = report(job, &float, &frozen.graph, &params, (data, options)).await?;
    Ok(Quantized {
        network: frozen,
        layers,
        reconstruction,
    })
}

/// The same network with channels of like range, where the scheme is one that chooses so: see [`equalize()`].
async fn equalized(
    job: &Job<'_>,
    float: Graph,
    data: &dyn Data,
    options: &QuantizeOptions,
) -> Result<Graph> {
    let scheme = options.schemes.network();
    let own = scheme.activation_range().is_some() && scheme.preset() == Preset::Wizen;
    let count = options.items.min(data.len()).min(EQUALIZATION);
    if !own || !options.equalize || count == 0 {
        return Ok(float);
    }
    let batch = batch_for(&float, CALIBRATION_BATCH).min(count);
    let mut stage = job.stage("equalize", count.div_ceil(batch));
    let items = sample(data.len(), count, options.seed);
    let batches = inputs_of(data.batches(items, batch));
    let batches = batches.map(|inputs| stage.step(1).and(inputs));
    let batched = float.with_batch(batch)?;
    let peaks = quant::channel_peaks(job.device(), &batched, batches).await?;
    equalize(&float, &peaks)
}

/// Ranges of activations from data, scales of weights from the weights, for a graph as
/// [`quant::prepare`] makes it.
///
/// # Errors
/// As [`quantize`].
pub async fn calibrate(
    job: &Job<'_>,
    graph: &Graph,
    data: &dyn Data,
    options: &QuantizeOptions,
) -> Result<QuantParams> {
    let weights = quant::choose_weights(graph, &options.schemes, options.weights)?;
    let floats: BTreeSet<String> = options.schemes.floats().map(str::to_owned).collect();
    if options.schemes.network().activation_range().is_none() {
        return Ok(QuantParams {
            weights,
            floats,
            ..QuantParams::default()
        });
    }
    let count = options.items.min(data.len());
    if count == 0 {
        return Err(Error::invalid(
            "calibrate",
            "there are no inputs to calibrate on",
        ));
    }
    let batch = batch_for(graph, CALIBRATION_BATCH).min(count);
    let mut stage = job.stage("calibrate", count.div_ceil(batch));
    let items = sample(data.len(), count, options.seed);
    let batches = inputs_of(data.batches(items, batch));
    let batches = batches.map(|inputs| stage.step(1).and(inputs));
    let graph = graph.with_batch(batch)?;
    let observer = options.observer();
    let found = quant::calibrate(job.device(), &graph, batches, observer, &options.schemes);
    let params = found.await?.with_weights(weights);
    Ok(QuantParams { floats, ..params })
}

/// Puts a float graph and its parameters into the form of the scheme.
///
/// # Errors
/// As [`quant::freeze`], [`quant::to_f16`] and [`quant::to_weight_only`].
pub fn freeze(
    graph: &Graph,
    params: &QuantParams,
    options: &QuantizeOptions,
    origin: &Network,
    did: &str,
) -> Result<Network> {
    let scheme = options.schemes.network();
    let graph = match scheme {
        Scheme::Fp16 => quant::to_f16(graph, &params.floats)?,
        Scheme::WeightOnly { .. } => quant::to_weight_only(graph, params)?,
        Scheme::Integer { .. } => quant::freeze(graph, params, options.requant)?,
    };
    let layers = options.schemes.layers();
    let layers = layers.map(|(layer, scheme)| format!(" {layer}={scheme}"));
    let floats = params.floats.iter();
    let floats = floats.map(|layer| format!(" {layer}=float"));
    let own: Vec<String> = layers.chain(floats).collect();
    let with = format!(
        "{scheme}{}, observer {}, rounding {}, {} items",
        own.concat(),
        options.observer(),
        match options.requant {
            Requant::Float => "float",
            Requant::Fixed => "fixed",
        },
        options.items
    );
    let frozen = Network {
        graph,
        ..origin.clone()
    };
    Ok(frozen.after(did, with))
}

/// Compares each layer's result with the float network's on some items, and measures what each layer
/// alone costs on `alone` of them.
pub(super) async fn report(
    job: &Job<'_>,
    float: &Graph,
    frozen: &Graph,
    params: &QuantParams,
    (data, options): (&dyn Data, &QuantizeOptions),
) -> Result<Vec<LayerReport>> {
    let alone = options.alone;
    let count = data.len().min(CALIBRATION_BATCH);
    // Comparing holds every activation of a batch twice.
    let batch = batch_for(float, REPORT_BATCH).min(count);
    let inputs = |count: usize, batch: usize| {
        inputs_of(data.batches(sample(data.len(), count, options.seed), batch))
    };
    let (one, other) = (float.with_batch(batch)?, frozen.with_batch(batch)?);
    let batches = inputs(count, batch);
    let device = job.device();
    let mut layers = quant::layer_reports(device, &one, &other, params, batches).await?;
    if alone > 0 && !params.weights.is_empty() {
        let count = alone.min(data.len());
        let batch = batch.min(count);
        let batches: Vec<Vec<Tensor>> = inputs(count, batch).collect::<Result<_>>()?;
        let mut stage = job.stage("each layer alone", layers.len());
        let float = float.with_batch(batch)?;
        let costs = quant::layer_costs(device, &float, (params, options.requant), &batches, || {
            stage.step(1)
        })
        .await?;
        for layer in &mut layers {
            layer.alone_sqnr_db = costs.get(&layer.name).copied().flatten();
        }
    }
    Ok(layers)
}
