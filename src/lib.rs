//! wizen.
pub mod base;
mod error;

pub use error::{Error, Result};
