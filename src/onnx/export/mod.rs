//! From operations of ours to the nodes of a file.
//!
//! Images are `[n, h, w, c]` here and `[n, c, h, w]` there: a value on its way knows which of its axes here
//! each axis there is ([`Made`]), and a `Transpose` is written only where an operator needs another order.
//! Integers become `QuantizeLinear` and `DequantizeLinear` around operators of floats, which is how ONNX
//! writes a quantized network.

mod functions;
mod layers;
mod operators;
mod tensors;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::atomic::write_atomic;
use crate::base::{DType, Requant, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Source, ValueId, bake_masks};
use crate::io::FileSize;
use crate::network::Network;

/// The version of operators that every reader knows, and the first one with int4 and everything else.
const OPSETS: [i64; 2] = [13, 21];
/// Versions of the file's own form that go with them.
const IR_VERSIONS: [i64; 2] = [7, 10];
/// Largest file that protobuf allows.
const MAX_BYTES: usize = i32::MAX as usize;

/// A value in the file.
#[derive(Clone, Debug)]
struct Made {
    name: String,
    /// Axis `k` there is axis `axes[k]` of the value here.
    axes: Vec<usize>,
    /// Set where the last axis is several, flattened in the file's order: their sizes here, and which of
    /// them each one there is.
    flat: Option<(Vec<usize>, Vec<usize>)>,
}

/// What an attribute holds.
enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
    Text(&'static str),
}

struct Exporter<'g> {
    graph: &'g Graph,
    opset: i64,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    made: HashMap<ValueId, Made>,
    /// Integer values as reals.
    reals: HashMap<ValueId, Made>,
    /// Means of images as images of one pixel, `[n, c, 1, 1]`.
    pixels: HashMap<ValueId, String>,
    scales: HashMap<ValueId, String>,
    zero_points: HashMap<i32, String>,
    taken: HashSet<String>,
}

/// Writes a network as an ONNX file: fp32, fp16, or quantized (`QuantizeLinear`/`DequantizeLinear`); operators
/// of version 13, with int4 weights of version 21. Masked weights are written as zeros. Atomic.
///
/// # Errors
/// [`Error::Invalid`] naming an operation that ONNX has no operator for; [`Error::Io`] for the file.
pub fn write(network: &Network, path: impl AsRef<Path>) -> Result<FileSize> {
    let path = path.as_ref();
    let model = to_model(network)?;
    let tensor_bytes = model.graph.iter().flat_map(|graph| &graph.initializer);
    let tensor_bytes = tensor_bytes.filter_map(|tensor| tensor.raw_data.as_ref());
    let tensor_bytes: usize = tensor_bytes.map(Bytes::len).sum();
    let bytes = model.encode_to_vec();
    if bytes.len() > MAX_BYTES {
        let problem = format!("{} bytes, more than an ONNX file can have", bytes.len());
        return Err(Error::invalid("onnx", problem));
    }
    write_atomic(path, |out| out.write_all(&bytes).map_err(Error::io(path)))?;
    Ok(FileSize {
        bytes: bytes.len() as u64,
        tensor_bytes: tensor_bytes as u64,
    })
}

fn to_model(network: &Network) -> Result<ModelProto> {
    let graph = bake_masks(&network.graph)?;
    let narrow = |(_, value): (ValueId, &crate::graph::Value)| {
        matches!(value.source, Source::Param(_)) && tensors::is_int4(value)
    };
    let newer =
        graph.values().any(narrow) || graph.nodes().iter().any(|n| operators::newer(&graph, n));
    let version = usize::from(newer);
    let mut exporter = Exporter {
        graph: &graph,
        opset: OPSETS[version],
        nodes: Vec::new(),
        initializers: Vec::new(),
        made: HashMap::new(),
        reals: HashMap::new(),
        pixels: HashMap::new(),
        scales: HashMap::new(),
        zero_points: HashMap::new(),
        taken: graph.output_names().iter().cloned().collect(),
    };
    let inputs = exporter.inputs()?;
    for node in graph.nodes() {
        exporter.node(node)?;
    }
    let outputs = exporter.outputs()?;
    let proto = GraphProto {
        node: exporter.nodes,
        name: Some(network.arch.clone()),
        initializer: exporter.initializers,
        input: inputs,
        output: outputs,
    };
    let opset = OperatorSetIdProto {
        domain: Some(String::new()),
        version: Some(exporter.opset),
    };
    Ok(ModelProto {
        ir_version: Some(IR_VERSIONS[version]),
        producer_name: Some("wizen".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(proto),
        opset_import: vec![opset],
        metadata_props: metadata(network),
    })
}

/// What readers of ours want to know and others skip.
fn metadata(network: &Network) -> Vec<StringStringEntryProto> {
    let mut entries = Vec::new();
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    if let Some(preprocess) = &network.preprocess {
        entries.push(("wizen.preprocess", json(serde_json::to_string(preprocess))));
    }
    // Readers of ours round as we did; all others round to the nearest, of two to the even one.
    if network.graph.requant() == Requant::Fixed {
        entries.push(("wizen.requant", "fixed".to_owned()));
    }
    if !network.labels.is_empty() {
        entries.push(("wizen.labels", json(serde_json::to_string(&network.labels))));
    }
    if !network.history.is_empty() {
        let history = json(serde_json::to_string(&network.history));
        entries.push(("wizen.history", history));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto {
        key: Some(key.to_owned()),
        value: Some(value),
    };
    entries.into_iter().map(entry).collect()
}

/// The axes of a value in the file, as numbers of those here: channels come second in images.
fn usual(rank: usize) -> Vec<usize> {
    match rank {
        4 => vec![0, 3, 1, 2],
        rank => (0..rank).collect(),
    }
}

fn info(name: &str, elem: i32, dims: Vec<DimensionProto>) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(elem),
                shape: Some(TensorShapeProto { dim: dims }),
            }),
        }),
    }
}

impl<'g> Exporter<'g> {
    fn inputs(&mut self) -> Result<Vec<ValueInfoProto>> {
        // Operations that state a batch size themselves keep it.
        let open = self.graph.with_batch(self.graph.batch() + 1).is_ok();
        let mut infos = Vec::new();
        for id in self.graph.inputs() {
            let value = self.graph.value(id);
            let axes = usual(value.shape.len());
            let dims = axes.iter().enumerate().map(|(k, &axis)| match k {
                0 if open => DimensionProto {
                    dim_param: Some("n".into()),
                    dim_value: None,
                },
                _ => DimensionProto {
                    dim_value: Some(value.shape[axis] as i64),
                    dim_param: None,
                },
            });
            let elem = tensors::number(value.dtype);
            infos.push(info(&value.name, elem, dims.collect()));
            self.taken.insert(value.name.clone());
            let made = Made {
                name: value.name.clone(),
                axes,
                flat: None,
            };
            self.made.insert(id, made);
        }
        Ok(infos)
    }

    /// Results in the usual order of their axes, under their names.
    fn outputs(&mut self) -> Result<Vec<ValueInfoProto>> {
        let mut infos = Vec::new();
        let names = self.graph.output_names().iter();
        for (&id, name) in self.graph.outputs().iter().zip(names) {
            let value = self.graph.value(id);
            let axes = usual(value.shape.len());
            let made = self.real(id)?;
            let made = self.ordered(&made, &axes)?;
            let own = self
                .nodes
                .iter()
                .any(|node| node.output.contains(&made.name));
            let shown = self.graph.output_names().contains(&made.name);
            if own && !shown {
                let maker = self.graph.producer(id).map(|node| &node.name);
                self.rename(&made.name, name, maker == Some(name));
            } else if made.name != *name {
                self.emit_as(name, "Identity", &[&made.name], &[]);
            }
            let dims = axes.iter().enumerate().map(|(k, &axis)| DimensionProto {
                dim_value: (k > 0).then_some(value.shape[axis] as i64),
                dim_param: (k == 0).then(|| "n".to_owned()),
            });
            let elem = match value.dtype {
                DType::I32 if value.quant.is_none() => tensors::INT64,
                DType::F16 => tensors::number(DType::F16),
                _ => tensors::number(DType::F32),
            };
            infos.push(info(name, elem, dims.collect()));
        }
        Ok(infos)
    }

    /// Another name for a value, and (`maker`) for the node that makes it.
    fn rename(&mut self, from: &str, to: &str, maker: bool) {
        for node in &mut self.nodes {
            let own = node.name.iter_mut().filter(|_| maker);
            for name in node.input.iter_mut().chain(&mut node.output).chain(own) {
                if name == from {
                    to.clone_into(name);
                }
            }
        }
        for made in self.made.values_mut().chain(self.reals.values_mut()) {
            if made.name == from {
                to.clone_into(&mut made.name);
            }
        }
    }

    /// A name that nothing in the file has.
    fn fresh(&mut self, name: &str) -> String {
        let mut fresh = name.to_owned();
        let mut count = 1;
        while !self.taken.insert(fresh.clone()) {
            count += 1;
            fresh = format!("{name}_{count}");
        }
        fresh
    }

    /// A node; returns the name of its result, like `name`.
    fn emit(
        &mut self,
        name: &str,
        kind: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let name = self.fresh(name);
        self.emit_as(&name, kind, inputs, attributes);
        name
    }

    fn emit_as(
        &mut self,
        name: &str,
        kind: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        // The numbers are those of `AttributeProto.AttributeType`.
        let attribute = attributes.iter().map(|(key, value)| {
            let mut proto = AttributeProto {
                name: Some((*key).to_owned()),
                ..AttributeProto::default()
            };
            let number = match value {
                Attribute::Float(f) => {
                    proto.f = Some(*f);
                    1
                }
                Attribute::Int(i) => {
                    proto.i = Some(*i);
                    2
                }
                Attribute::Text(text) => {
                    proto.s = Some(Bytes::from_static(text.as_bytes()));
                    3
                }
                Attribute::Ints(ints) => {
                    proto.ints.clone_from(ints);
                    7
                }
            };
            proto.r#type = Some(number);
            proto
        });
        let attribute = attribute.collect();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            // What only converts needs no name of its own.
            name: (!kind.ends_with("quantizeLinear") && kind != "QuantizeLinear")
                .then(|| name.to_owned()),
            op_type: Some(kind.to_owned()),
            attribute,
            domain: None,
        });
    }

    /// A tensor of the file.
    fn constant(&mut self, name: &str, mut tensor: TensorProto) -> String {
        let name = self.fresh(name);
        tensor.name = Some(name.clone());
        self.initializers.push(tensor);
        name
    }

    fn ints(&mut self, name: &str, list: &[i64]) -> String {
        self.constant(name, tensors::ints(list))
    }

    /// A number, of the type of floats that a value has.
    fn scalar(&mut self, name: &str, value: f32, dtype: DType) -> String {
        self.constant(name, tensors::floats(&[], &[value], dtype))
    }

    /// The scale of a value, one tensor for all that mention it.
    fn scale(&mut self, id: ValueId, scale: f32) -> String {
        if let Some(name) = self.scales.get(&id) {
            return name.clone();
        }
        let name = format!("{}_scale", self.graph.value(id).name);
        let name = self.scalar(&name, scale, DType::F32);
        self.scales.insert(id, name.clone());
        name
    }

    /// A zero point, one tensor for all that have it.
    fn zero_point(&mut self, zero: i32) -> String {
        if let Some(name) = self.zero_points.get(&zero) {
            return name.clone();
        }
        let tensor = tensors::bytes(&[], &[zero as i8]);
        let name = self.constant(&format!("zero_point_{zero}"), tensor);
        self.zero_points.insert(zero, name.clone());
        name
    }

    /// A stored tensor.
    fn stored(&self, id: ValueId, at: &str) -> Result<&'g Tensor> {
        let tensor = self.graph.tensor(id);
        tensor.map(std::convert::AsRef::as_ref).ok_or_else(|| {
            let problem = format!("`{}` is computed, not stored", self.graph.value(id).name);
            Error::invalid(at, problem)
        })
    }

    /// A value as floats: integers are dequantized.
    fn real(&mut self, id: ValueId) -> Result<Made> {
        let value = self.graph.value(id);
        if let Some(made) = self.reals.get(&id) {
            return Ok(made.clone());
        }
        if let Some(made) = self.made.get(&id).cloned() {
            if value.dtype != DType::I8 {
                return Ok(made);
            }
            let quant = value.quant.clone();
            let quant = quant.ok_or_else(|| {
                Error::invalid(&value.name, "nothing says what its integers stand for")
            })?;
            let scale = self.scalar(
                &format!("{}_scale", value.name),
                quant.scales[0],
                DType::F32,
            );
            let zero = self.zero_point(quant.zero_points[0]);
            let inputs = [made.name.as_str(), &scale, &zero];
            let name = format!("{}_dq", value.name);
            let name = self.emit(&name, "DequantizeLinear", &inputs, &[]);
            let made = Made { name, ..made };
            self.reals.insert(id, made.clone());
            return Ok(made);
        }
        if !matches!(value.source, Source::Param(_)) {
            return Err(Error::invalid(&value.name, "it is used before it is made"));
        }
        // A stored tensor as an operand of its own, in the usual order.
        let axes = usual(value.shape.len());
        let name = self.parameter(id, &axes)?;
        let made = Made {
            name,
            axes,
            flat: None,
        };
        self.reals.insert(id, made.clone());
        Ok(made)
    }

    /// The value with its axes in this order in the file.
    fn ordered(&mut self, made: &Made, axes: &[usize]) -> Result<Made> {
        let made = self.settled(made);
        if made.axes == axes {
            return Ok(made);
        }
        let place = |axis: &usize| made.axes.iter().position(|a| a == axis);
        let perm: Vec<i64> = axes.iter().filter_map(place).map(|k| k as i64).collect();
        let name = format!("{}_transposed", made.name);
        let perm = [("perm", Attribute::Ints(perm))];
        let name = self.emit(&name, "Transpose", &[&made.name], &perm);
        Ok(Made {
            name,
            axes: axes.to_vec(),
            flat: None,
        })
    }

    /// The value without axes that are several in disguise.
    fn settled(&mut self, made: &Made) -> Made {
        let Some((sizes, axes)) = &made.flat else {
            return made.clone();
        };
        let apart = axes.iter().map(|&axis| sizes[axis] as i64);
        let apart: Vec<i64> = [0].into_iter().chain(apart).collect();
        let name = self.reshape(&made.name, &apart);
        let mut perm = vec![0i64; sizes.len() + 1];
        for (k, &axis) in axes.iter().enumerate() {
            perm[axis + 1] = k as i64 + 1;
        }
        let perm = [("perm", Attribute::Ints(perm))];
        let turned = format!("{}_transposed", made.name);
        let name = self.emit(&turned, "Transpose", &[&name], &perm);
        let name = self.reshape(&name, &[0, -1]);
        Made {
            name,
            axes: vec![0, 1],
            flat: None,
        }
    }

    fn reshape(&mut self, name: &str, to: &[i64]) -> String {
        let shape = self.ints(&format!("{name}_shape"), to);
        self.emit(&format!("{name}_reshaped"), "Reshape", &[name, &shape], &[])
    }

    /// Takes the result of a node: real numbers, which integers are rounded from.
    fn done(&mut self, id: ValueId, made: Made) {
        let value = self.graph.value(id);
        let quant = value.quant.as_ref().filter(|_| value.dtype == DType::I8);
        let Some(quant) = quant else {
            self.made.insert(id, made);
            return;
        };
        let q = quant.channel(0);
        let mut name = made.name.clone();
        if (q.range.qmin, q.range.qmax) != (-128, 127) {
            // Fewer steps than the 256 that `QuantizeLinear` knows.
            let ends = [q.range.qmin, q.range.qmax].map(|end| q.dequantize(end));
            let low = self.scalar(&format!("{}_low", value.name), ends[0], DType::F32);
            let high = self.scalar(&format!("{}_high", value.name), ends[1], DType::F32);
            let inputs = [name.as_str(), &low, &high];
            name = self.emit(&format!("{}_clipped", value.name), "Clip", &inputs, &[]);
        }
        let scale = self.scale(id, q.scale);
        let zero = self.zero_point(q.zero_point);
        let inputs = [name.as_str(), &scale, &zero];
        let name = format!("{}_q", value.name);
        let name = self.emit(&name, "QuantizeLinear", &inputs, &[]);
        self.made.insert(id, Made { name, ..made });
    }
}
