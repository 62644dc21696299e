//! Model files: safetensors whose metadata describe the network, so that any of them runs as it is.
//!
//! Metadata keys: `wizen.format` (version of this layout) and `wizen.model` (JSON: architecture, graph, what
//! integers stand for, encodings, labels, history). Tensors are stored as themselves where safetensors has
//! their type; integer weights of fewer than 8 bits are packed bits; tensors with many zeros become a bit
//! mask and the values that are not zero; scales of single channels are tensors of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::container::{read_safetensors, write_safetensors};
use super::encoding::{Encoding, beside, decode, encode};
use super::stored::{StoredTensor, StoredType};
use super::weights::{Form, file_form, read_weights};
use crate::base::{DType, Preprocess, Quantization, Range, Requant, Shape, is_addressable};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Source, ValueId};
use crate::network::{Event, Network};

const FORMAT_KEY: &str = "wizen.format";
const MODEL_KEY: &str = "wizen.model";
const FORMAT: &str = "2";

#[derive(Serialize, Deserialize)]
struct Saved {
    arch: String,
    #[serde(default)]
    requant: Requant,
    inputs: Vec<SavedInput>,
    nodes: Vec<SavedNode>,
    /// Name of the result, and of its value.
    outputs: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    encodings: BTreeMap<String, Encoding>,
    /// What the integers of tensors stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    quants: BTreeMap<String, SavedQuant>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preprocess: Option<Preprocess>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<Event>,
}

#[derive(Serialize, Deserialize)]
struct SavedInput {
    name: String,
    dtype: DType,
    shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quant: Option<SavedQuant>,
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
    /// What the integers of the first result stand for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quant: Option<SavedQuant>,
}

/// [`Quantization`] in a file: one scale in the description, several in a tensor.
#[derive(Serialize, Deserialize)]
struct SavedQuant {
    range: Range,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    axis: Option<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    binary: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    /// The tensor that holds the scales.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scales: Option<String>,
    /// All 0 where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    zero_points: Vec<i32>,
}

/// Tensors of a file being written, and the names that are taken.
struct Written {
    tensors: Vec<(String, StoredTensor)>,
    taken: BTreeSet<String>,
}

impl Written {
    fn quant(&mut self, name: &str, quant: &Quantization) -> Result<SavedQuant> {
        let mut saved = SavedQuant {
            range: quant.range,
            axis: quant.axis,
            binary: quant.binary,
            scale: None,
            scales: None,
            zero_points: Vec::new(),
        };
        if quant.zero_points.iter().any(|&z| z != 0) {
            saved.zero_points.clone_from(&quant.zero_points);
        }
        match quant.scales.as_slice() {
            &[scale] if quant.axis.is_none() => saved.scale = Some(scale),
            scales => {
                let bytes: Vec<u8> = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
                let tensor = StoredTensor::new(StoredType::F32, &[scales.len()], bytes)?;
                let name = beside(name, "scale", &mut self.taken);
                self.tensors.push((name.clone(), tensor));
                saved.scales = Some(name);
            }
        }
        Ok(saved)
    }
}

impl SavedQuant {
    fn load(self, name: &str, stored: &mut BTreeMap<String, StoredTensor>) -> Result<Quantization> {
        let scales = match (self.scale, &self.scales) {
            (Some(scale), _) => vec![scale],
            (None, Some(tensor)) => {
                let tensor = stored.remove(tensor).ok_or_else(|| {
                    Error::invalid("model", format!("the scales of `{name}` are missing"))
                })?;
                tensor.to_f32()?
            }
            (None, None) => Vec::new(),
        };
        let zero_points = match self.zero_points.is_empty() {
            true => vec![0; scales.len()],
            false => self.zero_points,
        };
        let quant = Quantization {
            axis: self.axis,
            scales,
            zero_points,
            range: self.range,
            binary: self.binary,
        };
        quant.check(name)?;
        Ok(quant)
    }
}

/// Sizes of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// The whole file.
    pub bytes: u64,
    /// Tensor bytes alone.
    pub tensor_bytes: u64,
}

impl Network {
    /// Writes the network; atomic.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a graph with application kernels in it, [`Error::Io`] for the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<FileSize> {
        let path = path.as_ref();
        let (saved, tensors) = to_saved(self)?;
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

    /// Reads a file that [`Network::save`] wrote; the tensors as they are if it is somebody else's
    /// ([`read_weights`]).
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`] for unreadable, truncated or inconsistent files.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded> {
        let path = path.as_ref();
        if file_form(path)? != Form::Safetensors {
            return Ok(Loaded::Foreign(read_weights(path)?));
        }
        let (metadata, tensors) = read_safetensors(path)?;
        let (Some(format), Some(json)) = (metadata.get(FORMAT_KEY), metadata.get(MODEL_KEY)) else {
            return Ok(Loaded::Foreign(tensors));
        };
        if format != FORMAT {
            let older = format.parse::<u32>().is_ok_and(|f| f < 2);
            let remedy = match older {
                true => "make it anew from its float weights",
                false => "update wizen",
            };
            let problem =
                format!("it has format {format}, this version reads format {FORMAT}; {remedy}");
            return Err(Error::format(path, problem));
        }
        let saved: Saved = serde_json::from_str(json)
            .map_err(|e| Error::format(path, format!("its description is damaged: {e}")))?;
        // A file may claim anything: what does not fit together is the file's fault.
        let network = from_saved(saved, tensors).map_err(|e| match e {
            Error::Io { .. } | Error::Format { .. } => e,
            other => Error::format(path, other.to_string()),
        })?;
        Ok(Loaded::Wizen(Box::new(network)))
    }
}

fn to_saved(network: &Network) -> Result<(Saved, Vec<(String, StoredTensor)>)> {
    let graph = &network.graph;
    let name = |id: &ValueId| graph.value(*id).name.clone();
    let params = graph
        .values()
        .filter(|(_, value)| matches!(value.source, Source::Param(_)));
    let mut written = Written {
        tensors: Vec::new(),
        taken: params.map(|(_, value)| value.name.clone()).collect(),
    };
    let (mut encodings, mut quants, mut inputs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (_, value) in graph.values() {
        match &value.source {
            Source::Node => {}
            Source::Input => {
                let quant = value.quant.as_ref();
                let quant = quant.map(|q| written.quant(&value.name, q)).transpose()?;
                inputs.push(SavedInput {
                    name: value.name.clone(),
                    dtype: value.dtype,
                    shape: value.shape.clone(),
                    quant,
                });
            }
            Source::Param(param) => {
                let bits = value.quant.as_ref().map_or(8, Quantization::bits);
                let mask = param.mask.as_deref();
                let Written { tensors, taken } = &mut written;
                let encoding = encode(&value.name, &param.tensor, bits, mask, taken, tensors)?;
                if let Some(encoding) = encoding {
                    encodings.insert(value.name.clone(), encoding);
                }
                if let Some(quant) = &value.quant {
                    let saved = written.quant(&value.name, quant)?;
                    quants.insert(value.name.clone(), saved);
                }
            }
        }
    }
    let mut nodes = Vec::new();
    for node in graph.nodes() {
        let outputs: Vec<String> = node.outputs.iter().map(name).collect();
        let first = node.outputs.first().map(|&id| graph.value(id));
        let quant = first.filter(|value| value.dtype == DType::I8);
        let quant = quant.and_then(|value| value.quant.as_ref());
        nodes.push(SavedNode {
            name: node.name.clone(),
            op: node.op.clone(),
            inputs: node.inputs.iter().map(name).collect(),
            quant: quant.map(|q| written.quant(&node.name, q)).transpose()?,
            outputs: match outputs == [node.name.clone()] {
                true => Vec::new(),
                false => outputs,
            },
        });
    }
    let outputs = graph.output_names().iter().cloned();
    let saved = Saved {
        arch: network.arch.clone(),
        requant: graph.requant(),
        inputs,
        nodes,
        outputs: outputs.zip(graph.outputs().iter().map(name)).collect(),
        encodings,
        quants,
        labels: network.labels.clone(),
        preprocess: network.preprocess.clone(),
        history: network.history.clone(),
    };
    Ok((saved, written.tensors))
}

/// What a safetensors file turned out to be.
#[derive(Debug)]
pub enum Loaded {
    /// One of ours.
    Wizen(Box<Network>),
    /// Tensors without a description of the network.
    Foreign(Vec<(String, StoredTensor)>),
}

fn from_saved(mut saved: Saved, tensors: Vec<(String, StoredTensor)>) -> Result<Network> {
    let mut stored: BTreeMap<String, StoredTensor> = tensors.into_iter().collect();
    let mut graph = Graph::new();
    graph.set_requant(saved.requant);
    let mut values: BTreeMap<String, ValueId> = BTreeMap::new();
    for input in saved.inputs {
        let SavedInput {
            name,
            dtype,
            shape,
            quant,
        } = input;
        if shape.is_empty() || shape.contains(&0) || !is_addressable(&shape) {
            let problem = format!("the input `{name}` cannot have the shape {shape:?}");
            return Err(Error::invalid("model", problem));
        }
        let id = match quant {
            Some(quant) => graph.input_quantized(&name, &shape, quant.load(&name, &mut stored)?),
            None => graph.input(&name, dtype, &shape),
        };
        values.insert(name, id);
    }
    for node in saved.nodes {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            if let Some(&id) = values.get(name) {
                inputs.push(id);
                continue;
            }
            let decoded = decode(name, saved.encodings.get(name), &mut stored)?;
            let quant = saved.quants.remove(name);
            let quant = quant.map(|q| q.load(name, &mut stored)).transpose()?;
            let id = match quant {
                Some(quant) => graph.param_quantized(name, decoded.tensor, quant),
                None => graph.param(name, decoded.tensor),
            };
            if let Some(mask) = decoded.mask {
                graph.set_mask(id, Some(Arc::new(mask)))?;
            }
            values.insert(name.clone(), id);
            inputs.push(id);
        }
        let quant = node.quant.map(|q| q.load(&node.name, &mut stored));
        let outputs = graph.push_as(&node.name, node.op, &inputs, quant.transpose()?)?;
        let names = match node.outputs.is_empty() {
            true => vec![node.name],
            false => node.outputs,
        };
        if names.len() != outputs.len() {
            let problem = format!("a node has {} results", outputs.len());
            return Err(Error::invalid("model", problem));
        }
        values.extend(names.into_iter().zip(outputs));
    }
    if let Some(preprocess) = &saved.preprocess {
        preprocess.check()?;
    }
    for (name, value) in &saved.outputs {
        let id = values.get(value).ok_or_else(|| {
            Error::invalid("model", format!("its result `{name}` is made by no node"))
        })?;
        graph.output_named(name, *id);
    }
    Ok(Network {
        arch: saved.arch,
        graph,
        labels: saved.labels,
        preprocess: saved.preprocess,
        history: saved.history,
    })
}
