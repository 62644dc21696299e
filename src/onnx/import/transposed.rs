//! Transposed convolutions, as ordinary ones whose channels become pixels.

use super::layers::{pads, pair, spatial, taps};
use super::{Importer, Live};
use crate::base::Tensor;
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Conv2d, Slice};
use crate::kernels::Conv;
use crate::onnx::array::{Array, Data, made_shape};
use crate::onnx::attributes::Reading;

impl Importer<'_> {
    /// A transposed convolution is an ordinary one with a set of channels for each of the `stride²` places
    /// that an input pixel has in the result, and those channels put side by side as pixels: no product is
    /// with a zero between pixels, and it prunes and quantizes as any convolution.
    pub(super) fn conv_transpose(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let w = self.required(node, 1)?;
        let shape = self.shape(&x);
        let size = spatial(node, &shape)?;
        let axes = shape.len() - 2;
        let kernel = taps(node, &w.shape, axes)?;
        let stride = pair(node, "strides", axes, 1)?.map(|n| n.max(1));
        let dilation = pair(node, "dilations", axes, 1)?.map(|n| n.max(1));
        let mut extra = match axes {
            1 => [0, node.sizes::<1>("output_padding", 0)?[0]],
            _ => node.sizes::<2>("output_padding", 0)?,
        };
        let mut padding = pads(node, axes)?;
        let full = [0, 1].map(|i| (size[i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1);
        let stated = match (node.ints("output_shape"), axes) {
            (None, _) => None,
            (Some(_), 1) => Some([1, node.sizes::<1>("output_shape", 0)?[0]]),
            (Some(list), _) if list.len() == 4 => {
                let all = node.sizes::<4>("output_shape", 0)?;
                Some([all[2], all[3]])
            }
            (Some(_), _) => Some(node.sizes::<2>("output_shape", 0)?),
        };
        let auto = node.text("auto_pad", "NOTSET");
        let same = matches!(auto, "SAME_UPPER" | "SAME_LOWER");
        if same || stated.is_some() {
            let out = stated.unwrap_or([size[0] * stride[0], size[1] * stride[1]]);
            for axis in 0..2 {
                // More than there is: places that nothing adds to.
                extra[axis] = extra[axis].max(out[axis].saturating_sub(full[axis]));
                let total = (full[axis] + extra[axis]).saturating_sub(out[axis]);
                let (less, more) = (total / 2, total - total / 2);
                let (before, after) = if auto == "SAME_UPPER" {
                    (less, more)
                } else {
                    (more, less)
                };
                (padding[axis], padding[axis + 2]) = (before, after);
            }
        } else if auto == "VALID" {
            padding = [0; 4];
        }
        let mut out = [0; 2];
        for axis in 0..2 {
            let cut = padding[axis] + padding[axis + 2];
            let size = (full[axis] + extra[axis])
                .checked_sub(cut)
                .filter(|&n| n > 0);
            out[axis] = size.ok_or_else(|| node.wrong("its pads leave nothing"))?;
        }
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let [inputs, per_group] = [w.shape[0], w.shape[1]];
        if groups == 0 || inputs != shape[1] || !inputs.is_multiple_of(groups) {
            let problem = format!(
                "weights of shape {:?} for {} channels in {groups} groups",
                w.shape, shape[1]
            );
            return Err(node.wrong(problem));
        }
        let rows = Phases::new(
            kernel[0],
            stride[0],
            dilation[0],
            padding[0],
            out[0],
            size[0],
        );
        let columns = Phases::new(
            kernel[1],
            stride[1],
            dilation[1],
            padding[1],
            out[1],
            size[1],
        );
        let channels = per_group * groups;
        let phases = stride[0] * stride[1];
        let dtype = self.dtype(&x);
        let name = self.operand_name(node, 1);
        let form = format!("transposed {dtype} {rows:?} {columns:?}");
        let w = self.param(&name, &form, || {
            let Data::Float(data) = &w.data else {
                return Err(node.wrong("its weights are integers"));
            };
            let each = inputs / groups;
            let taps = [rows.taps, columns.taps];
            // As many channels as the strides say: more than the file holds, so counted first.
            let shape = [channels.saturating_mul(phases), taps[0], taps[1], each];
            let shape = made_shape(&shape.map(|size| i64::try_from(size).unwrap_or(i64::MAX)))?;
            let mut out = vec![0.0f32; shape.iter().product()];
            let mut at = 0;
            for o in 0..channels {
                for (ry, rx) in (0..stride[0]).flat_map(|y| (0..stride[1]).map(move |x| (y, x))) {
                    for (ty, tx) in (0..taps[0]).flat_map(|y| (0..taps[1]).map(move |x| (y, x))) {
                        let from = rows.tap(ry, ty).zip(columns.tap(rx, tx));
                        for c in 0..each {
                            if let Some((ky, kx)) = from {
                                let input = o / per_group * each + c;
                                let row = input * per_group + o % per_group;
                                out[at] = data[(row * kernel[0] + ky) * kernel[1] + kx];
                            }
                            at += 1;
                        }
                    }
                }
            }
            Array::float(&shape, out).tensor(dtype)
        })?;
        let bias = match self.constant(node, 2)? {
            None => None,
            Some(bias) if bias.len() == channels => {
                let each = bias.to_f32();
                let all: Vec<f32> = (0..channels * phases).map(|o| each[o / phases]).collect();
                let make = || Tensor::from_f32(&[channels * phases], &all);
                let name = self.operand_name(node, 2);
                Some(self.param(&name, &format!("transposed bias {phases}"), make)?)
            }
            Some(bias) => {
                let problem = format!("a bias of {:?} for {channels} channels", bias.shape);
                return Err(node.wrong(problem));
            }
        };
        let op = Conv2d::new(Conv {
            stride: [1; 2],
            padding: [rows.before, columns.before, rows.after, columns.after],
            dilation: [1; 2],
            groups,
        });
        let image = self.image(node, &x)?;
        let mut operands = vec![image, w];
        operands.extend(bias);
        let op = if bias.is_some() {
            op
        } else {
            op.without_bias()
        };
        let y = self.graph.push(node.name, op, &operands)?;
        let spread = Spread {
            from: y,
            stride,
            start: [rows.skip, columns.skip],
            size: out,
        };
        self.spread(node, spread, shape.len())
    }

    /// The channels of a transposed convolution as pixels.
    fn spread(&mut self, node: &Reading<'_>, spread: Spread, rank: usize) -> Result<Live> {
        let y = self.pixels_of_channels(node.name, spread.from, spread.stride, true)?;
        let y = self.cropped(node, y, spread.start, spread.size)?;
        let live = self.off_image(node, y, rank)?;
        self.spreads.insert(live.id, spread);
        Ok(live)
    }

    /// A batch norm behind a transposed convolution belongs before its channels become pixels, where it
    /// is part of the layer: each of its numbers counts for all places of a channel.
    pub(super) fn norm_before_spread(
        &mut self,
        node: &Reading<'_>,
        x: &Live,
        eps: f32,
    ) -> Result<Option<Live>> {
        let Some(spread) = self.spreads.get(&x.id).copied() else {
            return Ok(None);
        };
        let phases = spread.stride[0] * spread.stride[1];
        let mut inputs = vec![spread.from];
        for i in 1..5 {
            let each = self.required(node, i)?.to_f32();
            let all: Vec<f32> = each
                .iter()
                .flat_map(|&number| std::iter::repeat_n(number, phases))
                .collect();
            let name = self.operand_name(node, i);
            let make = || Tensor::from_f32(&[all.len()], &all);
            inputs.push(self.param(&name, &format!("phases {phases}"), make)?);
        }
        let op = crate::graph::ops::BatchNorm { eps };
        let from = self.graph.push(node.name, op, &inputs)?;
        self.spread(node, Spread { from, ..spread }, x.order.len())
            .map(Some)
    }

    /// `size` pixels of an image, from `start` on.
    fn cropped(
        &mut self,
        node: &Reading<'_>,
        id: ValueId,
        start: [usize; 2],
        size: [usize; 2],
    ) -> Result<ValueId> {
        let shape = self.graph.value(id).shape.clone();
        if shape[1..3] == size {
            return Ok(id);
        }
        let op = Slice {
            start: vec![0, start[0], start[1], 0],
            step: vec![1; 4],
            size: vec![shape[0], size[0], size[1], shape[3]],
        };
        let name = self.fresh(&format!("{}/crop", node.name));
        self.graph.push(&name, op, &[id])
    }
}

/// The result of a transposed convolution before its channels become pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    from: ValueId,
    stride: [usize; 2],
    /// The pixels that are left.
    start: [usize; 2],
    size: [usize; 2],
}

/// One axis of a transposed convolution as an ordinary one: what place `phase` of every `stride` places in
/// the result takes from which inputs.
#[derive(Clone, Copy, Debug)]
struct Phases {
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Inputs that a place sees, from `first` (relative) on.
    taps: usize,
    first: i64,
    before: usize,
    after: usize,
    /// Places of the convolution's result before the first of the file's.
    skip: usize,
}

impl Phases {
    /// Place `t` of the uncut result takes tap `k` of input `i` with `t = i · stride + k · dilation`; the
    /// first `cut` places are left out.
    fn new(
        kernel: usize,
        stride: usize,
        dilation: usize,
        cut: usize,
        out: usize,
        size: usize,
    ) -> Self {
        // Whole groups of `stride` places from 0 on, in the uncut result: group `q` sees the inputs
        // `q − (kernel − 1) · dilation / stride` to `q`.
        let reach = (kernel - 1) * dilation / stride;
        let first_group = cut / stride;
        let last_group = (cut + out - 1) / stride;
        let groups = last_group - first_group + 1;
        let taps = reach + 1;
        // Group `first_group` begins at input `first_group − reach`.
        let start = first_group as i64 - reach as i64;
        let end = start + (groups + taps - 1) as i64;
        Self {
            kernel,
            stride,
            dilation,
            taps,
            first: -(reach as i64),
            before: usize::try_from(-start).unwrap_or(0),
            after: usize::try_from(end - size as i64).unwrap_or(0),
            // Inputs before `start` are computed and cut away with the rest.
            skip: cut % stride + usize::try_from(start).unwrap_or(0) * stride,
        }
    }

    /// The tap of the file's filter that place `phase` takes from the input `tap` behind the first it sees.
    fn tap(&self, phase: usize, tap: usize) -> Option<usize> {
        // t = q · stride + phase, i = q + first + tap: what is left for k · dilation.
        let rest = phase as i64 - (self.first + tap as i64) * self.stride as i64;
        let rest = usize::try_from(rest).ok()?;
        let k = rest / self.dilation;
        (rest.is_multiple_of(self.dilation) && k < self.kernel).then_some(k)
    }
}
