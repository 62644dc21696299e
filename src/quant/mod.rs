//! Quantization on the host: from what observers saw to parameters, and from weights to integers.

mod error;
mod histogram;
mod qparams;
mod weights;

pub use error::{clipped_share, cosine, sqnr_db};
pub use histogram::{Search, entropy, mse, non_linear, percentile, search};
pub use qparams::{Convention, choose};
pub use weights::{
    WeightMethod, binarize_weights, dequantize, quantize_weights, weight_quantization,
};
