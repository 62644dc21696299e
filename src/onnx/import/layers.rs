//! Layers with weights: convolutions, also transposed ones, and matrix products.

use super::layout::channels_last;
use super::{Importer, Live, Operand};
use crate::base::Tensor;
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Conv2d, Linear};
use crate::kernels::Conv;
use crate::onnx::array::Array;
use crate::onnx::attributes::Reading;

/// Strides, dilations and pads of a window over one or two axes, as rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Above, left, below, right.
    pub padding: [usize; 4],
}

/// A pair along rows and columns, of a list for one axis or two.
pub(super) fn pair(
    node: &Reading<'_>,
    name: &str,
    axes: usize,
    default: usize,
) -> Result<[usize; 2]> {
    Ok(match axes {
        1 => [default.min(1), node.sizes::<1>(name, default)?[0]],
        _ => node.sizes::<2>(name, default)?,
    })
}

/// Pads as the file lists them: all starts, then all ends.
pub(super) fn pads(node: &Reading<'_>, axes: usize) -> Result<[usize; 4]> {
    Ok(match axes {
        1 => {
            let [left, right] = node.sizes::<2>("pads", 0)?;
            [0, left, 0, right]
        }
        _ => node.sizes::<4>("pads", 0)?,
    })
}

impl Window {
    /// The window of a node over an image of `size` (rows, columns).
    pub fn read(
        node: &Reading<'_>,
        axes: usize,
        kernel: [usize; 2],
        size: [usize; 2],
    ) -> Result<Self> {
        let stride = pair(node, "strides", axes, 1)?.map(|n| n.max(1));
        let dilation = pair(node, "dilations", axes, 1)?.map(|n| n.max(1));
        let mut padding = pads(node, axes)?;
        match node.text("auto_pad", "NOTSET") {
            "NOTSET" | "" => {}
            "VALID" => padding = [0; 4],
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                for axis in 0..2 {
                    let extent = (kernel[axis].max(1) - 1).saturating_mul(dilation[axis]) + 1;
                    let out = size[axis].div_ceil(stride[axis]);
                    let span = (out.max(1) - 1).saturating_mul(stride[axis]) + extent;
                    let total = span.saturating_sub(size[axis]);
                    let (less, more) = (total / 2, total - total / 2);
                    let upper = same == "SAME_UPPER";
                    let (before, after) = if upper { (less, more) } else { (more, less) };
                    (padding[axis], padding[axis + 2]) = (before, after);
                }
            }
            other => return Err(node.wrong(format!("`auto_pad` is {other}"))),
        }
        Ok(Self {
            stride,
            dilation,
            padding,
        })
    }
}

/// Rows and columns of an image, or of a sequence as an image of one row.
pub(super) fn spatial(node: &Reading<'_>, shape: &[usize]) -> Result<[usize; 2]> {
    match *shape {
        [_, _, w] => Ok([1, w]),
        [_, _, h, w] => Ok([h, w]),
        _ => Err(node.wrong(format!(
            "it works on {shape:?}, and wizen takes images [n, c, h, w] and sequences [n, c, l]"
        ))),
    }
}

/// Rows and columns of a filter over images, or sequences (`axes` 1), of weights `[.., .., rows?, columns]`.
pub(super) fn taps(node: &Reading<'_>, weights: &[usize], axes: usize) -> Result<[usize; 2]> {
    match *weights {
        [a, b, w] if axes == 1 && a * b * w > 0 => Ok([1, w]),
        [a, b, h, w] if axes == 2 && a * b * h * w > 0 => Ok([h, w]),
        _ => Err(node.wrong(format!("weights of shape {weights:?}"))),
    }
}

impl Importer<'_> {
    pub(super) fn layer(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        Ok(Some(match node.kind() {
            "Conv" => self.conv(node)?,
            "ConvTranspose" => self.conv_transpose(node)?,
            "Gemm" => self.gemm(node)?,
            "MatMul" => self.matmul(node)?,
            _ => return Ok(None),
        }))
    }

    /// The value as an image `[n, h, w, c]`; a sequence is an image of one row.
    pub(super) fn image(&mut self, node: &Reading<'_>, live: &Live) -> Result<ValueId> {
        let shape = self.shape(live);
        let [h, w] = spatial(node, &shape)?;
        let id = self.ordered(node.name, live, &channels_last(shape.len()))?;
        self.reshape_stored(node.name, id, &[shape[0], h, w, shape[1]], true)
    }

    /// What an operation made of [`Self::image`], as the file sees it.
    pub(super) fn off_image(
        &mut self,
        node: &Reading<'_>,
        id: ValueId,
        rank: usize,
    ) -> Result<Live> {
        let shape = self.graph.value(id).shape.clone();
        let id = match rank {
            3 => {
                let shape = [shape[0], shape[2], shape[3]];
                self.reshape_stored(node.name, id, &shape, true)?
            }
            _ => id,
        };
        Ok(Live {
            id,
            order: channels_last(rank),
            flat: None,
        })
    }

    /// The name of operand `i` for a parameter.
    pub(super) fn operand_name(&self, node: &Reading<'_>, i: usize) -> String {
        node.proto.input.get(i).cloned().unwrap_or_default()
    }

    fn bias(&mut self, node: &Reading<'_>, i: usize, channels: usize) -> Result<Option<ValueId>> {
        let Some(bias) = self.constant(node, i)? else {
            return Ok(None);
        };
        if bias.len() != channels {
            let problem = format!("a bias of {:?} for {channels} channels", bias.shape);
            return Err(node.wrong(problem));
        }
        let name = self.operand_name(node, i);
        if let Some(id) = self.integer_bias(&name)? {
            return Ok(Some(id));
        }
        let bias = bias.to_f32();
        let make = || Tensor::from_f32(&[channels], &bias);
        self.param(&name, "bias", make).map(Some)
    }

    fn conv(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let w = self.required(node, 1)?;
        let shape = self.shape(&x);
        let size = spatial(node, &shape)?;
        let axes = shape.len() - 2;
        let kernel = taps(node, &w.shape, axes)?;
        let stated = pair(node, "kernel_shape", axes, 0)?;
        if node.has("kernel_shape") && stated != kernel {
            let problem = format!("`kernel_shape` is {stated:?}, the weights have {kernel:?}");
            return Err(node.wrong(problem));
        }
        let window = Window::read(node, axes, kernel, size)?;
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let mut conv = Conv {
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            groups,
        };
        let mut image = self.image(node, &x)?;
        if let Some(&(before, padding)) = self.padded.get(&image) {
            let both = [0, 1, 2, 3].map(|i| conv.padding[i] + padding[i]);
            let extent = [0, 1].map(|i| (kernel[i].max(1) - 1) * conv.dilation[i] + 1);
            if (0..4).all(|i| both[i] <= extent[i % 2]) {
                (conv.padding, image) = (both, before);
            }
        }
        let out = w.shape[0];
        let dtype = self.dtype(&x);
        let name = self.operand_name(node, 1);
        let arrange = |w: Array| {
            let [o, i] = [w.shape[0], w.shape[1]];
            let w = w.reshaped(&[o, i, kernel[0], kernel[1]]);
            w.transposed(&[0, 2, 3, 1])
        };
        let w = match self.integer_weights(&name, "conv", 0, arrange)? {
            Some(id) => id,
            None => self.param(&name, &format!("conv {dtype}"), || {
                arrange(Array::clone(&w)).tensor(dtype)
            })?,
        };
        let bias = self.bias(node, 2, out)?;
        let op = Conv2d::new(conv);
        let mut inputs = vec![image, w];
        inputs.extend(bias);
        let op = if bias.is_some() {
            op
        } else {
            op.without_bias()
        };
        let y = self.graph.push(node.name, op, &inputs)?;
        self.off_image(node, y, shape.len())
    }

    fn gemm(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let w = self.required(node, 1)?;
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        if w.shape.len() != 2 {
            return Err(node.wrong(format!("weights of shape {:?}", w.shape)));
        }
        let x = match node.flag("transA", false) {
            true => Live {
                order: x.order.iter().map(|axis| 1 - axis.min(&1)).collect(),
                ..self.settled(node.name, &x)?
            },
            false => x,
        };
        let turned = node.flag("transB", false);
        let out = w.shape[usize::from(!turned)];
        let bias = match self.operand(node, 2)? {
            Some(Operand::Known(c)) if beta != 0.0 => Some(c),
            Some(Operand::Live(_)) if beta != 0.0 => {
                return Err(node.wrong("what it adds is computed, expected a constant"));
            }
            _ => None,
        };
        let bias = match bias {
            None => None,
            Some(c) if c.len() == out && c.shape.last() == Some(&out) || c.len() == 1 => {
                let name = self.operand_name(node, 2);
                let integers = match c.len() == out && beta == 1.0 {
                    true => self.integer_bias(&name)?,
                    false => None,
                };
                if integers.is_some() {
                    return self.product(node, &x, &w, (turned, alpha), integers);
                }
                let c = c.to_f32();
                let all: Vec<f32> = (0..out).map(|i| c[i % c.len()] * beta).collect();
                let name = self.operand_name(node, 2);
                let make = || Tensor::from_f32(&[out], &all);
                Some(self.param(&name, &format!("bias {out} {beta}"), make)?)
            }
            Some(c) => {
                let problem = format!("it adds {:?} to rows of {out}", c.shape);
                return Err(node.wrong(problem));
            }
        };
        self.product(node, &x, &w, (turned, alpha), bias)
    }

    /// `x · w`, `w [k, n]` or `[n, k]` (`turned`), times `factor`.
    fn product(
        &mut self,
        node: &Reading<'_>,
        x: &Live,
        w: &Array,
        (turned, factor): (bool, f32),
        bias: Option<ValueId>,
    ) -> Result<Live> {
        let shape = self.shape(x);
        let rank = shape.len();
        let [n, k] = match turned {
            true => [w.shape[0], w.shape[1]],
            false => [w.shape[1], w.shape[0]],
        };
        if shape.last() != Some(&k) || rank < 2 {
            let problem = format!("{shape:?} cannot be multiplied by {:?}", w.shape);
            return Err(node.wrong(problem));
        }
        let dtype = self.dtype(x);
        let columns = match &x.flat {
            // The features lie in another order than the file's: so do the weights.
            Some((sizes, order)) => {
                let all = Array::ints(sizes, (0..k as i64).collect());
                Some(all.transposed(order).to_i64())
            }
            None => None,
        };
        let name = self.operand_name(node, 1);
        let form = format!("product {turned} {factor} {dtype} {:?}", x.flat);
        let arrange = |w: Array| {
            let w = if turned { w } else { w.transposed(&[1, 0]) };
            match &columns {
                Some(columns) => w.with_columns(columns),
                None => w,
            }
        };
        let integers = match factor == 1.0 && rank == 2 {
            true => self.integer_weights(&name, &form, usize::from(!turned), arrange)?,
            false => None,
        };
        let w = match integers {
            Some(id) => id,
            None => self.param(&name, &form, || {
                let mut data = arrange(w.clone()).to_f32();
                if factor != 1.0 {
                    data.iter_mut().for_each(|w| *w *= factor);
                }
                Array::float(&[n, k], data).tensor(dtype)
            })?,
        };
        let mut operands = Vec::new();
        if rank == 2 {
            let rows = match x.flat {
                Some(_) => x.id,
                None => self.ordered(node.name, x, &[0, 1])?,
            };
            operands.extend([rows, w]);
            operands.extend(bias);
            return self.push(node.name, Linear::default(), &operands, vec![0, 1]);
        }
        // Several axes of rows: a convolution of one pixel, so that the batch stays an axis of its own.
        let plain: Vec<usize> = (0..rank).collect();
        let rows = self.ordered(node.name, x, &plain)?;
        let inner: usize = shape[1..rank - 1].iter().product();
        let image = self.reshape_stored(node.name, rows, &[shape[0], 1, inner, k], true)?;
        let tensor = self
            .graph
            .tensor(w)
            .map(|w| w.as_ref().clone().reshaped(&[n, 1, 1, k]));
        let w = match tensor {
            Some(tensor) => {
                let tensor = tensor?;
                self.param(&name, &format!("{form} pixel"), || Ok(tensor))?
            }
            None => w,
        };
        operands.extend([image, w]);
        operands.extend(bias);
        let op = Conv2d::new(Conv::square(1, 0, 1, 1));
        let op = if bias.is_some() {
            op
        } else {
            op.without_bias()
        };
        let y = self.graph.push(node.name, op, &operands)?;
        let mut to = shape;
        to[rank - 1] = n;
        let id = self.reshape_stored(node.name, y, &to, true)?;
        Ok(Live {
            id,
            order: plain,
            flat: None,
        })
    }

    fn matmul(&mut self, node: &Reading<'_>) -> Result<Live> {
        match (self.operand(node, 0)?, self.operand(node, 1)?) {
            (Some(Operand::Live(x)), Some(Operand::Known(w))) if w.shape.len() == 2 => {
                self.product(node, &x, &w, (false, 1.0), None)
            }
            (Some(Operand::Live(_)), Some(Operand::Known(w))) => {
                Err(node.wrong(format!("it multiplies by {:?}, expected a matrix", w.shape)))
            }
            (Some(_), Some(_)) => Err(node.wrong(
                "both of its matrices are computed (attention); wizen takes products with constant weights",
            )),
            _ => Err(node.wrong("an operand is missing")),
        }
    }
}
