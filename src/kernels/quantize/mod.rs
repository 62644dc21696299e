//! From reals to integers and back, and both at once for training: equations (1) and (2) of [`crate::base::QParams`].

mod fake;
mod fake_scale;
mod rounding;
mod store;

pub use fake::{FakeQuant, FakeQuantGrad};
pub use fake_scale::FakeQuantScaleGrad;
pub use store::{Dequantize, Quantize};

use super::Kernel;

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    store::samples()
        .into_iter()
        .chain(fake::samples())
        .chain(fake_scale::samples())
        .collect()
}
