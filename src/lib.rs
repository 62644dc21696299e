//! wizen.
pub mod base;
mod error;
pub mod io;
#[cfg(feature = "report")]
pub mod report;

pub use error::{Error, Result};
