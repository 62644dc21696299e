//! Thinning: channels that are gone for good leave the network, which gets smaller and faster everywhere.

use std::collections::{BTreeMap, HashMap};

use crate::base::{Shape, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Op, Rewriter, ValueId};

/// Removes output channels of layers: `keep[layer][c]` says which stay. Weights and biases of the layer
/// shrink along their first axis, the weights of the layers that read its result along their inputs;
/// pooling, ReLU, batch norm and flattening in between follow.
///
/// # Errors
/// [`Error::Invalid`] for an unknown layer, a layer whose channels cannot change alone (a result of the
/// network, a residual addition, a grouped convolution), a list of another length, or one that keeps
/// nothing.
pub fn thin(graph: &Graph, keep: &BTreeMap<String, Vec<bool>>) -> Result<Graph> {
    for layer in keep.keys() {
        let found = graph
            .nodes()
            .iter()
            .any(|node| node.name == *layer && is_layer(&node.op));
        if !found {
            return Err(Error::invalid(
                "thin",
                format!("there is no layer `{layer}`"),
            ));
        }
    }
    let mut thinner = Thinner {
        rewriter: Rewriter::new(graph),
        kept: HashMap::new(),
    };
    for node in graph.nodes() {
        thinner.node(graph, node, keep)?;
    }
    for &output in graph.outputs() {
        if thinner.kept.contains_key(&output) {
            let name = &graph.value(output).name;
            return Err(Error::invalid(
                "thin",
                format!("`{name}` is a result of the network: its size is fixed"),
            ));
        }
    }
    thinner.rewriter.finish()
}

fn is_layer(op: &Op) -> bool {
    matches!(op, Op::Linear { .. } | Op::Conv2d { .. })
}

struct Thinner<'a> {
    rewriter: Rewriter<'a>,
    /// Elements of the last axis that are left, for values that lost some.
    kept: HashMap<ValueId, Vec<bool>>,
}

impl Thinner<'_> {
    fn node(
        &mut self,
        graph: &Graph,
        node: &Node,
        keep: &BTreeMap<String, Vec<bool>>,
    ) -> Result<()> {
        let incoming = self.kept.get(&node.inputs[0]).cloned();
        let outgoing = match &node.op {
            Op::Linear { .. } | Op::Conv2d { .. } => {
                self.layer(graph, node, incoming.as_deref(), keep.get(&node.name))?;
                keep.get(&node.name).cloned()
            }
            Op::Relu | Op::MaxPool(_) | Op::GlobalAvgPool | Op::Cast { .. } => incoming,
            Op::BatchNorm { .. } => {
                if let Some(kept) = &incoming {
                    for &id in &node.inputs[1..] {
                        self.slice(graph, id, 0, kept)?;
                    }
                }
                incoming
            }
            // Channels are the fastest axis: the pattern repeats for every pixel.
            Op::Flatten => incoming.map(|kept| {
                let features = graph.value(node.outputs[0]).shape[1];
                kept.iter().copied().cycle().take(features).collect()
            }),
            _ if incoming.is_none() && node.inputs.iter().all(|id| !self.kept.contains_key(id)) => {
                None
            }
            _ => {
                let problem = format!("{} needs all channels of its operands", node.op.name());
                return Err(Error::invalid(&node.name, problem));
            }
        };
        self.rewriter.copy(node)?;
        if let Some(kept) = outgoing {
            self.kept.insert(node.outputs[0], kept);
        }
        Ok(())
    }

    fn layer(
        &mut self,
        graph: &Graph,
        node: &Node,
        incoming: Option<&[bool]>,
        own: Option<&Vec<bool>>,
    ) -> Result<()> {
        if let Op::Conv2d { conv, .. } = &node.op
            && conv.groups != 1
            && (incoming.is_some() || own.is_some())
        {
            return Err(Error::invalid(
                &node.name,
                "a grouped convolution cannot lose single channels",
            ));
        }
        let (w, bias) = (node.inputs[1], node.inputs[2]);
        let mut tensor = param(graph, w)?;
        if let Some(own) = own {
            let channels = tensor.shape()[0];
            if own.len() != channels || !own.contains(&true) {
                let problem = format!(
                    "it has {channels} channels and must keep at least one; {} were listed",
                    own.len()
                );
                return Err(Error::invalid(&node.name, problem));
            }
            tensor = sliced(&tensor, 0, own)?;
            self.slice(graph, bias, 0, own)?;
        }
        if let Some(incoming) = incoming {
            tensor = sliced(&tensor, tensor.shape().len() - 1, incoming)?;
        }
        let new = self.rewriter.graph.param(&graph.value(w).name, tensor);
        self.rewriter.map(w, new);
        Ok(())
    }

    fn slice(&mut self, graph: &Graph, id: ValueId, axis: usize, kept: &[bool]) -> Result<()> {
        let tensor = sliced(&param(graph, id)?, axis, kept)?;
        let new = self.rewriter.graph.param(&graph.value(id).name, tensor);
        self.rewriter.map(id, new);
        Ok(())
    }
}

fn param(graph: &Graph, id: ValueId) -> Result<Tensor> {
    let tensor = graph.tensor(id).ok_or_else(|| {
        Error::invalid(
            "thin",
            format!(
                "`{}` is computed, not stored; bake masks first",
                graph.value(id).name
            ),
        )
    })?;
    Ok(tensor.as_ref().clone())
}

/// The slices of `axis` that are kept, in order. f32.
fn sliced(tensor: &Tensor, axis: usize, kept: &[bool]) -> Result<Tensor> {
    let mut shape: Shape = tensor.shape().to_vec();
    if shape[axis] != kept.len() {
        return Err(Error::shape(
            "thin",
            "channels",
            format!("{} along axis {axis}", kept.len()),
            &shape,
        ));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    shape[axis] = kept.iter().filter(|&&keep| keep).count();
    let data = tensor.as_f32()?;
    let runs = data
        .chunks(inner)
        .enumerate()
        .filter(|(i, _)| kept[i % kept.len()]);
    let left: Vec<f32> = runs.flat_map(|(_, run)| run.iter().copied()).collect();
    Tensor::from_f32(&shape, &left)
}
