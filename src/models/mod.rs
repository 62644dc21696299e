//! Networks as functions that return a graph. No weights inside.

mod import;
mod lenet5;
mod resnet;

pub use import::{Foreign, Imported, import};
pub use lenet5::{LENET5_PARAMS, lenet5};
pub use resnet::{ResNet, Shortcut};

use std::collections::BTreeMap;

use crate::base::{Rng, Shape, Tensor};
use crate::error::{Error, Result};

/// Weights by name, in wizen's layout (OHWI convolutions, features of a flattened image in HWC order).
pub type Weights = BTreeMap<String, Tensor>;

/// Shape of every parameter of an architecture, in wizen's layout.
///
/// # Errors
/// [`Error::Invalid`] for an unknown architecture, with the list of those there are.
pub fn param_shapes(arch: &str) -> Result<Vec<(String, Shape)>> {
    if let Some(net) = ResNet::named(arch) {
        return Ok(net.params());
    }
    match arch {
        "lenet5" => Ok(LENET5_PARAMS
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), shape.to_vec()))
            .collect()),
        _ => Err(unknown(arch)),
    }
}

fn unknown(arch: &str) -> Error {
    let problem = format!(
        "there is no architecture `{arch}`; there are lenet5, resnet18, resnet34, resnet50, resnet101, resnet152 \
         and, for CIFAR, resnet20, resnet32, resnet44 and resnet56"
    );
    Error::invalid("arch", problem)
}

/// Random weights of an architecture: [`random_params`] of its [`param_shapes`].
///
/// # Errors
/// As [`param_shapes`].
pub fn random_weights(arch: &str, seed: u64) -> Result<Weights> {
    random_params(&param_shapes(arch)?, seed)
}

/// Random values for these parameters. Without batch norms, weights and biases are uniform in
/// `±1/√fan_in`, PyTorch's default for linear and convolution layers. Before a batch norm, weights are
/// uniform in `±√(6/fan_in)` (He et al. 2015), which keeps the variance through ReLUs; batch norms start
/// as the identity.
///
/// # Errors
/// [`Error::Shape`] for a shape whose size overflows.
pub fn random_params(shapes: &[(String, Shape)], seed: u64) -> Result<Weights> {
    let rng = Rng::new(seed);
    let fan_in = |layer: &str| {
        let weight = shapes
            .iter()
            .find(|(name, _)| *name == format!("{layer}.weight"));
        weight.map_or(1, |(_, shape)| shape[1..].iter().product::<usize>())
    };
    let mut norms = Vec::new();
    for (name, _) in shapes {
        norms.extend(name.strip_suffix(".running_mean"));
    }
    let mut weights = Weights::new();
    for (i, (name, shape)) in shapes.iter().enumerate() {
        let (layer, part) = name.rsplit_once('.').unwrap_or((name.as_str(), ""));
        let mut rng = rng.fork(i as u64 + 1);
        let mut uniform = |bound: f32| -> Vec<f32> {
            (0..shape.iter().product())
                .map(|_| rng.range(-bound, bound))
                .collect()
        };
        let data = if norms.contains(&layer) {
            let one = matches!(part, "weight" | "running_var");
            vec![f32::from(u8::from(one)); shape.iter().product()]
        } else if norms.is_empty() || shape.len() < 4 {
            uniform(1.0 / (fan_in(layer) as f32).sqrt())
        } else {
            uniform((6.0 / fan_in(layer) as f32).sqrt())
        };
        weights.insert(name.clone(), Tensor::from_f32(shape, &data)?);
    }
    Ok(weights)
}

/// The graph of an architecture for images of a batch; sizes of a ResNet are those of its weights.
///
/// # Errors
/// [`Error::Invalid`] for an unknown architecture, and for weights that are missing or have another shape.
pub fn build(arch: &str, batch: usize, weights: &Weights) -> Result<crate::graph::Graph> {
    if arch == "lenet5" {
        return lenet5(batch, weights);
    }
    let shape = |name: &str| weights.get(name).map(|tensor| tensor.shape().to_vec());
    match ResNet::recognise(shape) {
        Some(net) if arch.starts_with("resnet") => net.graph(batch, weights),
        _ => Err(unknown(arch)),
    }
}
