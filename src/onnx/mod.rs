//! Networks as ONNX files (<https://onnx.ai>), read into the operations of [`crate::graph`].
//!
//! Images are `[n, c, h, w]` in these files and `[n, h, w, c]` here: a value with four axes is taken and
//! given with its channels last, everything else as the file has it. Names of inputs, results, nodes and
//! weights stay.

mod array;
mod attributes;
mod export;
mod file;
mod fold;
mod import;
mod proto;

pub use export::write;

use std::path::Path;

use crate::error::{Error, Result};
use crate::network::Network;

/// Sizes of inputs that a file leaves open, by name, as the file orders them (`[n, c, h, w]`).
pub type InputShapes = [(String, Vec<usize>)];

/// Reads the network of an ONNX file (operators of version 1 to 30 of the default domain).
///
/// What an input leaves open `inputs` says; an open first size (the batch) is 1.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a damaged file, or naming the node that cannot be read and why.
pub fn read(path: impl AsRef<Path>, inputs: &InputShapes) -> Result<Network> {
    let path = path.as_ref();
    let source = file::Source::read(path)?;
    let graph = import::import(&source, inputs).map_err(|e| match e {
        Error::Io { .. } => e,
        other => Error::format(path, words(&other)),
    })?;
    Ok(Network::new("onnx", graph))
}

/// An error's sentence, for a place that says itself which file it is about.
fn words(error: &Error) -> String {
    match error {
        Error::Invalid { op, problem } if op == "onnx" => problem.clone(),
        other => other.to_string(),
    }
}
