//! Networks as functions that return a graph. No weights inside.

mod import;
mod lenet5;

pub use import::{Foreign, import};
pub use lenet5::{LENET5_PARAMS, lenet5};

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
    match arch {
        "lenet5" => Ok(LENET5_PARAMS
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), shape.to_vec()))
            .collect()),
        _ => Err(Error::invalid(
            "arch",
            format!("there is no architecture `{arch}`; there is lenet5"),
        )),
    }
}

/// Random weights: uniform in `±1/√fan_in` for weights and biases, PyTorch's default for linear and
/// convolution layers.
///
/// # Errors
/// As [`param_shapes`].
pub fn random_weights(arch: &str, seed: u64) -> Result<Weights> {
    let rng = Rng::new(seed);
    let shapes = param_shapes(arch)?;
    let fan_in = |layer: &str| {
        let weight = shapes
            .iter()
            .find(|(name, _)| *name == format!("{layer}.weight"));
        weight.map_or(1, |(_, shape)| shape[1..].iter().product::<usize>())
    };
    let mut weights = Weights::new();
    for (i, (name, shape)) in shapes.iter().enumerate() {
        let layer = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(layer, _)| layer);
        let bound = 1.0 / (fan_in(layer) as f32).sqrt();
        let mut rng = rng.fork(i as u64 + 1);
        let data: Vec<f32> = (0..shape.iter().product())
            .map(|_| rng.range(-bound, bound))
            .collect();
        weights.insert(name.clone(), Tensor::from_f32(shape, &data)?);
    }
    Ok(weights)
}

/// The graph of an architecture for images of a batch.
///
/// # Errors
/// As [`param_shapes`], and for weights that are missing or have another shape.
pub fn build(arch: &str, batch: usize, weights: &Weights) -> Result<crate::graph::Graph> {
    match arch {
        "lenet5" => lenet5(batch, weights),
        _ => param_shapes(arch).map(|_| crate::graph::Graph::new()),
    }
}
