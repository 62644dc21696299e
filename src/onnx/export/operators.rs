//! Every operation as operators of the file.

use super::{Attribute, Exporter, Made, tensors, usual};
use crate::base::DType;
use crate::error::{Error, Result};
use crate::graph::ops::{Coordinates, NearestRounding, PadMode, ReduceKind, Resize, ResizeMode};
use crate::graph::{Graph, Node, Op, ValueId};
use crate::kernels::Pool;
use crate::kernels::binary::BinaryOp;
use crate::kernels::map::Unary;

/// The order of the axes of images in the file.
pub(super) const IMAGE: [usize; 4] = [0, 3, 1, 2];

/// True for what operators of the older version cannot say.
pub(super) fn newer(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::AvgPool(op) => op.pool.dilation != [1, 1],
        Op::Pad(op) => op.mode == PadMode::Wrap,
        Op::Resize(op) => {
            let symmetric = op.coordinates == Coordinates::HalfPixelSymmetric;
            op.antialias || symmetric || !scales_say(op, from_size(graph, node))
        }
        _ => false,
    }
}

/// Rows and columns of what is resized.
fn from_size(graph: &Graph, node: &Node) -> [usize; 2] {
    let shape = &graph.value(node.inputs[0]).shape;
    [shape[1], shape[2]]
}

/// True if readers find the size of the result by its scales, be it in f32 or in f64.
fn scales_say(op: &Resize, from: [usize; 2]) -> bool {
    (0..2).all(|i| {
        let narrow = (from[i] as f32 * op.scale[i]).floor() as usize;
        let wide = (from[i] as f64 * f64::from(op.scale[i])).floor() as usize;
        narrow == op.to[i] && wide == op.to[i]
    })
}

/// Sizes of a result that scales do not say, and whether they are those of a frame that it fits into, with one
/// scale for both axes.
fn sizes(op: &Resize, from: [usize; 2]) -> ([usize; 2], bool) {
    let [scale, other] = op.scale;
    let quotient = |size: usize, i: usize| size as f32 / from[i] as f32;
    if scale != other || (0..2).all(|i| quotient(op.to[i], i) == scale) {
        return (op.to, false);
    }
    let frame = [0, 1].map(|i| op.to[i] + usize::from(quotient(op.to[i], i) < scale));
    let fits = quotient(frame[0], 0).min(quotient(frame[1], 1)) == scale;
    if fits { (frame, true) } else { (op.to, false) }
}

impl Exporter<'_> {
    pub(super) fn node(&mut self, node: &Node) -> Result<()> {
        let name = node.name.as_str();
        match &node.op {
            Op::Conv2d(conv) => self.conv(node, conv.conv, conv.act),
            Op::Linear(linear) => self.linear(node, linear.act),
            Op::Map(map) => {
                let x = self.real(node.inputs[0])?;
                let dtype = self.float_type(node.inputs[0]);
                let y = self.function(name, map.f, &x.name, dtype);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            Op::Binary(binary) => self.binary(node, binary.op, binary.act),
            Op::MaxPool(op) => self.pool(node, "MaxPool", &op.pool),
            Op::AvgPool(op) => self.pool(node, "AveragePool", &op.pool),
            Op::GlobalAvgPool(_) => {
                let x = self.image(node.inputs[0])?;
                let y = self.emit(name, "GlobalAveragePool", &[&x.name], &[]);
                let value = self.graph.value(node.outputs[0]);
                if value.dtype != DType::I8 {
                    self.pixels.insert(node.outputs[0], y.clone());
                }
                let axis = [("axis", Attribute::Int(1))];
                let y = self.emit(&format!("{name}_flat"), "Flatten", &[&y], &axis);
                self.plain(node, y);
                Ok(())
            }
            Op::Softmax(_) => self.last_axis(node, "Softmax"),
            Op::LogSoftmax(_) => self.last_axis(node, "LogSoftmax"),
            Op::Flatten(_) | Op::Reshape(_) => self.reshaped(node),
            Op::Transpose(op) => {
                let x = self.real(node.inputs[0])?;
                let x = self.settled(&x);
                let place = |axis: &usize| op.order.iter().position(|a| a == axis);
                let axes = x.axes.iter().filter_map(place).collect();
                self.done(node.outputs[0], Made { axes, ..x });
                Ok(())
            }
            Op::Slice(op) => {
                let x = self.real(node.inputs[0])?;
                let x = self.settled(&x);
                let shape = &self.graph.value(node.inputs[0]).shape;
                let (mut axes, mut lists) = (Vec::new(), [const { Vec::new() }; 3]);
                for (k, &axis) in x.axes.iter().enumerate() {
                    let (start, step, size) = (op.start[axis], op.step[axis], op.size[axis]);
                    if axis == 0 || (start, step, size) == (0, 1, shape[axis]) {
                        continue;
                    }
                    axes.push(k as i64);
                    lists[0].push(start as i64);
                    lists[1].push((start + (size - 1) * step + 1) as i64);
                    lists[2].push(step as i64);
                }
                let [starts, ends, steps] = lists;
                let starts = self.ints(&format!("{name}_starts"), &starts);
                let ends = self.ints(&format!("{name}_ends"), &ends);
                let axes = self.ints(&format!("{name}_axes"), &axes);
                let steps = self.ints(&format!("{name}_steps"), &steps);
                let inputs = [x.name.as_str(), &starts, &ends, &axes, &steps];
                let y = self.emit(name, "Slice", &inputs, &[]);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            Op::Pad(op) => {
                let x = self.real(node.inputs[0])?;
                let x = self.settled(&x);
                let before = x.axes.iter().map(|&axis| op.before[axis] as i64);
                let after = x.axes.iter().map(|&axis| op.after[axis] as i64);
                let pads: Vec<i64> = before.chain(after).collect();
                let pads = self.ints(&format!("{name}_pads"), &pads);
                let mode = match op.mode {
                    PadMode::Constant => "constant",
                    PadMode::Edge => "edge",
                    PadMode::Reflect => "reflect",
                    PadMode::Wrap => "wrap",
                };
                let dtype = self.float_type(node.inputs[0]);
                let value = self.scalar(&format!("{name}_value"), op.value, dtype);
                let inputs = [x.name.as_str(), &pads, &value];
                let mode = [("mode", Attribute::Text(mode))];
                let y = self.emit(name, "Pad", &inputs, &mode);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            Op::Concat(op) => {
                let first = self.real(node.inputs[0])?;
                let first = self.settled(&first);
                let mut names = Vec::new();
                for &id in &node.inputs {
                    let x = self.real(id)?;
                    names.push(self.ordered(&x, &first.axes)?.name);
                }
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let at = first.axes.iter().position(|&axis| axis == op.axis);
                let axis = [("axis", Attribute::Int(at.unwrap_or(op.axis) as i64))];
                let y = self.emit(name, "Concat", &names, &axis);
                self.done(node.outputs[0], Made { name: y, ..first });
                Ok(())
            }
            Op::BatchNorm(op) => {
                let rank = self.graph.value(node.inputs[0]).shape.len();
                let mut axes: Vec<usize> = (0..rank - 1).collect();
                axes.insert(1, rank - 1);
                let x = self.real(node.inputs[0])?;
                let x = self.ordered(&x, &axes)?;
                let mut names = vec![x.name.clone()];
                for &id in &node.inputs[1..] {
                    names.push(self.parameter(id, &[0])?);
                }
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let eps = [("epsilon", Attribute::Float(op.eps))];
                let y = self.emit(name, "BatchNormalization", &names, &eps);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            Op::Reduce(op) => self.reduce(node, op.kind, op.axis),
            Op::ArgMax(op) => {
                let x = self.real(node.inputs[0])?;
                let x = self.settled(&x);
                let at = x.axes.iter().position(|&axis| axis == op.axis);
                let axis = [("axis", Attribute::Int(at.unwrap_or(op.axis) as i64))];
                let y = self.emit(name, "ArgMax", &[&x.name], &axis);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            Op::Resize(op) => self.resize(node, op),
            Op::Cast(op) => {
                let x = self.real(node.inputs[0])?;
                let to = [("to", Attribute::Int(tensors::number(op.to).into()))];
                let y = self.emit(name, "Cast", &[&x.name], &to);
                self.done(node.outputs[0], Made { name: y, ..x });
                Ok(())
            }
            // The result says what its integers stand for, and so does the operand.
            Op::Quantize(_) | Op::Dequantize(_) => {
                let x = match self.graph.tensor(node.inputs[0]) {
                    Some(_) => self.weight_reals(node)?,
                    None => self.real(node.inputs[0])?,
                };
                self.done(node.outputs[0], x);
                Ok(())
            }
            Op::BatchNormTrain(_)
            | Op::SoftmaxCrossEntropy(_)
            | Op::MeanSquare(_)
            | Op::Distill(_)
            | Op::ApplyMask(_)
            | Op::Resample(_)
            | Op::FakeQuant(_)
            | Op::LinearGradInput(_)
            | Op::LinearGradWeight(_)
            | Op::BiasGrad(_)
            | Op::Conv2dGradInput(_)
            | Op::Conv2dGradWeight(_)
            | Op::MapGrad(_)
            | Op::SumTo(_)
            | Op::SliceGrad(_)
            | Op::MaxPoolGrad(_)
            | Op::AvgPoolGrad(_)
            | Op::SoftmaxGrad(_)
            | Op::GlobalAvgPoolGrad(_)
            | Op::BatchNormTrainGrad(_)
            | Op::BatchNormGrad(_)
            | Op::LossGrad(_)
            | Op::FakeQuantGrad(_)
            | Op::FakeQuantScaleGrad(_)
            | Op::Custom(_) => Err(self.no_words(node)),
        }
    }

    fn no_words(&self, node: &Node) -> Error {
        let problem = format!("ONNX has no operator for {}", node.op.name());
        Error::invalid(&node.name, problem)
    }

    /// The type in which an operand computes.
    pub(super) fn float_type(&self, id: ValueId) -> DType {
        match self.graph.value(id).dtype {
            DType::F16 => DType::F16,
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => DType::F32,
        }
    }

    /// A value of the usual order.
    fn plain(&mut self, node: &Node, name: String) {
        let id = node.outputs[0];
        let axes = (0..self.graph.value(id).shape.len()).collect();
        let made = Made {
            name,
            axes,
            flat: None,
        };
        self.done(id, made);
    }

    pub(super) fn image(&mut self, id: ValueId) -> Result<Made> {
        let x = self.real(id)?;
        self.ordered(&x, &IMAGE)
    }

    fn binary(&mut self, node: &Node, op: BinaryOp, act: Option<Unary>) -> Result<()> {
        let kind = match op {
            BinaryOp::Add => "Add",
            BinaryOp::Sub => "Sub",
            BinaryOp::Mul => "Mul",
            BinaryOp::Div => "Div",
            BinaryOp::Min => "Min",
            BinaryOp::Max => "Max",
            BinaryOp::Pow => "Pow",
            BinaryOp::Prelu => "PRelu",
        };
        let rank = self.graph.value(node.outputs[0]).shape.len();
        let mut axes = None;
        for &id in &node.inputs {
            if self.graph.tensor(id).is_none() && self.graph.value(id).shape.len() == rank {
                let made = self.real(id)?;
                let made = self.settled(&made);
                axes = axes.or(Some(made.axes));
            }
        }
        let axes = axes.unwrap_or_else(|| usual(rank));
        let mut names = Vec::new();
        for &id in &node.inputs {
            names.push(self.beside(id, &axes)?);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.emit(&node.name, kind, &names, &[]);
        let sum = Made {
            name,
            axes,
            flat: None,
        };
        self.ended(node, sum, None, act)
    }

    /// An operand that is broadcast to values with these axes.
    fn beside(&mut self, id: ValueId, axes: &[usize]) -> Result<String> {
        let value = self.graph.value(id);
        let missing = axes.len() - value.shape.len();
        if self.graph.tensor(id).is_some() && missing > 0 {
            return self.parameter(id, axes);
        }
        let made = self.real(id)?;
        if missing == 0 {
            return Ok(self.ordered(&made, axes)?.name);
        }
        let plain: Vec<usize> = (0..value.shape.len()).collect();
        let made = self.ordered(&made, &plain)?;
        let shape = [&vec![1; missing], value.shape.as_slice()].concat();
        let to: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let name = self.reshape(&made.name, &to);
        let full = Made {
            name,
            axes: (0..axes.len()).collect(),
            flat: None,
        };
        Ok(self.ordered(&full, axes)?.name)
    }

    fn pool(&mut self, node: &Node, kind: &str, pool: &Pool) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let list = |sizes: &[usize]| Attribute::Ints(sizes.iter().map(|&n| n as i64).collect());
        let mut attributes = vec![
            ("kernel_shape", list(&pool.kernel)),
            ("strides", list(&pool.stride)),
            ("pads", list(&pool.padding)),
        ];
        if pool.ceil_mode {
            attributes.push(("ceil_mode", Attribute::Int(1)));
        }
        if pool.dilation != [1, 1] {
            attributes.push(("dilations", list(&pool.dilation)));
        }
        if kind == "AveragePool" && pool.count_include_pad {
            attributes.push(("count_include_pad", Attribute::Int(1)));
        }
        let y = self.emit(&node.name, kind, &[&x.name], &attributes);
        self.done(node.outputs[0], Made { name: y, ..x });
        Ok(())
    }

    fn last_axis(&mut self, node: &Node, kind: &str) -> Result<()> {
        let x = self.real(node.inputs[0])?;
        let x = self.settled(&x);
        let last = x.axes.len() - 1;
        let at = x.axes.iter().position(|&axis| axis == last);
        let axis = [("axis", Attribute::Int(at.unwrap_or(last) as i64))];
        let y = self.emit(&node.name, kind, &[&x.name], &axis);
        self.done(node.outputs[0], Made { name: y, ..x });
        Ok(())
    }

    fn reshaped(&mut self, node: &Node) -> Result<()> {
        let (from, to) = (node.inputs[0], node.outputs[0]);
        let (old, new) = (&self.graph.value(from).shape, &self.graph.value(to).shape);
        if let (&[_, _], &[_, 1, 1, _], Some(name)) =
            (old.as_slice(), new.as_slice(), self.pixels.get(&from))
        {
            let made = Made {
                name: name.clone(),
                axes: IMAGE.to_vec(),
                flat: None,
            };
            self.done(to, made);
            return Ok(());
        }
        let x = self.real(from)?;
        let keeps = old.first() == new.first();
        if let (&[n, ref sizes @ ..], &[m, _]) = (old.as_slice(), new.as_slice())
            && n == m
            && x.flat.is_none()
            && x.axes.first() == Some(&0)
            && sizes.len() > 1
        {
            // Flattened in the file's order.
            let axis = [("axis", Attribute::Int(1))];
            let name = self.emit(&node.name, "Flatten", &[&x.name], &axis);
            let axes: Vec<usize> = x.axes[1..].iter().map(|axis| axis - 1).collect();
            let long = axes.iter().filter(|&&axis| sizes[axis] > 1);
            let flat = (!long.is_sorted()).then(|| (sizes.to_vec(), axes.clone()));
            let made = Made {
                name,
                axes: vec![0, 1],
                flat,
            };
            self.done(to, made);
            return Ok(());
        }
        let plain: Vec<usize> = (0..old.len()).collect();
        // Axes of one element may stand anywhere.
        let x = self.settled(&x);
        let long = |axis: &&usize| **axis == 0 || old[**axis] > 1;
        let x = match x.axes.iter().filter(long).is_sorted() && x.axes.first() == Some(&0) {
            true => x,
            false => self.ordered(&x, &plain)?,
        };
        let axes = usual(new.len());
        let long = |axis: &&usize| **axis == 0 || new[**axis] > 1;
        let axes = match axes.iter().filter(long).is_sorted() {
            true => axes,
            false => (0..new.len()).collect(),
        };
        let mut shape: Vec<i64> = axes.iter().map(|&axis| new[axis] as i64).collect();
        if keeps && !shape.is_empty() {
            shape[0] = 0;
        }
        let shape = self.ints(&format!("{}_shape", node.name), &shape);
        let name = self.emit(&node.name, "Reshape", &[&x.name, &shape], &[]);
        let made = Made {
            name,
            axes,
            flat: None,
        };
        self.done(to, made);
        Ok(())
    }

    fn reduce(&mut self, node: &Node, kind: ReduceKind, axis: usize) -> Result<()> {
        let kind = match kind {
            ReduceKind::Mean => "ReduceMean",
            ReduceKind::Sum => "ReduceSum",
            ReduceKind::Max => "ReduceMax",
            ReduceKind::Min => "ReduceMin",
        };
        let x = self.real(node.inputs[0])?;
        let x = self.settled(&x);
        let at = x.axes.iter().position(|&a| a == axis).unwrap_or(axis) as i64;
        // The axes became an operand: of sums in version 13, of the others in 18.
        let operand = kind == "ReduceSum" || self.opset >= 18;
        let y = match operand {
            true => {
                let axes = self.ints(&format!("{}_axes", node.name), &[at]);
                self.emit(&node.name, kind, &[&x.name, &axes], &[])
            }
            false => {
                let axes = [("axes", Attribute::Ints(vec![at]))];
                self.emit(&node.name, kind, &[&x.name], &axes)
            }
        };
        self.done(node.outputs[0], Made { name: y, ..x });
        Ok(())
    }

    fn resize(&mut self, node: &Node, op: &Resize) -> Result<()> {
        let x = self.image(node.inputs[0])?;
        let name = node.name.as_str();
        let mut attributes = vec![(
            "coordinate_transformation_mode",
            Attribute::Text(match op.coordinates {
                Coordinates::HalfPixel => "half_pixel",
                Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
                Coordinates::AlignCorners => "align_corners",
                Coordinates::Asymmetric => "asymmetric",
                Coordinates::TfHalfPixelForNn => "tf_half_pixel_for_nn",
                Coordinates::HalfPixelSymmetric => "half_pixel_symmetric",
            }),
        )];
        match op.mode {
            ResizeMode::Nearest(rounding) => {
                let rounding = match rounding {
                    NearestRounding::RoundPreferFloor => "round_prefer_floor",
                    NearestRounding::RoundPreferCeil => "round_prefer_ceil",
                    NearestRounding::Floor => "floor",
                    NearestRounding::Ceil => "ceil",
                };
                attributes.push(("mode", Attribute::Text("nearest")));
                attributes.push(("nearest_mode", Attribute::Text(rounding)));
            }
            ResizeMode::Linear => attributes.push(("mode", Attribute::Text("linear"))),
            ResizeMode::Cubic { a } => {
                attributes.push(("mode", Attribute::Text("cubic")));
                attributes.push(("cubic_coeff_a", Attribute::Float(a)));
            }
        }
        if op.exclude_outside {
            attributes.push(("exclude_outside", Attribute::Int(1)));
        }
        if op.antialias {
            attributes.push(("antialias", Attribute::Int(1)));
        }
        let from = from_size(self.graph, node);
        let y = if scales_say(op, from) {
            let scales = [1.0, 1.0, op.scale[0], op.scale[1]];
            let scales = tensors::floats(&[4], &scales, DType::F32);
            let scales = self.constant(&format!("{name}_scales"), scales);
            self.emit(name, "Resize", &[&x.name, "", &scales], &attributes)
        } else {
            let (sizes, frame) = sizes(op, from);
            if frame {
                attributes.push(("keep_aspect_ratio_policy", Attribute::Text("not_larger")));
            }
            attributes.push(("axes", Attribute::Ints(vec![2, 3])));
            let sizes = self.ints(&format!("{name}_sizes"), &sizes.map(|n| n as i64));
            self.emit(name, "Resize", &[&x.name, "", "", &sizes], &attributes)
        };
        self.done(node.outputs[0], Made { name: y, ..x });
        Ok(())
    }
}
