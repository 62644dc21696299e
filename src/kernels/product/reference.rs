//! Sums of products in f64, and what becomes of sums: the CPU side of matrix products and convolutions.

use crate::base::parallel::*;

use super::{Agreement, Binding, Conv, Float, OutI8};
use crate::base::{DType, Tensor};
use crate::error::Result;
use crate::kernels::map::Unary;
use crate::kernels::{Approx, gamma, within_f16, within_f32};

/// `out[i, j] = Σ_r left(i, r) · right(j, r)`.
pub(super) fn products(
    (rows, columns, steps): (usize, usize, usize),
    left: impl Fn(usize, usize) -> f64 + Sync,
    right: impl Fn(usize, usize) -> f64 + Sync,
) -> Vec<f64> {
    (0..rows * columns)
        .into_par_iter()
        .map(|at| {
            let (i, j) = (at / columns, at % columns);
            (0..steps).map(|r| left(i, r) * right(j, r)).sum()
        })
        .collect()
}

/// Element `[n, h, w, c]` of a dense tensor; its position.
pub(super) fn at4(shape: [usize; 4], [n, h, w, c]: [usize; 4]) -> usize {
    ((n * shape[1] + h) * shape[2] + w) * shape[3] + c
}

/// All index tuples of `shape` in order, mapped in parallel.
fn for_each(shape: [usize; 4], value: impl Fn([usize; 4]) -> f64 + Sync) -> Vec<f64> {
    let [_, b, c, d] = shape;
    (0..shape.iter().product::<usize>())
        .into_par_iter()
        .map(|i| value([i / (b * c * d), i / (c * d) % b, i / d % c, i % d]))
        .collect()
}

/// Shapes and geometry of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub x: [usize; 4],
    pub w: [usize; 4],
    pub y: [usize; 4],
    pub conv: Conv,
}

impl Geometry {
    /// Checks the shapes.
    ///
    /// # Errors
    /// As [`Conv::output_shape`].
    pub fn new(x: [usize; 4], w: [usize; 4], conv: Conv) -> Result<Self> {
        let y = conv.output_shape(x, w)?;
        Ok(Self { x, w, y, conv })
    }

    /// Input pixel under tap `tap` of output pixel `out` along an axis (0: height, 1: width), if it lies inside.
    fn tap(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        (out * self.conv.stride[axis] + tap * self.conv.dilation[axis])
            .checked_sub(self.conv.padding[axis])
            .filter(|&pixel| pixel < self.x[1 + axis])
    }

    /// Output pixel whose tap `tap` lies on input pixel `pixel` along an axis, if there is one.
    fn reached(&self, axis: usize, pixel: usize, tap: usize) -> Option<usize> {
        (pixel + self.conv.padding[axis])
            .checked_sub(tap * self.conv.dilation[axis])
            .filter(|above| above % self.conv.stride[axis] == 0)
            .map(|above| above / self.conv.stride[axis])
            .filter(|&out| out < self.y[1 + axis])
    }

    /// `y = x ∗ w`, without bias.
    pub fn forward(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        let [_, kernel_h, kernel_w, group_c] = self.w;
        let group_o = self.w[0] / self.conv.groups;
        for_each(self.y, |[n, oh, ow, o]| {
            let mut sum = 0.0;
            for i in 0..kernel_h {
                let Some(ih) = self.tap(0, oh, i) else {
                    continue;
                };
                for j in 0..kernel_w {
                    let Some(iw) = self.tap(1, ow, j) else {
                        continue;
                    };
                    let x_at = at4(self.x, [n, ih, iw, o / group_o * group_c]);
                    let w_at = at4(self.w, [o, i, j, 0]);
                    sum += (0..group_c).map(|c| x[x_at + c] * w[w_at + c]).sum::<f64>();
                }
            }
            sum
        })
    }

    /// Gradient of `x`.
    pub fn grad_input(&self, dy: &[f64], w: &[f64]) -> Vec<f64> {
        let [out_channels, kernel_h, kernel_w, group_c] = self.w;
        let group_o = out_channels / self.conv.groups;
        for_each(self.x, |[n, ih, iw, c]| {
            let group = c / group_c;
            let mut sum = 0.0;
            for i in 0..kernel_h {
                let Some(oh) = self.reached(0, ih, i) else {
                    continue;
                };
                for j in 0..kernel_w {
                    let Some(ow) = self.reached(1, iw, j) else {
                        continue;
                    };
                    for o in group * group_o..(group + 1) * group_o {
                        sum += dy[at4(self.y, [n, oh, ow, o])]
                            * w[at4(self.w, [o, i, j, c % group_c])];
                    }
                }
            }
            sum
        })
    }

    /// Gradient of `w`.
    pub fn grad_weight(&self, dy: &[f64], x: &[f64]) -> Vec<f64> {
        let group_o = self.w[0] / self.conv.groups;
        for_each(self.w, |[o, i, j, c]| {
            let channel = o / group_o * self.w[3] + c;
            let mut sum = 0.0;
            for n in 0..self.y[0] {
                for oh in 0..self.y[1] {
                    let Some(ih) = self.tap(0, oh, i) else {
                        continue;
                    };
                    for ow in 0..self.y[2] {
                        let Some(iw) = self.tap(1, ow, j) else {
                            continue;
                        };
                        sum +=
                            dy[at4(self.y, [n, oh, ow, o])] * x[at4(self.x, [n, ih, iw, channel])];
                    }
                }
            }
            sum
        })
    }

    /// Multiply-adds of the forward pass, and of either gradient.
    pub fn multiply_adds(&self) -> f64 {
        let [_, kernel_h, kernel_w, group_c] = self.w;
        (self.y.iter().product::<usize>() * kernel_h * kernel_w * group_c) as f64
    }
}

/// The output's shape for bindings, which cannot fail: nothing at all where the geometry is wrong, which
/// a plan refuses and `launch` explains.
pub(super) fn output_or_empty(x: [usize; 4], w: [usize; 4], conv: Conv) -> [usize; 4] {
    conv.output_shape(x, w).unwrap_or([0; 4])
}

/// `|v|`, element by element.
pub(super) fn magnitudes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

/// Adds `bias[o]` (the last axis of `y`).
pub(super) fn add_bias(y: &mut [f64], bias: &[f64]) {
    for row in y.chunks_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
    }
}

/// Agreement on `act(Σ)` over `terms` products with bias, of which `size[i]` is the sum of magnitudes and `values[i]` the
/// exact one.
///
/// A product is rounded once and then takes part in at most `terms` additions (the bias is one), hence
/// `γ(terms + 1) · size`. In native f16 each product is off by one ULP of f16 more (2⁻¹⁰ of it, or a flushed subnormal
/// below 2⁻¹⁴).
pub(super) fn float_agreement(
    (float, act): (Float, Option<Unary>),
    terms: usize,
    size: &[f64],
    values: &[f64],
) -> Agreement {
    let sums = gamma(terms + 1);
    let of = |(&size, &value): (&f64, &f64)| {
        let mut error = sums * size;
        if float == Float::NativeF16 {
            error += (1.0 + sums) * (2f64.powi(-10) * size + terms as f64 * 2f64.powi(-14));
        }
        let sum = Approx { value, error };
        act.map_or(sum, |act| act.approx(sum))
    };
    let results: Vec<Approx> = size.iter().zip(values).map(of).collect();
    match float {
        Float::F32 => within_f32(&results),
        Float::F16 | Float::NativeF16 => within_f16(&results),
    }
}

/// The bindings of a product of int8 with `channels` columns, up to its output of this shape.
pub(super) fn int8_bindings(
    x: Binding,
    w: Binding,
    channels: usize,
    y: Vec<usize>,
    out: Option<OutI8>,
) -> Vec<Binding> {
    let bias = Binding::read("bias", DType::I32, [channels]);
    if out.is_none() {
        return vec![x, w, bias, Binding::write("y", DType::I32, y)];
    }
    let multiplier = Binding::read("multiplier", DType::U32, [channels, 2]);
    vec![x, w, bias, multiplier, Binding::write("y", DType::I8, y)]
}

/// Stores what becomes of the sums `acc` in the output among `args`.
pub(super) fn int8_store(out: Option<OutI8>, acc: &[i32], args: &mut [Tensor]) -> Result<()> {
    let Some(out) = out else {
        args[3] = Tensor::from_i32(args[3].shape(), acc)?;
        return Ok(());
    };
    let (inputs, y) = args.split_at_mut(4);
    out.store(acc, inputs[3].as_u32()?, &mut y[0])
}

/// The agreement on all arguments of a product of int8 with the sums `acc`.
pub(super) fn int8_agreement(
    out: Option<OutI8>,
    acc: &[i32],
    args: &[Tensor],
) -> Result<Vec<Agreement>> {
    let mut all = vec![Agreement::Equal; args.len()];
    if let Some(out) = out {
        all[4] = out.agreement(acc, args[3].as_u32()?);
    }
    Ok(all)
}
