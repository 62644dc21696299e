//! Model files that commands take.

use std::path::Path;

use wizen::models::{self, Weights};
use wizen::{Network, Result};

/// Loads a model that wizen wrote, or foreign weights of a known architecture.
pub fn load(path: &Path, arch: Option<&str>) -> Result<Network> {
    wizen::open(path, arch)
}

/// An fp32 model of these weights, without history.
pub fn float_model(arch: &str, weights: &Weights) -> Result<Network> {
    Ok(Network::new(arch, models::build(arch, 1, weights)?))
}
