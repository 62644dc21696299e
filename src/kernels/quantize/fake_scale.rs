//! `partial[j, ch] = grad_factor · Σ_e term(e)` over the `j`-th chunk of the elements of channel `ch`
//!
//! ```text
//! u       = round_ties_even(x · inv_scale) + zero_point
//! term(e) = dy · (qmin − zero_point)                                     u < qmin
//!           dy · (qmax − zero_point)                                     u > qmax
//!           dy · ((u − zero_point) · scale − x) · inv_scale              else
//! ```
//!
//! The gradient of a learned step size (LSQ; PyTorch's `_fake_quantize_learnable_*`), up to a sum over
//! the chunks. `x`, `dy`: f32, any shape. Chunk `j` holds the elements `j·n .. (j + 1)·n` of a channel
//! in memory order, `n` = length of a channel / chunks, rounded up.

use crate::base::parallel::*;

use super::super::channels::{Channels, chunks_for};
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Const, Kernel, Launch, Spec};
use super::super::{gamma, grid_1d, random_args, ulp_f32};
use super::fake::{cases, checked};
use super::rounding::{candidates, example_params, unclamped};
use crate::base::{DType, Range, Rng, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// Gradient of the step size. Bindings: `x`, `scale[c]`, `inv_scale[c]`, `zero_point[c]`, `dy`,
/// `partial[chunks, c]`.
#[derive(Clone, Debug)]
pub struct FakeQuantScaleGrad {
    /// Shape of `x` and `dy`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None`: one for all (c = 1).
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
    /// What every sum is multiplied by: `1 / √(elements · qmax)` in LSQ.
    pub grad_factor: f32,
    /// Parts of each channel: [`crate::kernels::chunks_for`] its length.
    pub chunks: usize,
}

impl FakeQuantScaleGrad {
    fn channels(&self) -> Channels {
        Channels::of(&self.shape, self.axis)
    }

    /// Elements of one chunk.
    fn chunk(&self) -> usize {
        self.channels().len().div_ceil(self.chunks.max(1))
    }

    /// `fold(inputs of one element)` summed over every (chunk, channel), in the order of `partial`.
    fn sums<const N: usize>(
        &self,
        args: &[Tensor],
        fold: impl Fn(Element) -> [f64; N] + Sync,
    ) -> Result<Vec<[f64; N]>> {
        let (x, scale, inv_scale) = (args[0].as_f32()?, args[1].as_f32()?, args[2].as_f32()?);
        let (zero_point, dy) = (args[3].as_i32()?, args[4].as_f32()?);
        let of = (self.shape.as_slice(), self.axis, self.range);
        let (channels, chunk) = (checked(self.name(), of)?, self.chunk());
        Ok((0..self.chunks * channels.count)
            .into_par_iter()
            .map(|at| {
                let (j, ch) = (at / channels.count, at % channels.count);
                let end = ((j + 1) * chunk).min(channels.len());
                let mut sum = [0.0; N];
                for e in j * chunk..end {
                    let i = channels.index(ch, e);
                    let values = fold(Element {
                        x: x[i],
                        dy: dy[i],
                        scale: scale[ch],
                        inv_scale: inv_scale[ch],
                        zero_point: zero_point[ch],
                    });
                    for (sum, value) in sum.iter_mut().zip(values) {
                        *sum += value;
                    }
                }
                sum
            })
            .collect())
    }
}

#[derive(Clone, Copy)]
struct Element {
    x: f32,
    dy: f32,
    scale: f32,
    inv_scale: f32,
    zero_point: i32,
}

impl Element {
    /// The term, given the rounded value, and a bound on its error in f32.
    fn term(self, unclamped: i32, range: Range) -> (f64, f64) {
        let (x, dy) = (f64::from(self.x), f64::from(self.dy));
        let z = self.zero_point;
        if unclamped < range.qmin || unclamped > range.qmax {
            let end = unclamped.clamp(range.qmin, range.qmax);
            let term = dy * f64::from(end.wrapping_sub(z));
            return (term, ulp_f32(term));
        }
        // Four operations, an ULP of each result, carried through those that follow.
        let inv = f64::from(self.inv_scale);
        let xfq = f64::from(unclamped.wrapping_sub(z)) * f64::from(self.scale);
        let error = (ulp_f32(xfq) + ulp_f32(xfq - x)) * inv.abs();
        let inside = (xfq - x) * inv;
        let error = error + ulp_f32(inside);
        let term = dy * inside;
        (term, dy.abs() * error + ulp_f32(term))
    }
}

impl Kernel for FakeQuantScaleGrad {
    fn name(&self) -> &'static str {
        "fake_quant_scale_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = self.channels().count;
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("scale", DType::F32, [c]),
            Binding::read("inv_scale", DType::F32, [c]),
            Binding::read("zero_point", DType::I32, [c]),
            Binding::read("dy", DType::F32, self.shape.clone()),
            Binding::write("partial", DType::F32, [self.chunks, c]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = checked(self.name(), (&self.shape, self.axis, self.range))?;
        if self.chunks == 0 {
            return Err(Error::invalid(self.name(), "0 chunks, expected at least 1"));
        }
        Ok(Launch {
            source: include_str!("../../../shaders/quantize/fake_quant_scale_grad.wgsl").into(),
            spec: Spec::new()
                .with("CONTIGUOUS", channels.outer == 1)
                .with("QMIN", Const::I32(self.range.qmin))
                .with("QMAX", Const::I32(self.range.qmax)),
            params: params(
                self.name(),
                [
                    channels.count.into(),
                    channels.inner.max(1).into(),
                    channels.len().into(),
                    self.chunk().into(),
                    self.chunks.into(),
                    self.grad_factor.into(),
                ],
            )?,
            workgroups: grid_1d(self.chunks * channels.count, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let term = |e: Element| e.term(unclamped(e.x, e.inv_scale, e.zero_point), self.range);
        let sums = self.sums(args, |e| [term(e).0])?;
        let factor = f64::from(self.grad_factor);
        let partial: Vec<f64> = sums.into_iter().map(|[sum]| factor * sum).collect();
        args[5].store_f64(&partial)
    }

    /// `|grad_factor| · (Σ errors of the terms + γ(n)·Σ|term|)` and an ULP of the result; next to a tie
    /// the error of a term is the distance to what the other rounding gives.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let sums = self.sums(args, |e| {
            let (low, high) = candidates(e.x, e.inv_scale, e.zero_point);
            let ((a, error_a), (b, error_b)) = (e.term(low, self.range), e.term(high, self.range));
            let error = (a - b).abs() + error_a.max(error_b);
            [a, a.abs().max(b.abs()) + error, error]
        })?;
        let factor = f64::from(self.grad_factor);
        let n = self.chunk();
        let bound = sums
            .into_iter()
            .map(|[sum, magnitude, error]| {
                factor.abs() * (error + gamma(n) * magnitude) + ulp_f32(factor * sum)
            })
            .collect();
        equal_but(6, [(5, Agreement::Within(bound))])
    }

    fn operations(&self) -> f64 {
        9.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[1..4].clone_from_slice(&example_params(self.channels(), self.range, rng));
        args
    }
}

/// The shapes of the forward kernel, and chunks that are uneven, empty, or many.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(chunks, (shape, axis, range))| FakeQuantScaleGrad {
        shape,
        axis,
        range,
        grad_factor: 0.25,
        chunks,
    };
    let large = (vec![3, 14, 14, 33], None, Range::affine(8));
    let large = (chunks_for(3 * 14 * 14 * 33), large);
    let small = [1, 3, 2, 5, 40, 1, 3].into_iter().zip(cases());
    boxed(small.chain([large]).map(kernel))
}
