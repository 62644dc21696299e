//! Model files that commands take, and what can be said of a model without running it.

use std::path::Path;

use wizen::base::{DType, Tensor};
use wizen::graph::{Graph, ValueId};
use wizen::io::{Loaded, float_tensors};
use wizen::models::{self, Weights};
use wizen::{Error, Network, Result};

/// Loads a model that wizen wrote, or foreign weights of a known architecture.
pub fn load(path: &Path, arch: Option<&str>) -> Result<Network> {
    match Network::load(path)? {
        Loaded::Wizen(model) => Ok(*model),
        Loaded::Foreign(tensors) => {
            let found = float_tensors(&tensors)
                .and_then(|floats| models::import(arch, &floats))
                .map_err(|e| Error::format(path, e.to_string()))?;
            let mut network = float_model(&found.arch, &found.weights)?;
            for (name, mask) in found.masks {
                let id = network.graph.find(&name)?;
                network.graph.set_mask(id, Some(mask.into()))?;
            }
            Ok(network)
        }
    }
}

/// An fp32 model of these weights, without history.
pub fn float_model(arch: &str, weights: &Weights) -> Result<Network> {
    Ok(Network::new(arch, models::build(arch, 1, weights)?))
}

/// The same network with other weights, by name.
pub fn with_weights(
    graph: &Graph,
    weights: impl IntoIterator<Item = (String, Tensor)>,
) -> Result<Graph> {
    let mut graph = graph.clone();
    for (name, tensor) in weights {
        graph.set_tensor(graph.find(&name)?, tensor)?;
    }
    Ok(graph)
}

/// The float parameters of a graph, which training moves.
pub fn trained(graph: &Graph) -> Vec<ValueId> {
    let all = graph.values();
    let float = all.filter(|(id, value)| graph.tensor(*id).is_some() && value.dtype == DType::F32);
    float.map(|(id, _)| id).collect()
}

/// What runs: the model's network with batch norm folded and ReLU fused.
pub fn runnable(model: &Network) -> Result<Graph> {
    wizen::graph::optimize(&model.graph)
}
