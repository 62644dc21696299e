//! Model files that commands take.

use wizen::models::{self, Weights};
use wizen::{Network, Result};

/// An fp32 model of these weights, without history.
pub fn float_model(arch: &str, weights: &Weights) -> Result<Network> {
    Ok(Network::new(arch, models::build(arch, 1, weights)?))
}
