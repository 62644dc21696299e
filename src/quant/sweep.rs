//! A network in segments, each from one layer with weights to the next, float and rounded side by side.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::fake::fake_quantize;
use super::points::{Placement, Point, QuantParams, has_weights};
use crate::base::{Quantization, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Source, ValueId};

/// Values that later nodes read.
pub(super) type Live = HashMap<ValueId, Arc<Tensor>>;

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Float,
    /// Activations, and the weights of layers that were replaced, stand on their grids.
    Rounded,
}

/// A float graph with a fixed batch, and where it is quantized.
#[derive(Debug)]
pub(super) struct Sweep<'g> {
    pub graph: &'g Graph,
    params: &'g QuantParams,
    placement: Placement<'g>,
    /// Floats that become integers.
    quantized: BTreeSet<ValueId>,
    /// Activations stay floats.
    weights_only: bool,
}

/// A part of a network on its way to a graph of its own.
#[derive(Debug)]
pub(super) struct Segment {
    pub graph: Graph,
    /// What stands for the values of the whole.
    pub map: HashMap<ValueId, ValueId>,
    /// Values of the whole that are supplied, of which side, in the order of the graph's inputs.
    pub inputs: Vec<(ValueId, Side)>,
}

impl Segment {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            graph: Graph::new(),
            map: HashMap::new(),
            inputs: Vec::new(),
        }
    }
}

impl<'g> Sweep<'g> {
    pub fn new(graph: &'g Graph, params: &'g QuantParams) -> Self {
        let placement = Placement::of(graph, params);
        let weights_only = params.activations.is_empty();
        let quantized = match weights_only {
            true => BTreeSet::new(),
            false => placement.quantized().into_iter().collect(),
        };
        Self {
            weights_only,
            graph,
            params,
            placement,
            quantized,
        }
    }

    /// Nodes whose weights become integers.
    pub fn layers(&self) -> Vec<usize> {
        let nodes = self.graph.nodes().iter().enumerate();
        let layers = nodes.filter(|(i, node)| has_weights(node) && self.placement.is_integer(*i));
        layers.map(|(i, _)| i).collect()
    }

    /// What a network starts from.
    pub fn start(&self, inputs: &[Tensor], side: Side) -> Result<Live> {
        let ids = self.graph.inputs();
        let mut live = Live::new();
        for (&id, tensor) in ids.iter().zip(inputs) {
            let tensor = match side == Side::Rounded && self.quantized.contains(&id) {
                true => self.on_grid(id, tensor)?,
                false => tensor.clone(),
            };
            live.insert(id, Arc::new(tensor));
        }
        Ok(live)
    }

    fn on_grid(&self, id: ValueId, tensor: &Tensor) -> Result<Tensor> {
        let q = self.params.of(self.graph, id)?;
        let data: Vec<f32> = tensor
            .as_f32()?
            .iter()
            .map(|&x| q.fake_quantize(x))
            .collect();
        Tensor::from_f32(tensor.shape(), &data)
    }

    /// What stands for a value that a node of the segment reads.
    pub fn operand(&self, segment: &mut Segment, id: ValueId, side: Side) -> Result<ValueId> {
        if let Some(&known) = segment.map.get(&id) {
            return Ok(known);
        }
        let value = self.graph.value(id);
        let new = match (&value.source, self.graph.tensor(id)) {
            (_, Some(tensor)) => {
                let rounded = side == Side::Rounded && self.quantized.contains(&id);
                let tensor = match rounded {
                    true => Arc::new(self.on_grid(id, tensor)?),
                    false => Arc::clone(tensor),
                };
                segment.graph.param(&value.name, tensor)
            }
            (Source::Input | Source::Node, None) => return Ok(self.supplied(segment, id, side)),
            (Source::Param(_), None) => {
                let problem = format!("`{}` is not stored", value.name);
                return Err(Error::invalid("reconstruct", problem));
            }
        };
        segment.map.insert(id, new);
        Ok(new)
    }

    /// A value of one side as an input of the segment.
    pub fn supplied(&self, segment: &mut Segment, id: ValueId, side: Side) -> ValueId {
        let value = self.graph.value(id);
        let name = match side {
            Side::Float => value.name.clone(),
            Side::Rounded => format!("rounded {}", value.name),
        };
        segment.inputs.push((id, side));
        let new = segment.graph.input(&name, value.dtype, &value.shape);
        segment.map.entry(id).or_insert(new);
        new
    }

    /// Adds a node as it is, and the rounding of its result.
    pub fn push(&self, segment: &mut Segment, i: usize, side: Side) -> Result<()> {
        let node = &self.graph.nodes()[i];
        let inputs = node
            .inputs
            .iter()
            .map(|&id| self.operand(segment, id, side));
        let inputs: Vec<ValueId> = inputs.collect::<Result<_>>()?;
        let made = segment
            .graph
            .push_all(&node.name, node.op.clone(), &inputs)?;
        for (&old, new) in node.outputs.iter().zip(made) {
            segment.map.insert(old, new);
        }
        self.round(segment, i, side)
    }

    /// Rounds the result of node `i` where its integers would.
    pub fn round(&self, segment: &mut Segment, i: usize, side: Side) -> Result<()> {
        let node = &self.graph.nodes()[i];
        let y = node.outputs[0];
        if side == Side::Float || self.weights_only {
            return Ok(());
        }
        let name = &self.graph.value(y).name;
        let point = match self.quantized.contains(&y) {
            true => Some(self.params.of(self.graph, y)?),
            false => match self.placement.point(i, false) {
                Some(Point::Observed) => Some(self.params.activation(name)?),
                Some(Point::Fixed(q)) => Some(q),
                None => None,
            },
        };
        if let (Some(q), Some(&made)) = (point, segment.map.get(&y)) {
            let q = Quantization::per_tensor(q);
            let rounded = fake_quantize(&mut segment.graph, name, made, &q, None)?;
            segment.map.insert(y, rounded);
        }
        Ok(())
    }

    /// Values made by these nodes that nodes behind them read, now results of the segment.
    pub fn finish(&self, segment: &mut Segment, nodes: Range<usize>) -> Vec<ValueId> {
        let made = self.graph.nodes()[nodes.clone()].iter();
        let made = made.flat_map(|node| &node.outputs).copied();
        let later = self.read_from(nodes.end);
        let read: Vec<ValueId> = made.filter(|id| later.contains(id)).collect();
        for id in &read {
            segment.graph.output(segment.map[id]);
        }
        read
    }

    /// Everything that nodes from here on read.
    pub fn read_from(&self, first: usize) -> BTreeSet<ValueId> {
        let nodes = self.graph.nodes()[first..].iter();
        nodes
            .flat_map(|node: &Node| &node.inputs)
            .copied()
            .collect()
    }
}

/// Bytes of the values that cross from one layer with weights to later ones, where they are most.
pub fn live_bytes(graph: &Graph) -> usize {
    let mut made: BTreeSet<ValueId> = graph.inputs().into_iter().collect();
    let mut most = 0;
    for (i, node) in graph.nodes().iter().enumerate() {
        if has_weights(node) {
            let later = graph.nodes()[i..].iter().flat_map(|node| &node.inputs);
            let later: BTreeSet<&ValueId> = later.filter(|id| made.contains(id)).collect();
            let bytes = |id: &&ValueId| 4 * graph.value(**id).shape.iter().product::<usize>();
            most = most.max(later.iter().map(bytes).sum());
        }
        made.extend(&node.outputs);
    }
    most
}
