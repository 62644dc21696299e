//! Steps of optimisers, as PyTorch takes them.

mod adam;
mod sgd;

pub use adam::Adam;
pub use sgd::Sgd;

use super::Kernel;

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    adam::samples().into_iter().chain(sgd::samples()).collect()
}
