//! Quantization: where and with which parameters, calibration, integers, fake quantization, errors.
//!
//! Graph → graph: [`insert_fake_quant`] for training, [`freeze`] into integers (post-training and
//! quantization-aware training end in the same function), [`to_f16`], [`to_weight_only`].

mod calibrate;
mod equalize;
mod error;
mod fake;
mod float16;
mod freeze;
mod histogram;
mod points;
mod qparams;
#[cfg(feature = "reconstruct")]
mod reconstruct;
mod report;
mod scheme;
#[cfg(feature = "reconstruct")]
mod solve;
#[cfg(feature = "reconstruct")]
mod sums;
#[cfg(feature = "reconstruct")]
mod sweep;
mod weights;

pub use calibrate::{Calibration, Observer, calibrate};
pub use equalize::channel_peaks;
pub(crate) use error::Sums;
pub use error::{clipped_share, cosine, sqnr_db};
pub use fake::{FakeQuantized, LearnedScale, adopt_scales, insert_fake_quant, snap_parameters};
pub use float16::{to_f16, to_weight_only};
pub use freeze::{freeze, prepare};
pub use histogram::{Search, entropy, mse, non_linear, percentile, search, squared_error};
pub use points::{QuantParams, has_weights, weights_of};
pub use qparams::{Convention, choose};
#[cfg(feature = "reconstruct")]
pub use reconstruct::{Reconstructed, reconstruct};
pub use report::{LayerReport, layer_costs, layer_reports};
pub use scheme::{LayerSchemes, Preset, Scheme};
#[cfg(feature = "reconstruct")]
pub use sweep::live_bytes;
pub use weights::{
    WeightMethod, binarize_weights, choose_weights, dequantize, quantize_weights,
    weight_quantization,
};
