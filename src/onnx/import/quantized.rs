//! Quantized networks: `QuantizeLinear` and `DequantizeLinear` are operations of ours, and operators that
//! take integers and their scales are read as these two around an operator of floats.
//! [`crate::graph::integer_operations`] then finds what is an operation on integers.

use super::{Importer, Live, Slot};
use crate::base::{DType, QParams, Quantization, Range, Tensor};
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Dequantize, Quantize};
use crate::onnx::array::{Array, Elem};
use crate::onnx::attributes::Reading;
use crate::onnx::proto::{AttributeProto, NodeProto};

/// A constant that the file stores as integers.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Signed: unsigned ones are moved, and their zero points with them.
    pub integers: Array,
    pub scales: Vec<f32>,
    pub zero_points: Vec<i64>,
    /// Axis whose slices have scales of their own; `None` = one for all.
    pub axis: Option<usize>,
    /// The integers that the type of the file allows, moved likewise.
    pub range: Range,
}

impl Stored {
    /// The integers that stand for reals with zero points of 0.
    fn without_zero_points(&self) -> Array {
        let shape = &self.integers.shape;
        let slice = self
            .axis
            .map_or(1, |axis| shape[axis + 1..].iter().product());
        let zeros = &self.zero_points;
        let data = self.integers.to_i64();
        let data = data.iter().enumerate();
        let data = data.map(|(i, x)| x - zeros[i / slice % zeros.len()]);
        Array::ints(shape, data.collect())
    }

    /// What they stand for then, the slices along the first axis.
    fn symmetric(&self) -> Quantization {
        Quantization {
            axis: self.axis.map(|_| 0),
            zero_points: vec![0; self.scales.len()],
            scales: self.scales.clone(),
            range: self.range,
            binary: false,
        }
    }
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
        let (range, moved) = signed([low, high]);
        let zero = zero_point.map_or(0, |zero| zero.to_i64()[0]) - moved;
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
                // Without a zero point the integers are those of `QuantizeLinear` without one.
                let elem = zero.as_ref().map_or(Elem::U8, |zero| zero.elem);
                let stated = self.quantization(node, &scale, zero.as_deref(), elem)?;
                if stated.scales != known.scales || stated.zero_points != known.zero_points {
                    return Err(node.wrong(
                        "its scale and zero point are not those that its operand was quantized with",
                    ));
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
        let Some(range) = q.elem.range().filter(|_| q.shape.len() <= 4) else {
            return Ok(());
        };
        let scales = scale.to_f32();
        let zeros = zero.map_or_else(|| vec![0; scales.len()], |zero| zero.to_i64());
        let axis = match scales.len() {
            1 => None,
            _ => Some(node.axis(node.int("axis", 1), q.shape.len())?),
        };
        let slices = axis.map_or(1, |axis| q.shape[axis]);
        if scales.len() != slices || zeros.len() != slices {
            return Ok(());
        }
        let (range, moved) = signed(range);
        let data = q.to_i64().iter().map(|q| q - moved).collect();
        let stored = Stored {
            integers: Array::ints(&q.shape, data),
            scales,
            zero_points: zeros.iter().map(|z| z - moved).collect(),
            axis,
            range,
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
        if stored.axis.is_some_and(|own| own != axis) || stored.range.qmax > 127 {
            return Ok(None);
        }
        let stored = stored.clone();
        let key = (name.to_owned(), format!("integers {form}"));
        if let Some(&id) = self.params.get(&key) {
            return Ok(Some(id));
        }
        let arranged = arrange(stored.without_zero_points());
        let data: Option<Vec<i8>> = arranged
            .to_i64()
            .iter()
            .map(|&x| i8::try_from(x).ok())
            .collect();
        let Some(data) = data else {
            log::warn!("`{name}` has zero points that int8 weights cannot have; it stays float");
            return Ok(None);
        };
        let tensor = Tensor::from_i8(&arranged.shape, &data)?;
        self.dequantized(key, tensor, stored.symmetric()).map(Some)
    }

    /// A constant beside activations that the file stores as integers with one scale, as reals of the graph.
    pub(super) fn integer_constant(
        &mut self,
        name: &str,
        form: &str,
        arrange: impl FnOnce(Array) -> Array,
    ) -> Result<Option<ValueId>> {
        let stored = self.integers.get(name).cloned();
        let stored = stored.filter(|stored| stored.axis.is_none() && stored.range.qmax <= 127);
        let Some(stored) = stored else {
            return Ok(None);
        };
        let key = (name.to_owned(), format!("integers {form}"));
        if let Some(&id) = self.params.get(&key) {
            return Ok(Some(id));
        }
        let arranged = arrange(stored.integers);
        let data: Vec<i8> = arranged.to_i64().iter().map(|&x| x as i8).collect();
        let tensor = Tensor::from_i8(&arranged.shape, &data)?;
        let quant = Quantization::per_tensor(QParams {
            scale: stored.scales[0],
            zero_point: stored.zero_points[0] as i32,
            range: stored.range,
        });
        self.dequantized(key, tensor, quant).map(Some)
    }

    /// True for a constant that the file stores as integers.
    pub(super) fn is_stored(&self, name: &str) -> bool {
        self.integers.contains_key(name)
    }

    /// Stored integers as reals of the graph; `key` is their name and their form.
    fn dequantized(
        &mut self,
        key: (String, String),
        integers: Tensor,
        quant: Quantization,
    ) -> Result<ValueId> {
        if integers.dtype() == DType::I8 {
            quant.check(&key.0)?;
        }
        let param = self.graph.param_quantized(&key.0, integers, quant);
        let real = self.fresh(&format!("dequantize {}", key.0));
        let id = self.graph.push(&real, Dequantize, &[param])?;
        self.params.insert(key, id);
        Ok(id)
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
        let data = stored.without_zero_points().to_i64();
        let data: Vec<i32> = data.iter().map(|&x| x as i32).collect();
        let tensor = Tensor::from_i32(&[data.len()], &data)?;
        self.dequantized(key, tensor, stored.symmetric()).map(Some)
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
        let flat = Array::clone(&bias).reshaped(&[bias.len()]);
        let integers = flat.to_i64();
        let reals = integers.iter().enumerate();
        let reals = reals.map(|(c, &b)| (b as f64 * f64::from(units[c % count])) as f32);
        let reals = Array::float(&[bias.len()], reals.collect());
        self.integers.insert(
            name.clone(),
            Stored {
                integers: flat,
                zero_points: vec![0; count],
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
}

/// The range of signed integers that stand for those of a range, and by how much they are moved: unsigned ones
/// are.
fn signed([low, high]: [i64; 2]) -> (Range, i64) {
    let moved = if low == 0 { (high + 1) / 2 } else { 0 };
    let range = Range {
        qmin: (low - moved) as i32,
        qmax: (high - moved) as i32,
    };
    (range, moved)
}

fn attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        ..AttributeProto::default()
    }
}

pub(super) fn operator(
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
