//! wizen.
pub mod base;
mod error;
pub mod io;

pub use error::{Error, Result};
