//! Layer-by-layer reconstruction: every layer's integers are chosen so that it makes, from what the network
//! quantized so far gives it, what the float layer makes. No labels, no gradients ([`super::solve`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::points::{QuantParams, weights_of};
use super::solve::{Moments, Solution, solve};
use super::sums::Sums;
use super::sweep::{Live, Segment, Side, Sweep};
use super::weights::{dequantize, quantize_weights};
use crate::base::{DType, Quantization, Rng, Tensor};
use crate::error::{Error, Result};
use crate::graph::ops::{Binary, Map, Op};
use crate::graph::{Device, Executor, Graph, Node, Rewriter, ValueId, lower};
use crate::kernels::Conv;

/// Inputs of a layer, at most: what is to be factored grows with their square.
const WIDEST: usize = 8192;

/// A float graph whose weights are the reals that integers stand for, and the parameters that say so.
#[derive(Clone, Debug)]
pub struct Reconstructed {
    /// The network.
    pub graph: Graph,
    /// With the scales of the weights; no means, for nothing is left to take back.
    pub params: QuantParams,
    /// Layers whose weights were only rounded: signs of one bit, and layers with more inputs than can be factored.
    pub rounded: Vec<String>,
    /// Layers with fewer samples than inputs: their weights are near the float ones, and repair no errors of what
    /// they read.
    pub unrepaired: Vec<String>,
}

/// Reconstructs the weights of a graph as [`super::prepare`] makes it, of a fixed batch, on `batches`. What later
/// layers read is kept on the host; the device holds one batch and the sums of one layer.
///
/// # Errors
/// From lowering and from `batches`; [`Error::Invalid`] for sums that are not finite; what the device reports;
/// what `done` returns after every layer.
pub async fn reconstruct(
    device: &Device,
    graph: &Graph,
    params: &QuantParams,
    batches: impl Iterator<Item = Result<Vec<Tensor>>>,
    seed: u64,
    mut done: impl FnMut() -> Result<()>,
) -> Result<Reconstructed> {
    let sweep = Sweep::new(graph, params);
    let layers = sweep.layers();
    let mut items = Vec::new();
    for inputs in batches {
        let inputs = inputs?;
        items.push(Item {
            float: sweep.start(&inputs, Side::Float)?,
            rounded: sweep.start(&inputs, Side::Rounded)?,
        });
    }
    let mut run = Run {
        device,
        sweep: &sweep,
        items,
        rng: Rng::new(seed),
    };
    let mut made = Reconstructed {
        graph: graph.clone(),
        params: QuantParams {
            means: Default::default(),
            ..params.clone()
        },
        rounded: Vec::new(),
        unrepaired: Vec::new(),
    };
    let nodes = graph.nodes().len();
    let first = layers.first().copied().unwrap_or(nodes);
    run.advance(0..first, Side::Float, None).await?;
    run.advance(0..first, Side::Rounded, None).await?;
    let mut replaced = Vec::new();
    for (at, &i) in layers.iter().enumerate() {
        let next = layers.get(at + 1).copied().unwrap_or(nodes);
        let node = &graph.nodes()[i];
        let layer = Layer::of(graph, node, params)?;
        let moments = run.measure(&layer, i..next).await?;
        let solution = match moments {
            Some(moments) => layer.solve(&moments)?,
            None => None,
        };
        let new = layer.replacement(solution.as_ref())?;
        run.advance(i..next, Side::Rounded, Some(&new)).await?;
        match solution {
            None => made.rounded.push(node.name.clone()),
            Some(solution) => {
                if !solution.repaired {
                    made.unrepaired.push(node.name.clone());
                }
                let name = &graph.value(layer.weight).name;
                if let Some(own) = made.params.weights.get_mut(name) {
                    own.scales = solution.scales.iter().map(|&scale| scale as f32).collect();
                }
            }
        }
        replaced.push((i, new));
        done()?;
    }
    made.graph = with_weights(graph, replaced)?;
    Ok(made)
}

/// One batch: what later layers read.
struct Item {
    float: Live,
    rounded: Live,
}

impl Item {
    /// Tensors of these values.
    fn of(&self, inputs: &[(ValueId, Side)]) -> Vec<&Tensor> {
        let tensor = |(id, side): &(ValueId, Side)| match side {
            Side::Float => self.float[id].as_ref(),
            Side::Rounded => self.rounded[id].as_ref(),
        };
        inputs.iter().map(tensor).collect()
    }

    /// Drops what nothing reads later, and takes what was made.
    fn keep(
        &mut self,
        side: Side,
        later: &BTreeSet<ValueId>,
        made: &[ValueId],
        tensors: Vec<Tensor>,
    ) {
        let live = match side {
            Side::Float => &mut self.float,
            Side::Rounded => &mut self.rounded,
        };
        live.retain(|id, _| later.contains(id));
        for (&id, tensor) in made.iter().zip(tensors) {
            live.insert(id, Arc::new(tensor));
        }
    }
}

/// Weights and bias that take the place of a layer's own.
struct Replacement {
    weight: Tensor,
    bias: Tensor,
}

/// A layer with weights.
struct Layer<'g> {
    graph: &'g Graph,
    node: &'g Node,
    weight: ValueId,
    bias: Option<ValueId>,
    residual: Option<ValueId>,
    /// Its sum alone.
    sum: Op,
    conv: Option<Conv>,
    quant: &'g Quantization,
}

impl<'g> Layer<'g> {
    fn of(graph: &'g Graph, node: &'g Node, params: &'g QuantParams) -> Result<Self> {
        let missing = || Error::invalid(&node.name, "it has no weights");
        let at = node.op.weights().ok_or_else(missing)?;
        let weight = weights_of(node).ok_or_else(missing)?;
        let quant = params.weight(&graph.value(weight).name)?;
        let operand = |i: Option<usize>| i.and_then(|i| node.inputs.get(i)).copied();
        Ok(Self {
            graph,
            node,
            weight,
            bias: operand(at.bias),
            residual: operand(at.residual),
            sum: node.op.rules().sum().ok_or_else(missing)?,
            conv: node.op.conv(),
            quant,
        })
    }

    fn stored(&self, id: ValueId) -> Result<&'g Arc<Tensor>> {
        self.graph.tensor(id).ok_or_else(|| {
            let name = &self.graph.value(id).name;
            Error::invalid(&self.node.name, format!("`{name}` is computed, not stored"))
        })
    }

    /// Inputs of one row of weights.
    fn width(&self) -> usize {
        self.graph.value(self.weight).shape[1..].iter().product()
    }

    /// Taps of the filter: down, across.
    fn taps(&self) -> [usize; 2] {
        match self.graph.value(self.weight).shape.as_slice() {
            &[_, height, width, _] => [height, width],
            _ => [1, 1],
        }
    }

    fn rows(&self) -> usize {
        self.graph.value(self.weight).shape[0]
    }

    /// The bias, zeros where there is none.
    fn bias(&self) -> Result<Tensor> {
        match self.bias {
            Some(id) => Ok(self.stored(id)?.as_ref().clone()),
            None => Ok(Tensor::zeros(&[self.rows()], DType::F32)),
        }
    }

    /// Group by group: they share no weights.
    fn solve(&self, moments: &[Moments]) -> Result<Option<Solution>> {
        let weights = self.stored(self.weight)?.to_f64();
        let each = weights.len() / moments.len().max(1);
        let mut whole: Option<Solution> = None;
        for (moments, weights) in moments.iter().zip(weights.chunks(each.max(1))) {
            // A group that nothing reaches: zeros are as good as anything.
            let part = solve(moments, weights, self.quant.range)?.unwrap_or_else(|| {
                let count = moments.count.max(1.0);
                Solution {
                    integers: vec![0; weights.len()],
                    scales: vec![1.0; moments.y.len()],
                    bias: moments.y.iter().map(|sum| sum / count).collect(),
                    repaired: true,
                }
            });
            match &mut whole {
                Some(whole) => whole.append(part),
                None => whole = Some(part),
            }
        }
        Ok(whole)
    }

    fn replacement(&self, solution: Option<&Solution>) -> Result<Replacement> {
        let weight = self.stored(self.weight)?;
        let Some(solution) = solution else {
            return Ok(Replacement {
                weight: dequantize(&quantize_weights(weight, self.quant)?, self.quant)?,
                bias: self.bias()?,
            });
        };
        let width = self.width().max(1);
        let real = |(i, &q): (usize, &i32)| q as f32 * solution.scales[i / width] as f32;
        let reals: Vec<f32> = solution.integers.iter().enumerate().map(real).collect();
        let bias: Vec<f32> = solution.bias.iter().map(|&b| b as f32).collect();
        Ok(Replacement {
            weight: Tensor::from_f32(weight.shape(), &reals)?,
            bias: Tensor::from_f32(&[bias.len()], &bias)?,
        })
    }
}

struct Run<'a, 'g> {
    device: &'a Device,
    sweep: &'a Sweep<'g>,
    items: Vec<Item>,
    rng: Rng,
}

impl Run<'_, '_> {
    /// Runs nodes of one side over all batches, the first with other weights if it has any.
    async fn advance(
        &mut self,
        nodes: std::ops::Range<usize>,
        side: Side,
        first: Option<&Replacement>,
    ) -> Result<()> {
        let sweep = self.sweep;
        let mut segment = Segment::new();
        for i in nodes.clone() {
            let node = &sweep.graph.nodes()[i];
            let new = first.filter(|_| i == nodes.start);
            let Some(new) = new else {
                sweep.push(&mut segment, i, side)?;
                continue;
            };
            let op = node.op.rules().with_bias();
            let op = op.ok_or_else(|| Error::invalid(&node.name, "it has no weights"))?;
            let x = sweep.operand(&mut segment, node.inputs[0], side)?;
            let w = segment.graph.param("weight", new.weight.clone());
            let b = segment.graph.param("bias", new.bias.clone());
            let mut inputs = vec![x, w, b];
            if let Some(at) = node.op.weights().and_then(|at| at.residual) {
                inputs.push(sweep.operand(&mut segment, node.inputs[at], side)?);
            }
            let y = segment.graph.push(&node.name, op, &inputs)?;
            segment.map.insert(node.outputs[0], y);
            sweep.round(&mut segment, i, side)?;
        }
        let made = sweep.finish(&mut segment, nodes.clone());
        let later = sweep.read_from(nodes.end);
        let mut executor = match made.is_empty() {
            true => None,
            false => Some(self.load(&segment.graph).await?),
        };
        for item in &mut self.items {
            let mut results = Vec::new();
            if let Some(executor) = &mut executor {
                results = executor.run(&item.of(&segment.inputs)).await?;
            }
            item.keep(side, &later, &made, results);
        }
        Ok(())
    }

    async fn load(&self, graph: &Graph) -> Result<Executor> {
        self.device.load(lower(graph, &self.device.caps())?).await
    }

    /// The sums of a layer, one for each group; float values move on to the end of `nodes`. `None` for a layer
    /// that is only rounded.
    async fn measure(
        &mut self,
        layer: &Layer<'_>,
        nodes: std::ops::Range<usize>,
    ) -> Result<Option<Vec<Moments>>> {
        let limit = self.device.caps().max_storage_binding;
        let sums = 4 * (layer.width() * layer.width()) as u64;
        if layer.quant.binary || layer.width() > WIDEST || sums > limit {
            self.advance(nodes, Side::Float, None).await?;
            return Ok(None);
        }
        let (sweep, node) = (self.sweep, layer.node);
        let mut segment = Segment::new();
        // The float layer in its parts.
        let x = sweep.operand(&mut segment, node.inputs[0], Side::Float)?;
        let w = sweep.operand(&mut segment, layer.weight, Side::Float)?;
        let b = segment.graph.param("own bias", layer.bias()?);
        let sum = format!("{} sum", node.name);
        let sum = segment.graph.push(&sum, layer.sum.clone(), &[x, w, b])?;
        let (mut y, mut wanted) = (sum, sum);
        let read = sweep.supplied(&mut segment, node.inputs[0], Side::Rounded);
        if let Some(id) = layer.residual {
            let skip = sweep.operand(&mut segment, id, Side::Float)?;
            let graph = &mut segment.graph;
            y = graph.push(
                &format!("{} and skip", node.name),
                Binary::ADD,
                &[sum, skip],
            )?;
            let theirs = match sweep.graph.tensor(id) {
                Some(_) => skip,
                None => sweep.supplied(&mut segment, id, Side::Rounded),
            };
            let graph = &mut segment.graph;
            wanted = graph.push("wanted", Binary::SUB, &[y, theirs])?;
        }
        if let Some(f) = node.op.rules().activation() {
            y = segment.graph.push(&node.name, Map { f }, &[y])?;
        }
        segment.map.insert(node.outputs[0], y);
        for i in nodes.start + 1..nodes.end {
            sweep.push(&mut segment, i, Side::Float)?;
        }
        let made = sweep.finish(&mut segment, nodes.clone());
        let sums = Sums::new(&mut segment.graph, layer.conv, layer.taps(), [read, wanted])?;
        let mut executor = self.load(&segment.graph).await?;
        let later = sweep.read_from(nodes.end);
        let mut totals = sums.totals();
        for item in &mut self.items {
            let places = sums.sample(&mut self.rng)?;
            let mut inputs = item.of(&segment.inputs);
            inputs.extend(places.as_ref());
            let mut results = executor.run(&inputs).await?;
            let samples = results.split_off(made.len());
            totals.add(&samples)?;
            item.keep(Side::Float, &later, &made, results);
        }
        totals.finish(&executor, self.items.len()).await.map(Some)
    }
}

/// The graph with other weights and biases, by position of the node.
fn with_weights(graph: &Graph, replaced: Vec<(usize, Replacement)>) -> Result<Graph> {
    let mut rewriter = Rewriter::new(graph);
    for id in graph.inputs() {
        rewriter.get(id)?;
    }
    let mut replaced = replaced.into_iter().peekable();
    for (i, node) in graph.nodes().iter().enumerate() {
        let new = replaced.next_if(|(at, _)| *at == i);
        let (Some((_, new)), Some(at), Some(op)) =
            (new, node.op.weights(), node.op.rules().with_bias())
        else {
            rewriter.copy(node)?;
            continue;
        };
        let x = rewriter.get(node.inputs[0])?;
        let w = rewriter.param_like(node.inputs[at.weight], new.weight);
        let b = match at.bias.and_then(|i| node.inputs.get(i)) {
            Some(&id) => rewriter.param_like(id, new.bias),
            None => rewriter
                .graph
                .param(&format!("{}.bias", node.name), new.bias),
        };
        let mut inputs = vec![x, w, b];
        if let Some(i) = at.residual {
            inputs.push(rewriter.get(node.inputs[i])?);
        }
        rewriter.replace(node, op, &inputs)?;
    }
    rewriter.finish()
}
