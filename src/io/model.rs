//! Model files: safetensors whose metadata describe the network, so that any of them runs as it is.
//!
//! Metadata keys: `wizen.format` (version of this layout) and `wizen.model` (JSON: architecture,
//! precision, graph, encodings, history). Tensors are stored as themselves where safetensors has their
//! type; integer weights of fewer than 8 bits are packed bits; tensors with many zeros become a bit mask
//! and the values that are not zero; requantisation multipliers become one f32 per channel.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::container::{read_safetensors, write_safetensors};
use super::encoding::{Encoding, decode, encode};
use super::stored::StoredTensor;
use crate::base::{DType, QParams, Shape, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Source, ValueId};

const FORMAT_KEY: &str = "wizen.format";
const MODEL_KEY: &str = "wizen.model";
const FORMAT: &str = "1";

/// One thing that was done to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The command (`train`, `prune`, `quantize`, `qat`).
    pub did: String,
    /// With what settings, and what came out.
    pub with: String,
}

/// A network with its weights and its history.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Architecture it was built from (`lenet5`).
    pub arch: String,
    /// `fp32`, `fp16`, `int8`, `w4a8`, …
    pub precision: String,
    /// The network, for batches of one image.
    pub graph: Graph,
    /// Bit-packed masks of pruned parameters, by parameter name (`u32 [⌈n / 32⌉]`).
    pub masks: BTreeMap<String, Tensor>,
    /// Bits of integer weights, by parameter name; 8 where absent.
    pub bits: BTreeMap<String, u32>,
    /// Quantization of activations, by value name.
    pub activations: BTreeMap<String, QParams>,
    /// What was done to it, oldest first.
    pub history: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    arch: String,
    precision: String,
    /// Name, type, shape.
    inputs: Vec<(String, DType, Shape)>,
    /// Names of stored tensors in the order in which nodes use them first.
    nodes: Vec<SavedNode>,
    outputs: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    encodings: BTreeMap<String, Encoding>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    activations: BTreeMap<String, QParams>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    name: String,
    op: Op,
    #[serde(rename = "in")]
    inputs: Vec<String>,
    /// Names of the results; left out where the only one is called like the node.
    #[serde(rename = "out", default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<String>,
}

/// Sizes of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// The whole file.
    pub bytes: u64,
    /// Tensor bytes alone.
    pub tensor_bytes: u64,
}

impl Model {
    /// Writes the model; atomic.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a graph with application kernels in it, [`Error::Io`] for the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<FileSize> {
        let path = path.as_ref();
        let (saved, tensors) = self.to_saved()?;
        let json = serde_json::to_string(&saved)
            .map_err(|e| Error::invalid("save", format!("the graph cannot be written: {e}")))?;
        let metadata =
            BTreeMap::from([(FORMAT_KEY.into(), FORMAT.into()), (MODEL_KEY.into(), json)]);
        write_safetensors(path, metadata, &tensors)?;
        let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let tensor_bytes = tensors
            .iter()
            .map(|(_, tensor)| tensor.bytes.len() as u64)
            .sum();
        Ok(FileSize {
            bytes,
            tensor_bytes,
        })
    }

    fn to_saved(&self) -> Result<(Saved, Vec<(String, StoredTensor)>)> {
        let name = |id: &ValueId| self.graph.value(*id).name.clone();
        let mut tensors = Vec::new();
        let mut encodings = BTreeMap::new();
        for (id, value) in self.graph.values() {
            let Source::Param(tensor) = &value.source else {
                continue;
            };
            let users: Vec<_> = self.graph.users(id).collect();
            let requant = users.iter().find_map(|node| match &node.op {
                Op::LinearI8 { out } | Op::Conv2dI8 { out, .. }
                    if node.inputs.get(3) == Some(&id) =>
                {
                    Some(out.requant)
                }
                _ => None,
            });
            let bits = self.bits.get(&value.name).copied().unwrap_or(8);
            let mask = self.masks.get(&value.name);
            let encoding = encode(&value.name, tensor, bits, mask, requant, &mut tensors)?;
            if let Some(encoding) = encoding {
                encodings.insert(value.name.clone(), encoding);
            }
        }
        let nodes = self
            .graph
            .nodes()
            .iter()
            .map(|node| {
                let outputs: Vec<String> = node.outputs.iter().map(name).collect();
                SavedNode {
                    name: node.name.clone(),
                    op: node.op.clone(),
                    inputs: node.inputs.iter().map(name).collect(),
                    outputs: if outputs == [node.name.clone()] {
                        Vec::new()
                    } else {
                        outputs
                    },
                }
            })
            .collect();
        let inputs = self.graph.inputs().into_iter().map(|id| {
            let value = self.graph.value(id);
            (value.name.clone(), value.dtype, value.shape.clone())
        });
        let saved = Saved {
            arch: self.arch.clone(),
            precision: self.precision.clone(),
            inputs: inputs.collect(),
            nodes,
            outputs: self.graph.outputs().iter().map(name).collect(),
            encodings,
            activations: self.activations.clone(),
            history: self.history.clone(),
        };
        Ok((saved, tensors))
    }

    /// Reads a file that [`Model::save`] wrote; `None` if it is a safetensors file of somebody else,
    /// whose tensors are then returned as they are.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`] for unreadable, truncated or inconsistent files.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded> {
        let path = path.as_ref();
        let (metadata, tensors) = read_safetensors(path)?;
        let (Some(format), Some(json)) = (metadata.get(FORMAT_KEY), metadata.get(MODEL_KEY)) else {
            return Ok(Loaded::Foreign(tensors));
        };
        if format != FORMAT {
            let problem =
                format!("it has format {format}, this version reads format {FORMAT}; update wizen");
            return Err(Error::format(path, problem));
        }
        let saved: Saved = serde_json::from_str(json)
            .map_err(|e| Error::format(path, format!("its description is damaged: {e}")))?;
        // A file may claim anything: what does not fit together is the file's fault.
        let model = from_saved(saved, tensors).map_err(|e| match e {
            Error::Io { .. } | Error::Format { .. } => e,
            other => Error::format(path, other.to_string()),
        })?;
        Ok(Loaded::Wizen(Box::new(model)))
    }
}

/// What a safetensors file turned out to be.
#[derive(Debug)]
pub enum Loaded {
    /// One of ours.
    Wizen(Box<Model>),
    /// Tensors without a description of the network.
    Foreign(Vec<(String, StoredTensor)>),
}

fn from_saved(saved: Saved, tensors: Vec<(String, StoredTensor)>) -> Result<Model> {
    let mut stored: BTreeMap<String, StoredTensor> = tensors.into_iter().collect();
    let mut model = Model {
        arch: saved.arch,
        precision: saved.precision,
        activations: saved.activations,
        history: saved.history,
        ..Model::default()
    };
    let mut values: BTreeMap<String, ValueId> = BTreeMap::new();
    for (name, dtype, shape) in &saved.inputs {
        if shape.is_empty() {
            return Err(Error::invalid(
                "model",
                format!("the input `{name}` has no axes"),
            ));
        }
        values.insert(name.clone(), model.graph.input(name, *dtype, shape));
    }
    for node in saved.nodes {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            if let Some(&id) = values.get(name) {
                inputs.push(id);
                continue;
            }
            let encoding = saved.encodings.get(name);
            let decoded = decode(name, encoding, &mut stored)?;
            if let Some(bits) = encoding.and_then(Encoding::bits) {
                model.bits.insert(name.clone(), bits);
            }
            if let Some(mask) = decoded.mask {
                model.masks.insert(name.clone(), mask);
            }
            let id = model.graph.param(name, decoded.tensor);
            values.insert(name.clone(), id);
            inputs.push(id);
        }
        let outputs = model.graph.push_all(&node.name, node.op, &inputs)?;
        let names = if node.outputs.is_empty() {
            vec![node.name]
        } else {
            node.outputs
        };
        if names.len() != outputs.len() {
            return Err(Error::invalid(
                "model",
                format!("a node has {} results", outputs.len()),
            ));
        }
        values.extend(names.into_iter().zip(outputs));
    }
    for name in &saved.outputs {
        let id = values.get(name).ok_or_else(|| {
            Error::invalid("model", format!("its result `{name}` is made by no node"))
        })?;
        model.graph.output(*id);
    }
    Ok(model)
}
