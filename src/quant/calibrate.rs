//! Calibration: observers inserted into the float graph, state on the device, read once at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::histogram::{Search, search};
use super::points::{Placement, QuantParams, has_weights};
use super::qparams::{Convention, choose};
use super::scheme::{LayerSchemes, Preset, Scheme};
use crate::base::{DType, QParams, Quantization, Range, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{BiasGrad, Custom, QuantRule};
use crate::graph::{Device, Executor, Graph, Rewriter, ValueId, lower};
use crate::kernels::Kernel;
use crate::kernels::binary::Accumulate;
use crate::kernels::observe::{
    HistogramState, MinMaxState, ObserveHistogram, ObserveHistogramRange, ObserveMinMax,
    ObserveMovingAverage,
};

/// How the range of an activation is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observer {
    /// Smallest and largest value of all batches.
    MinMax,
    /// Moving average of each batch's smallest and largest value, constant 0.01.
    MovingAverage,
    /// The window of a 2048-bin histogram that PyTorch's `HistogramObserver` finds.
    Histogram,
    /// The window of a 2048-bin histogram with the least squared error.
    Mse,
    /// 99.99 % of the values.
    Percentile,
    /// Least Kullback-Leibler divergence, after TensorRT.
    Entropy,
    /// Per activation, the one of the others that has the least squared error.
    #[default]
    Auto,
}

const NAMES: [(&str, Observer); 7] = [
    ("minmax", Observer::MinMax),
    ("moving-average", Observer::MovingAverage),
    ("histogram", Observer::Histogram),
    ("mse", Observer::Mse),
    ("percentile", Observer::Percentile),
    ("entropy", Observer::Entropy),
    ("auto", Observer::Auto),
];

impl Observer {
    /// What a scheme's conventions take: PyTorch's fbgemm default is its histogram, ONNX Runtime's the
    /// smallest and largest value.
    pub fn for_scheme(scheme: Scheme) -> Self {
        match scheme.preset() {
            Preset::Wizen => Self::Auto,
            Preset::Torch => Self::Histogram,
            Preset::Onnx => Self::MinMax,
        }
    }
}

impl FromStr for Observer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, observer)| *observer)
            .ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                Error::invalid(
                    "observer",
                    format!(
                        "there is no observer `{text}`; there are {}",
                        names.join(", ")
                    ),
                )
            })
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(_, observer)| observer == self)
            .map_or("?", |(name, _)| *name);
        f.write_str(name)
    }
}

/// Bins of a histogram, as PyTorch's and ONNX Runtime's.
const BINS: usize = 2048;
/// Share of the values that the percentile observer keeps.
const KEPT: f64 = 0.9999;
/// PyTorch's averaging constant.
const AVERAGING: f32 = 0.01;

/// What calibration found, by value name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Parameters of every activation.
    pub activations: BTreeMap<String, QParams>,
    /// Mean of every channel that a layer with weights reads; empty for the conventions of PyTorch and
    /// ONNX Runtime, which know no bias correction.
    pub means: BTreeMap<String, Vec<f32>>,
    /// As in [`QuantParams`].
    pub everywhere: bool,
}

impl Calibration {
    /// All parameters of a network: these and those of its weights ([`super::choose_weights`]).
    pub fn with_weights(self, weights: BTreeMap<String, Quantization>) -> QuantParams {
        QuantParams {
            activations: self.activations,
            weights,
            means: self.means,
            floats: BTreeSet::new(),
            everywhere: self.everywhere,
        }
    }
}

/// Runs `batches` through `graph` and returns the parameters of every activation, and the means that
/// [`QuantParams::means`] wants. Memory on host and device does not grow with the number of batches, and
/// nothing is read back in between.
///
/// [`QuantParams::means`]: super::QuantParams::means
///
/// # Errors
/// [`Error::Invalid`] naming an activation with NaN or infinite values or without any; from reading the
/// batches; what the device reports.
pub async fn calibrate(
    device: &Device,
    graph: &Graph,
    batches: impl Iterator<Item = Result<Vec<Tensor>>>,
    observer: Observer,
    schemes: &LayerSchemes,
) -> Result<Calibration> {
    let floats: BTreeSet<String> = schemes.floats().map(str::to_owned).collect();
    let everywhere = schemes.network().preset() != Preset::Wizen;
    let placement = Placement::new(graph, &floats, everywhere);
    let points = placement.observed(schemes.network().quantizes_outputs());
    let summed = match schemes.network().preset() {
        Preset::Wizen => layer_inputs(graph),
        Preset::Torch | Preset::Onnx => Vec::new(),
    };
    let observed = insert_observers(graph, &points, &summed, observer)?;
    let mut executor = device.load(lower(&observed, &device.caps())?).await?;
    let mut seen = 0u32;
    for inputs in batches {
        let inputs = inputs?;
        executor.submit(&inputs.iter().collect::<Vec<_>>())?;
        seen += 1;
        // Bounds the uploads in flight; reads a few words, no activation.
        if let Some(&first) = points.first().filter(|_| seen.is_multiple_of(16)) {
            executor.read(&state_name(graph, first, "observed")).await?;
        }
    }
    if seen == 0 {
        return Err(Error::invalid("calibrate", "there are no images"));
    }
    let mut out = BTreeMap::new();
    for id in points {
        let name = &graph.value(id).name;
        let scheme = schemes.of(name);
        let range = scheme.activation_range().ok_or_else(|| {
            Error::invalid("calibrate", format!("{scheme} has no integer activations"))
        })?;
        let (min, max) = read_range(&executor, graph, id, observer, range).await?;
        let params = choose(min, max, range, false, convention(scheme));
        out.insert(name.clone(), params);
    }
    let constants = placement.quantized();
    for id in constants
        .into_iter()
        .filter(|&id| graph.as_param(id).is_some())
    {
        let (name, tensor) = (&graph.value(id).name, graph.tensor(id));
        let scheme = schemes.network();
        if let Some((tensor, range)) = tensor.zip(scheme.activation_range()) {
            let ends = tensor.to_f32();
            let (min, max) = ends
                .iter()
                .fold((0f32, 0f32), |(a, b), &x| (a.min(x), b.max(x)));
            let params = choose(min, max, range, false, convention(scheme));
            out.insert(name.clone(), params);
        }
    }
    if schemes.network().preset() == Preset::Torch {
        // PyTorch's average pool keeps the parameters of what it averages.
        let found = QuantParams {
            activations: out.clone(),
            ..QuantParams::default()
        };
        for node in graph.nodes() {
            if node.op.quantization() == QuantRule::Average {
                let x = found.of(graph, node.inputs[0])?;
                out.insert(graph.value(node.outputs[0]).name.clone(), x);
            }
        }
    }
    let mut means = BTreeMap::new();
    for id in summed {
        let total = executor.read(&state_name(graph, id, "total")).await?;
        let shape = &graph.value(id).shape;
        let rows = shape.iter().product::<usize>() / total.len().max(1);
        let count = (rows as u64 * u64::from(seen)) as f64;
        let mean = |sum: f64| (sum / count) as f32;
        let mean = total.to_f64().into_iter().map(mean).collect();
        means.insert(graph.value(id).name.clone(), mean);
    }
    Ok(Calibration {
        activations: out,
        means,
        everywhere,
    })
}

/// What layers with weights read, each value once.
fn layer_inputs(graph: &Graph) -> Vec<ValueId> {
    let mut ids: Vec<ValueId> = Vec::new();
    for node in graph.nodes().iter().filter(|node| has_weights(node)) {
        if !ids.contains(&node.inputs[0]) {
            ids.push(node.inputs[0]);
        }
    }
    ids
}

/// Adds a value up over all runs, in a parameter of this name.
pub(super) fn add_up(graph: &mut Graph, name: &str, x: ValueId) -> Result<()> {
    let len = graph.value(x).shape.iter().product();
    let total = graph.param(name, Tensor::zeros(&[len], DType::F32));
    let kernel = Custom::new(Accumulate { len });
    let node = format!("{name} so far");
    graph.push_all(&node, kernel, &[total, x]).map(|_| ())
}

fn convention(scheme: Scheme) -> Convention {
    match scheme {
        Scheme::Integer {
            preset: Preset::Torch,
            ..
        } => Convention::Torch,
        Scheme::Integer {
            preset: Preset::Onnx,
            ..
        } => Convention::Onnx,
        Scheme::Integer {
            preset: Preset::Wizen,
            ..
        }
        | Scheme::Fp16
        | Scheme::WeightOnly { .. } => Convention::Wizen,
    }
}

fn state_name(graph: &Graph, id: ValueId, suffix: &str) -> String {
    format!("{}:{suffix}", graph.value(id).name)
}

/// The graph with an observer behind every activation that gets parameters; results are dropped.
fn insert_observers(
    graph: &Graph,
    points: &[ValueId],
    summed: &[ValueId],
    observer: Observer,
) -> Result<Graph> {
    watched(graph, |rewriter, id| {
        if points.contains(&id) {
            observe(rewriter, id, observer)?;
        }
        if summed.contains(&id) {
            let x = rewriter.get(id)?;
            let name = state_name(graph, id, "sum");
            let sum = rewriter.graph.push(&name, BiasGrad, &[x])?;
            add_up(&mut rewriter.graph, &state_name(graph, id, "total"), sum)?;
        }
        Ok(())
    })
}

/// The graph with what `watch` adds behind every input and result; nothing else is computed for anybody.
pub(super) fn watched(
    graph: &Graph,
    watch: impl Fn(&mut Rewriter<'_>, ValueId) -> Result<()>,
) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for id in graph.inputs() {
        rewriter.get(id)?;
        watch(&mut rewriter, id)?;
    }
    for node in graph.nodes() {
        rewriter.copy(node)?;
        for &id in &node.outputs {
            watch(&mut rewriter, id)?;
        }
    }
    let mut watched = rewriter.finish()?;
    watched.set_outputs(Vec::new());
    Ok(watched)
}

fn observe(rewriter: &mut Rewriter<'_>, id: ValueId, observer: Observer) -> Result<()> {
    let old = rewriter.old();
    let (x, shape) = (rewriter.get(id)?, old.value(id).shape.clone());
    let graph = &mut rewriter.graph;
    let name = |suffix: &str| state_name(old, id, suffix);
    let push = |graph: &mut Graph, kernel: Arc<dyn Kernel>, inputs: &[ValueId]| {
        let name = format!("{} {}", kernel.name(), old.value(id).name);
        graph.push_all(&name, Custom(kernel), inputs).map(|_| ())
    };
    // Minimum, maximum and the count of what is not finite, over all batches.
    let total = graph.param(&name("observed"), MinMaxState::initial(1));
    let min_max = Arc::new(ObserveMinMax {
        shape: shape.clone(),
        axis: None,
    });
    push(graph, min_max.clone(), &[x, total])?;
    if observer == Observer::MinMax {
        return Ok(());
    }
    let batch = graph.param(&name("batch"), MinMaxState::initial(1));
    push(graph, min_max, &[x, batch])?;
    if observer == Observer::MovingAverage {
        let state = graph.param(&name("average"), ObserveMovingAverage::initial(1));
        let kernel = ObserveMovingAverage {
            channels: 1,
            constant: AVERAGING,
        };
        return push(graph, Arc::new(kernel), &[batch, state]);
    }
    let range = graph.param(&name("range"), HistogramState::initial_range());
    let counts = graph.param(&name("counts"), HistogramState::initial_counts(BINS));
    push(
        graph,
        Arc::new(ObserveHistogramRange { bins: BINS }),
        &[batch, range, counts],
    )?;
    push(
        graph,
        Arc::new(ObserveHistogram { shape, bins: BINS }),
        &[x, range, counts],
    )
}

async fn read_range(
    executor: &Executor,
    graph: &Graph,
    id: ValueId,
    observer: Observer,
    range: Range,
) -> Result<(f32, f32)> {
    let name = |suffix: &str| state_name(graph, id, suffix);
    let value = &graph.value(id).name;
    let total = MinMaxState::decode(&executor.read(&name("observed")).await?)?[0];
    if total.not_finite > 0 {
        let problem = format!(
            "`{value}` has {} values that are NaN or infinite",
            total.not_finite
        );
        return Err(Error::invalid("calibrate", problem));
    }
    let nothing = || Error::invalid("calibrate", format!("`{value}` has no values"));
    match observer {
        Observer::MinMax => total.range().ok_or_else(nothing),
        Observer::MovingAverage => {
            ObserveMovingAverage::decode(&executor.read(&name("average")).await?)?[0]
                .ok_or_else(nothing)
        }
        Observer::Histogram => searched(executor, &name, Search::NonLinear, range, nothing).await,
        Observer::Mse => searched(executor, &name, Search::Mse, range, nothing).await,
        Observer::Percentile => {
            searched(executor, &name, Search::Percentile(KEPT), range, nothing).await
        }
        Observer::Entropy => searched(executor, &name, Search::Entropy, range, nothing).await,
        Observer::Auto => searched(executor, &name, Search::Best, range, nothing).await,
    }
}

async fn searched(
    executor: &Executor,
    name: &impl Fn(&str) -> String,
    how: Search,
    range: Range,
    nothing: impl FnOnce() -> Error,
) -> Result<(f32, f32)> {
    let (words, counts) = (
        executor.read(&name("range")).await?,
        executor.read(&name("counts")).await?,
    );
    let state = HistogramState::decode(&words, &counts)?.ok_or_else(nothing)?;
    Ok(search(&state, how, range, false))
}
