//! Layers with weights, in floats and in integers.

use super::operators::IMAGE;
use super::{Attribute, Exporter, Made, tensors, usual};
use crate::base::DType;
use crate::error::{Error, Result};
use crate::graph::{Node, ValueId};
use crate::kernels::Conv;
use crate::kernels::map::Unary;

impl Exporter<'_> {
    /// A stored float tensor, transposed, as a tensor of the file.
    pub(super) fn parameter(&mut self, id: ValueId, axes: &[usize]) -> Result<String> {
        self.parameter_as(id, axes, self.float_type(id))
    }

    pub(super) fn parameter_as(
        &mut self,
        id: ValueId,
        axes: &[usize],
        dtype: DType,
    ) -> Result<String> {
        let value = self.graph.value(id);
        let tensor = self.stored(id, &value.name)?;
        // More axes than it has: of one element, in front.
        let missing = axes.len() - value.shape.len();
        let full = [&vec![1; missing], value.shape.as_slice()].concat();
        let order = || crate::onnx::array::gather_order(&full, axes);
        let shape: Vec<usize> = axes.iter().map(|&axis| full[axis]).collect();
        let ones = shape.iter().take_while(|size| **size == 1).count();
        let shape = &shape[ones.min(missing)..];
        let Some(q) = value.qparams().filter(|_| value.dtype == DType::I8) else {
            let data = tensor.to_f32();
            let data: Vec<f32> = order().map(|i| data[i]).collect();
            return Ok(self.constant(&value.name, tensors::floats(shape, &data, dtype)));
        };
        let data = tensor.to_i8()?;
        let data: Vec<i8> = order().map(|i| data[i]).collect();
        let integers = self.constant(&format!("{}_q", value.name), tensors::bytes(shape, &data));
        let (scale, zero) = (self.scale(id, q.scale), self.zero_point(q.zero_point));
        let inputs = [integers.as_str(), &scale, &zero];
        Ok(self.emit(&value.name, "DequantizeLinear", &inputs, &[]))
    }

    /// Weights of a layer: floats as they are, integers with a `DequantizeLinear` behind them. `columns` is the
    /// order of what a row holds.
    pub(super) fn weights(
        &mut self,
        id: ValueId,
        axes: &[usize],
        columns: Option<&[usize]>,
    ) -> Result<String> {
        let value = self.graph.value(id);
        let tensor = self.stored(id, &value.name)?;
        let at: Vec<usize> = match columns {
            Some(columns) => {
                let width = columns.len();
                let place = |i: usize| i / width * width + columns[i % width];
                (0..tensor.len()).map(place).collect()
            }
            None => (0..tensor.len()).collect(),
        };
        let Some(quant) = value.quant.as_ref().filter(|_| value.dtype == DType::I8) else {
            let data = tensor.to_f32();
            let data: Vec<f32> = at.iter().map(|&i| data[i]).collect();
            let (shape, data) = tensors::transposed(tensor, &data, axes);
            return Ok(self.constant(&value.name, tensors::floats(&shape, &data, value.dtype)));
        };
        let data = tensor.to_i8()?;
        let data: Vec<i8> = at.iter().map(|&i| data[i]).collect();
        let (shape, data) = tensors::transposed(tensor, &data, axes);
        let integers = match self.opset >= 21 && tensors::is_int4(value) {
            true => tensors::nibbles(&shape, &data),
            false => tensors::bytes(&shape, &data),
        };
        let integers = self.constant(&format!("{}_q", value.name), integers);
        let scales = match quant.axis {
            None => tensors::floats(&[], &quant.scales, DType::F32),
            Some(_) => tensors::floats(&[quant.scales.len()], &quant.scales, DType::F32),
        };
        let scales = self.constant(&format!("{}_scale", value.name), scales);
        let axis: &[(&str, Attribute)] = match quant.axis {
            None => &[],
            Some(_) => &[("axis", Attribute::Int(0))],
        };
        Ok(self.emit(&value.name, "DequantizeLinear", &[&integers, &scales], axis))
    }

    /// Weights that the network stores as integers and computes with as floats.
    pub(super) fn weight_reals(&mut self, node: &Node) -> Result<Made> {
        let id = node.inputs[0];
        let axes = usual(self.graph.value(id).shape.len());
        let name = self.weights(id, &axes, None)?;
        Ok(Made {
            name,
            axes,
            flat: None,
        })
    }

    /// A bias: floats, or integers in units of `s_x · s_w` as a `DequantizeLinear`.
    pub(super) fn bias(&mut self, node: &Node, id: ValueId, dtype: DType) -> Result<String> {
        let value = self.graph.value(id);
        if self.graph.tensor(id).is_none() {
            let made = self.real(id)?;
            return Ok(self.ordered(&made, &[0])?.name);
        }
        if value.dtype != DType::I32 {
            return self.parameter_as(id, &[0], dtype);
        }
        let data = self.stored(id, &node.name)?.as_i32()?.to_vec();
        let at = node.op.weights().map_or(1, |at| at.weight);
        let x = self.graph.value(node.inputs[0]).qparams();
        let w = self.graph.value(node.inputs[at]).quant.as_ref();
        let (Some(x), Some(w)) = (x, w) else {
            return Err(Error::invalid(&node.name, "its operands have no scales"));
        };
        let unit = |c: usize| (f64::from(x.scale) * f64::from(w.channel(c).scale)) as f32;
        let units: Vec<f32> = (0..data.len()).map(unit).collect();
        let integers = tensors::words(&[data.len()], &data);
        let integers = self.constant(&format!("{}_q", value.name), integers);
        let units = tensors::floats(&[units.len()], &units, DType::F32);
        let units = self.constant(&format!("{}_scale", value.name), units);
        let axis = [("axis", Attribute::Int(0))];
        Ok(self.emit(&value.name, "DequantizeLinear", &[&integers, &units], &axis))
    }

    /// The function and the residual that a layer ends in; the last step has the layer's name.
    pub(super) fn ended(
        &mut self,
        node: &Node,
        sum: Made,
        residual: Option<ValueId>,
        act: Option<Unary>,
    ) -> Result<()> {
        let dtype = self.float_type(node.inputs[0]);
        let mut y = sum;
        if let Some(id) = residual {
            let other = self.real(id)?;
            let other = self.ordered(&other, &y.axes)?;
            let name = format!("{}_sum", node.name);
            y.name = self.emit(&name, "Add", &[&y.name, &other.name], &[]);
        }
        if let Some(f) = act {
            let name = format!("{}_{}", node.name, f.name());
            y.name = self.function(&name, f, &y.name, dtype);
        }
        self.done(node.outputs[0], y);
        Ok(())
    }

    pub(super) fn conv(&mut self, node: &Node, conv: Conv, act: Option<Unary>) -> Result<()> {
        let at = node.op.weights();
        let at = at.ok_or_else(|| Error::invalid(&node.name, "it has no weights"))?;
        let x = self.image(node.inputs[0])?;
        let w = node.inputs[at.weight];
        let shape = self.graph.value(w).shape.clone();
        let w = match self.graph.tensor(w) {
            Some(_) => self.weights(w, &IMAGE, None)?,
            None => {
                let made = self.real(w)?;
                self.ordered(&made, &IMAGE)?.name
            }
        };
        let mut inputs = vec![x.name, w];
        if let Some(i) = at.bias {
            let dtype = self.float_type(node.inputs[0]);
            inputs.push(self.bias(node, node.inputs[i], dtype)?);
        }
        let list = |sizes: &[usize]| Attribute::Ints(sizes.iter().map(|&n| n as i64).collect());
        let mut attributes = vec![("kernel_shape", list(&shape[1..3]))];
        if conv.stride != [1; 2] {
            attributes.push(("strides", list(&conv.stride)));
        }
        if conv.padding != [0; 4] {
            attributes.push(("pads", list(&conv.padding)));
        }
        if conv.dilation != [1; 2] {
            attributes.push(("dilations", list(&conv.dilation)));
        }
        if conv.groups != 1 {
            attributes.push(("group", Attribute::Int(conv.groups as i64)));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.emit(&node.name, "Conv", &inputs, &attributes);
        let sum = Made {
            name,
            axes: IMAGE.to_vec(),
            flat: None,
        };
        let residual = at.residual.map(|i| node.inputs[i]);
        self.ended(node, sum, residual, act)
    }

    pub(super) fn linear(&mut self, node: &Node, act: Option<Unary>) -> Result<()> {
        let x = self.real(node.inputs[0])?;
        let (x, columns) = match &x.flat {
            // Features in the file's order: so are the columns of the weights.
            Some((sizes, axes)) => {
                let columns = crate::onnx::array::gather_order(sizes, axes);
                (x.clone(), Some(columns.collect::<Vec<usize>>()))
            }
            None => (self.ordered(&x, &[0, 1])?, None),
        };
        let w = match self.graph.tensor(node.inputs[1]) {
            Some(_) => self.weights(node.inputs[1], &[0, 1], columns.as_deref())?,
            None => {
                let x = self.real(node.inputs[1])?;
                self.ordered(&x, &[0, 1])?.name
            }
        };
        let mut inputs = vec![x.name, w];
        if let Some(&bias) = node.inputs.get(2) {
            let dtype = self.float_type(node.inputs[0]);
            inputs.push(self.bias(node, bias, dtype)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let turned = [("transB", Attribute::Int(1))];
        let name = self.emit(&node.name, "Gemm", &inputs, &turned);
        let sum = Made {
            name,
            axes: vec![0, 1],
            flat: None,
        };
        self.ended(node, sum, None, act)
    }
}
