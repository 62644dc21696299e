//! wizen.
pub mod base;
mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod quant;

pub use error::{Error, Result};
