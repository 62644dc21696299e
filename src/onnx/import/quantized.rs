//! Quantized networks: `QuantizeLinear` and `DequantizeLinear` are operations of ours, and operators that
//! take integers and their scales are read as these two around an operator of floats.
//! [`crate::graph::integer_operations`] then finds what is an operation on integers.

use super::{Importer, Live, Operand, Slot};
use crate::base::{DType, QParams, Quantization, Range, Tensor};
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Dequantize, Quantize};
use crate::onnx::array::{Array, Elem};
use crate::onnx::attributes::Reading;
use crate::onnx::fold;
use crate::onnx::proto::{AttributeProto, NodeProto};

/// A constant that the file stores as integers.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Zero points taken off.
    pub integers: Array,
    pub scales: Vec<f32>,
    /// Axis whose slices have scales of their own; `None` = one for all.
    pub axis: Option<usize>,
    /// The integers that the type of the file allows, zero points taken off.
    pub range: Range,
}

impl Importer<'_> {
    /// What the file's scale and zero point stand for, of a whole tensor.
    fn quantization(
        &self,
        node: &Reading<'_>,
        scale: &Array,
        zero_point: Option<&Array>,
        elem: Elem,
    ) -> Result<Quantization> {
        let (Some(scale), true) = (
            scale.scalar(),
            zero_point.is_none_or(|zero| zero.len() == 1),
        ) else {
            return Err(node.wrong("activations with more than one scale"));
        };
        let range = elem.range().filter(|[low, high]| high - low <= 255);
        let Some([low, high]) = range else {
            return Err(node.wrong(format!("activations of {elem:?}; wizen has 8 bits")));
        };
        // Unsigned integers are signed ones, moved.
        let moved = if low == 0 { (high + 1) / 2 } else { 0 };
        let zero = zero_point.map_or(0, |zero| zero.to_i64()[0]) - moved;
        let range = Range {
            qmin: (low - moved) as i32,
            qmax: (high - moved) as i32,
        };
        let params = QParams {
            scale,
            zero_point: zero as i32,
            range,
        };
        let quant = Quantization::per_tensor(params);
        quant.check(node.name)?;
        Ok(quant)
    }

    pub(super) fn quantized(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        Ok(Some(match node.kind() {
            "QuantizeLinear" => {
                let x = self.live(node, 0)?;
                let scale = self.required(node, 1)?;
                let zero = self.constant(node, 2)?;
                let elem = zero.as_ref().map_or(Elem::U8, |zero| zero.elem);
                let elem = match node.has("output_dtype") {
                    true => node.elem("output_dtype")?,
                    false => elem,
                };
                let quant = self.quantization(node, &scale, zero.as_deref(), elem)?;
                let x_id = self.as_f32(node, &x)?;
                let id = self
                    .graph
                    .push_quantized(node.name, Quantize, &[x_id], quant)?;
                Live { id, ..x }
            }
            "DequantizeLinear" => {
                let x = self.live(node, 0)?;
                let scale = self.required(node, 1)?;
                let zero = self.constant(node, 2)?;
                let value = self.graph.value(x.id);
                let known = value.quant.clone();
                let known = known.ok_or_else(|| node.wrong("its operand is no quantized value"))?;
                let unsigned = zero.as_ref().map(|zero| zero.elem);
                if let Some(elem) = unsigned {
                    let stated = self.quantization(node, &scale, zero.as_deref(), elem)?;
                    if stated.scales != known.scales || stated.zero_points != known.zero_points {
                        return Err(node.wrong(
                            "its scale and zero point are not those that its operand was quantized with",
                        ));
                    }
                }
                let id = self.graph.push(node.name, Dequantize, &[x.id])?;
                Live { id, ..x }
            }
            _ => return Ok(None),
        }))
    }

    fn as_f32(&mut self, node: &Reading<'_>, x: &Live) -> Result<ValueId> {
        if self.dtype(x) != DType::F16 {
            return Ok(x.id);
        }
        let to = DType::F32;
        let name = self.fresh(&format!("{}/f32", node.name));
        self.graph
            .push(&name, crate::graph::ops::Cast { to }, &[x.id])
    }

    /// Keeps the integers of a constant `DequantizeLinear`, for layers that want them.
    pub(super) fn keep_integers(&mut self, node: &Reading<'_>) -> Result<()> {
        let (q, scale) = (self.required(node, 0)?, self.required(node, 1)?);
        let zero = self.constant(node, 2)?;
        let Some([low, high]) = q.elem.range().filter(|_| q.shape.len() <= 4) else {
            return Ok(());
        };
        let scales = scale.to_f32();
        let zeros = zero.map_or_else(|| vec![0; scales.len()], |zero| zero.to_i64());
        let axis = match scales.len() {
            1 => None,
            n => {
                let axis = node.axis(node.int("axis", 1), q.shape.len())?;
                if q.shape[axis] != n || zeros.len() != n {
                    return Ok(());
                }
                Some(axis)
            }
        };
        let slice = axis.map_or(usize::MAX, |axis| q.shape[axis + 1..].iter().product());
        let mut data = q.to_i64();
        for (i, x) in data.iter_mut().enumerate() {
            *x -= zeros[i / slice % zeros.len()];
        }
        let wide = q.elem == Elem::I32;
        if !wide && data.iter().any(|x| !(-128..=127).contains(x)) {
            log::warn!(
                "{}: its integers have zero points that int8 weights cannot have; it stays float",
                node.name
            );
            return Ok(());
        }
        let moved = if low == 0 { (high + 1) / 2 } else { 0 };
        let stored = Stored {
            integers: Array::ints(&q.shape, data),
            scales,
            axis,
            range: Range {
                qmin: (low - moved) as i32,
                qmax: (high - moved) as i32,
            },
        };
        if let Some(name) = node.proto.output.first() {
            self.integers.insert(name.clone(), stored);
        }
        Ok(())
    }

    /// Weights that the file stores as integers, as reals of the graph: `arrange` puts a tensor of the file
    /// into the shape and order of ours, the output channels of `axis` first.
    pub(super) fn integer_weights(
        &mut self,
        name: &str,
        form: &str,
        axis: usize,
        arrange: impl FnOnce(Array) -> Array,
    ) -> Result<Option<ValueId>> {
        let Some(stored) = self.integers.get(name) else {
            return Ok(None);
        };
        let fits = stored.axis.is_none_or(|own| own == axis) && stored.range.qmax <= 127;
        if !fits {
            return Ok(None);
        }
        let stored = stored.clone();
        let key = (name.to_owned(), format!("integers {form}"));
        if let Some(&id) = self.params.get(&key) {
            return Ok(Some(id));
        }
        let arranged = arrange(stored.integers);
        let data: Vec<i8> = arranged.to_i64().iter().map(|&x| x as i8).collect();
        let tensor = Tensor::from_i8(&arranged.shape, &data)?;
        let quant = Quantization {
            axis: stored.axis.map(|_| 0),
            zero_points: vec![0; stored.scales.len()],
            scales: stored.scales,
            range: stored.range,
            binary: false,
        };
        let param = self.graph.param_quantized(name, tensor, quant);
        let real = self.fresh(&format!("dequantize {name}"));
        let id = self.graph.push(&real, Dequantize, &[param])?;
        self.params.insert(key, id);
        Ok(Some(id))
    }

    /// An int32 bias that the file stores as such, as reals of the graph.
    pub(super) fn integer_bias(&mut self, name: &str) -> Result<Option<ValueId>> {
        let Some(stored) = self.integers.get(name).cloned() else {
            return Ok(None);
        };
        let key = (name.to_owned(), "integer bias".to_owned());
        if let Some(&id) = self.params.get(&key) {
            return Ok(Some(id));
        }
        let data: Vec<i32> = stored.integers.to_i64().iter().map(|&x| x as i32).collect();
        let tensor = Tensor::from_i32(&[data.len()], &data)?;
        let quant = Quantization {
            axis: stored.axis.map(|_| 0),
            zero_points: vec![0; stored.scales.len()],
            scales: stored.scales,
            range: Range {
                qmin: i32::MIN,
                qmax: i32::MAX,
            },
            binary: false,
        };
        let param = self.graph.param_quantized(name, tensor, quant);
        let real = self.fresh(&format!("dequantize {name}"));
        let id = self.graph.push(&real, Dequantize, &[param])?;
        self.params.insert(key, id);
        Ok(Some(id))
    }

    /// An operator on integers as operators that ONNX itself would write around one of floats; `None` if it
    /// is not one.
    pub(super) fn spelled_out(&mut self, node: &Reading<'_>) -> Result<Option<Vec<NodeProto>>> {
        let proto = node.proto;
        let at = |i: usize| proto.input.get(i).cloned().unwrap_or_default();
        let name = |what: &str| format!("{}/{what}", node.name);
        let mut nodes = Vec::new();
        let mut dequantize = |what: &str, from: [usize; 3], axis: Option<i64>| -> String {
            let out = name(what);
            let inputs = from.map(at).to_vec();
            let attribute = axis.map(|axis| attribute("axis", axis)).into_iter();
            nodes.push(operator(
                "DequantizeLinear",
                inputs,
                &out,
                attribute.collect(),
            ));
            out
        };
        let (float, quantized): (NodeProto, Option<[String; 2]>) = match node.kind() {
            "QLinearConv" => {
                let x = dequantize("x", [0, 1, 2], None);
                let w = dequantize("w", [3, 4, 5], Some(0));
                let mut inputs = vec![x, w];
                if !at(8).is_empty() {
                    inputs.push(self.bias_reals(node, 8, (1, 4))?);
                }
                let attributes = proto.attribute.clone();
                let conv = operator("Conv", inputs, &name("sum"), attributes);
                (conv, Some([at(6), at(7)]))
            }
            "QLinearMatMul" => {
                let a = dequantize("a", [0, 1, 2], None);
                let b = dequantize("b", [3, 4, 5], Some(1));
                let product = operator("MatMul", vec![a, b], &name("sum"), Vec::new());
                (product, Some([at(6), at(7)]))
            }
            "QGemm" => {
                let turned = node.flag("transB", false);
                let a = dequantize("a", [0, 1, 2], None);
                let b = dequantize("b", [3, 4, 5], Some(i64::from(!turned)));
                let mut inputs = vec![a, b];
                if !at(6).is_empty() {
                    inputs.push(self.bias_reals(node, 6, (1, 4))?);
                }
                let product = operator("Gemm", inputs, &name("sum"), proto.attribute.clone());
                (product, (!at(7).is_empty()).then(|| [at(7), at(8)]))
            }
            "QLinearAdd" | "QLinearMul" => {
                let a = dequantize("a", [0, 1, 2], None);
                let b = dequantize("b", [3, 4, 5], None);
                let kind = node.kind().trim_start_matches("QLinear");
                let both = operator(kind, vec![a, b], &name("sum"), Vec::new());
                (both, Some([at(6), at(7)]))
            }
            "QLinearConcat" => {
                let count = proto.input.len().saturating_sub(2) / 3;
                let parts = (0..count).map(|i| {
                    let first = 2 + 3 * i;
                    dequantize(&format!("x{i}"), [first, first + 1, first + 2], None)
                });
                let parts = parts.collect();
                let all = operator("Concat", parts, &name("all"), proto.attribute.clone());
                (all, Some([at(0), at(1)]))
            }
            "QLinearGlobalAveragePool"
            | "QLinearAveragePool"
            | "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearSoftmax"
            | "QLinearReduceMean" => {
                if node.flag("channels_last", false) {
                    return Err(node.wrong("`channels_last` is set"));
                }
                let x = dequantize("x", [0, 1, 2], None);
                let kind = match node.kind() {
                    "QLinearGlobalAveragePool" => "GlobalAveragePool",
                    "QLinearAveragePool" => "AveragePool",
                    "QLinearSigmoid" => "Sigmoid",
                    "QLinearLeakyRelu" => "LeakyRelu",
                    "QLinearReduceMean" => "ReduceMean",
                    _ => "Softmax",
                };
                let attributes = proto.attribute.iter();
                let own = ["channels_last", "opset"];
                let attributes = attributes
                    .filter(|a| !own.contains(&a.name.as_deref().unwrap_or("")))
                    .cloned()
                    .collect();
                let y = operator(kind, vec![x], &name("y"), attributes);
                (y, Some([at(3), at(4)]))
            }
            _ => return Ok(None),
        };
        let result = proto.output.first().cloned().unwrap_or_default();
        match quantized {
            Some([scale, zero]) => {
                let from = float.output[0].clone();
                nodes.push(float);
                let mut last = operator(
                    "QuantizeLinear",
                    vec![from, scale, zero],
                    &result,
                    Vec::new(),
                );
                last.name.clone_from(&proto.name);
                nodes.push(last);
            }
            None => nodes.push(NodeProto {
                output: vec![result],
                ..float
            }),
        }
        Ok(Some(nodes))
    }

    /// An int32 bias in units of the scales of two other operands, as a constant of its own.
    fn bias_reals(
        &mut self,
        node: &Reading<'_>,
        i: usize,
        (x, w): (usize, usize),
    ) -> Result<String> {
        let bias = self.required(node, i)?;
        let (x, w) = (self.required(node, x)?, self.required(node, w)?);
        let unit = x
            .scalar()
            .ok_or_else(|| node.wrong("activations with more than one scale"))?;
        let units: Vec<f32> = w
            .to_f32()
            .iter()
            .map(|w| (f64::from(unit) * f64::from(*w)) as f32)
            .collect();
        let count = units.len();
        if count != 1 && count != bias.len() {
            return Err(node.wrong("its bias does not fit its scales"));
        }
        let name = format!("{}/bias", node.name);
        let scale = Array::float(&[count], units.clone());
        let shape = [bias.len()];
        let flat = Array::clone(&bias).reshaped(&shape);
        let axis = NodeProto {
            attribute: vec![attribute("axis", 0)],
            ..node.proto.clone()
        };
        let reading = Reading {
            proto: &axis,
            ..*node
        };
        let reals = fold::dequantize(&reading, &flat, &scale, None)?;
        self.integers.insert(
            name.clone(),
            Stored {
                integers: flat,
                scales: units,
                axis: (count > 1).then_some(0),
                range: Range {
                    qmin: i32::MIN,
                    qmax: i32::MAX,
                },
            },
        );
        self.slots
            .insert(name.clone(), Slot::Known(std::rc::Rc::new(reals)));
        Ok(name)
    }

    /// A network that finds ranges as it runs: its layers are read with the activations they would round, in
    /// float.
    pub(super) fn dynamic(&mut self, node: &Reading<'_>) -> Result<Option<Vec<Slot>>> {
        let known = |array: Array| Slot::Known(std::rc::Rc::new(array));
        match node.kind() {
            "DynamicQuantizeLinear" => {
                let x = self.live(node, 0)?;
                log::warn!(
                    "{}: its range is found as the network runs; what reads it stays float",
                    node.name
                );
                let one = Array::float(&[], vec![1.0]);
                let zero = Array::ints(&[], vec![0]);
                Ok(Some(vec![Slot::Live(x), known(one), known(zero)]))
            }
            "ConvInteger" | "MatMulInteger" => {
                let w = self.required(node, 1)?;
                let zero = self.constant(node, 3)?;
                let mut data = w.to_i64();
                let zeros = zero.map_or_else(|| vec![0], |zero| zero.to_i64());
                let slice = (data.len() / zeros.len().max(1)).max(1);
                for (i, x) in data.iter_mut().enumerate() {
                    *x -= zeros[(i / slice).min(zeros.len() - 1)];
                }
                if !matches!(self.operand(node, 0)?, Some(Operand::Live(_))) {
                    return Err(node.wrong("its operand is a constant"));
                }
                let name = format!("{}/weights", node.name);
                let reals = data.iter().map(|&x| x as f32).collect();
                self.slots
                    .insert(name.clone(), known(Array::float(&w.shape, reals)));
                let kind = node.kind().trim_end_matches("Integer");
                let inputs = vec![node.proto.input[0].clone(), name];
                let attributes = node.proto.attribute.clone();
                let proto = operator(kind, inputs, node.name, attributes);
                let reading = Reading {
                    proto: &proto,
                    ..*node
                };
                let y = self.layer(&reading)?;
                Ok(y.map(|y| vec![Slot::Live(y)]))
            }
            _ => Ok(None),
        }
    }
}

fn attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        ..AttributeProto::default()
    }
}

fn operator(
    kind: &str,
    input: Vec<String>,
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input,
        output: vec![output.to_owned()],
        name: Some(output.to_owned()),
        op_type: Some(kind.to_owned()),
        attribute,
        domain: None,
    }
}
