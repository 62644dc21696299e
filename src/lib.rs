//! wizen.
pub mod base;
mod error;
pub mod gpu;
pub mod graph;
pub mod io;
pub mod kernels;
pub mod models;
pub mod prune;
pub mod quant;
#[cfg(feature = "report")]
pub mod report;
pub mod train;

pub use error::{Error, Result};
