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

use crate::base::{DType, Preprocess, Requant};
use crate::error::{Error, Result};
use crate::graph::{Graph, fold_constants, integer_operations, name_functions};
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
    let named = |e: Error| match e {
        Error::Io { .. } => e,
        other => Error::format(path, words(&other)),
    };
    let rounding = |graph: Graph| {
        let mut graph = graph;
        if source.says("wizen.requant") == Some("fixed") {
            graph.set_requant(Requant::Fixed);
        }
        graph
    };
    let graph = import::import(&source, inputs).map(rounding);
    let graph = graph.and_then(normal_form);
    let mut network = Network::new("onnx", graph.map_err(named)?);
    let entries = source.model.metadata_props.iter();
    for (key, value) in
        entries.filter_map(|entry| Some((entry.key.as_deref()?, entry.value.as_deref()?)))
    {
        // What we wrote ourselves; a file that somebody else changed may say anything.
        match key {
            "wizen.preprocess" => {
                let preprocess: Option<Preprocess> = serde_json::from_str(value).ok();
                network.preprocess = preprocess.filter(|p| p.check().is_ok());
            }
            "wizen.labels" => network.labels = serde_json::from_str(value).unwrap_or_default(),
            "wizen.history" => network.history = serde_json::from_str(value).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(network)
}

/// The form in which networks are trained, pruned and quantized: functions have their names, constants behind
/// a layer are part of it, and what is spelled as integers between floats is integers.
fn normal_form(graph: Graph) -> Result<Graph> {
    let quantized = graph.values().any(|(_, value)| value.dtype == DType::I8);
    if !quantized {
        return fold_constants(&name_functions(&graph)?);
    }
    let (graph, floats) = integer_operations(&name_functions(&graph)?)?;
    if !floats.is_empty() {
        log::warn!(
            "these layers of a quantized network compute with floats: {}",
            floats.join(", ")
        );
    }
    Ok(graph)
}

/// An error's sentence, for a place that says itself which file it is about.
fn words(error: &Error) -> String {
    match error {
        Error::Invalid { op, problem } if op == "onnx" => problem.clone(),
        other => other.to_string(),
    }
}
