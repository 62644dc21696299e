//! Plain data and arithmetic: no device, no files.

mod dtype;
pub(crate) mod parallel;
mod preprocess;
mod qparams;
mod requant;
mod rng;
mod tensor;

pub use dtype::{DType, MAX_ELEMENTS, Shape, is_addressable, num_elements, row_words, words_for};
pub use preprocess::{Colour, Preprocess, Resize};
pub use qparams::{QParams, Quantization, Range};
pub use requant::{FixedMultiplier, Requant};
pub use rng::Rng;
pub use tensor::Tensor;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use std::time::Instant;
/// The standard library's clock panics in a browser.
#[cfg(target_arch = "wasm32")]
pub(crate) use web_time::Instant;
