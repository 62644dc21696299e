//! ```text
//! u  = round_ties_even(x[i] · inv_scale[ch]) + zero_point[ch]
//! y[i]  = (clamp(u, qmin, qmax) − zero_point[ch]) · scale[ch]
//! dx[i] = dy[i] if qmin ≤ u ≤ qmax, else 0
//! ```
//!
//! f32, any shape; `ch` is the index of `i` along `axis`, or 0. `inv_scale` is `1 / scale` rounded on the host. The zero
//! point is added after rounding (PyTorch's CPU rule, per tensor and per channel alike). NaN gives 0; ±inf the end of
//! the range. The straight-through gradient takes its mask before clamping, so it passes inputs up to half a step
//! beyond the ends (PyTorch's rule): a selection, nothing is rounded.

use super::super::channels::Channels;
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Const, Kernel, Launch, Spec, grid_1d, random_args};
use super::rounding::{candidates, example_params, unclamped};
use crate::base::{DType, Range, Rng, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// Quantize, then dequantize. Bindings: `x`, `scale[c]`, `inv_scale[c]`, `zero_point[c]`, `y`.
#[derive(Clone, Debug)]
pub struct FakeQuant {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None`: one for all (c = 1).
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
}

/// Straight-through gradient. Bindings: `x`, `inv_scale[c]`, `zero_point[c]`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct FakeQuantGrad {
    /// Shape of `x`, `dy` and `dx`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None`: one for all (c = 1).
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
}

/// Elements of one invocation, a workgroup's width apart.
const STRIP: usize = 4;
const WORKGROUP: usize = 64;
/// Far within what `common/fake_quant.wgsl` tells apart.
const MOST: i32 = 1 << 16;

fn launch(
    (op, source): (&str, &'static str),
    (shape, axis, range): (&[usize], Option<usize>, Range),
    caps: &Caps,
) -> Result<Launch> {
    let channels = checked(op, (shape, axis, range))?;
    let (len, inner) = (num_elements(shape), channels.inner.max(1));
    Ok(Launch {
        source: source.into(),
        spec: Spec::new()
            .with("PER_CHANNEL", axis.is_some())
            .with("QMIN", Const::I32(range.qmin))
            .with("QMAX", Const::I32(range.qmax)),
        params: params(
            op,
            [
                len.into(),
                channels.count.into(),
                inner.into(),
                (WORKGROUP / inner % channels.count.max(1)).into(),
                (WORKGROUP % inner).into(),
            ],
        )?,
        workgroups: grid_1d(len, WORKGROUP * STRIP, caps),
    })
}

/// The channels, if there is such an axis and an integer in the range.
pub(super) fn checked(
    op: &str,
    (shape, axis, range): (&[usize], Option<usize>, Range),
) -> Result<Channels> {
    let Range { qmin, qmax } = range;
    if qmin > qmax || qmin < -MOST || qmax > MOST {
        let problem = format!("integers from {qmin} to {qmax}, expected some within ±{MOST}");
        return Err(Error::invalid(op, problem));
    }
    Channels::checked(op, shape, axis)
}

impl Kernel for FakeQuant {
    fn name(&self) -> &'static str {
        "fake_quant_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = [Channels::of(&self.shape, self.axis).count];
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("scale", DType::F32, c),
            Binding::read("inv_scale", DType::F32, c),
            Binding::read("zero_point", DType::I32, c),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/quantize/fake_quant.wgsl");
        let of = (self.shape.as_slice(), self.axis, self.range);
        launch((self.name(), source), of, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.map(args, |x, scale, inv_scale, zero_point| {
            let u = unclamped(x, inv_scale, zero_point);
            let steps = u
                .clamp(self.range.qmin, self.range.qmax)
                .wrapping_sub(zero_point);
            f64::from(steps) * f64::from(scale)
        })?;
        args[4].store_f64(&y)
    }

    /// One step next to a tie of the product; elsewhere the product with the scale may be either
    /// neighbour, which [`Agreement::NearTie`] grants to floats.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let Range { qmin, qmax } = self.range;
        let ties = self.map(args, |x, scale, inv_scale, zero_point| {
            let (low, high) = candidates(x, inv_scale, zero_point);
            (
                low.clamp(qmin, qmax) != high.clamp(qmin, qmax),
                f64::from(scale),
            )
        })?;
        let (near_tie, step) = ties.into_iter().unzip();
        equal_but(5, [(4, Agreement::NearTie { near_tie, step })])
    }

    fn operations(&self) -> f64 {
        6.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let channels = Channels::of(&self.shape, self.axis);
        args[1..4].clone_from_slice(&example_params(channels, self.range, rng));
        args
    }
}

impl FakeQuant {
    /// `f(x, scale, inv_scale, zero_point)` of every element.
    fn map<T>(&self, args: &[Tensor], f: impl Fn(f32, f32, f32, i32) -> T) -> Result<Vec<T>> {
        let channels = checked(self.name(), (&self.shape, self.axis, self.range))?;
        let (x, scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (inv_scale, zero_point) = (args[2].as_f32()?, args[3].as_i32()?);
        let element = |(i, &x): (usize, &f32)| {
            let ch = channels.channel_of(i);
            f(x, scale[ch], inv_scale[ch], zero_point[ch])
        };
        Ok(x.iter().enumerate().map(element).collect())
    }
}

impl Kernel for FakeQuantGrad {
    fn name(&self) -> &'static str {
        "fake_quant_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = [Channels::of(&self.shape, self.axis).count];
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("inv_scale", DType::F32, c),
            Binding::read("zero_point", DType::I32, c),
            Binding::read("dy", DType::F32, self.shape.clone()),
            Binding::write("dx", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/quantize/fake_quant_grad.wgsl");
        let of = (self.shape.as_slice(), self.axis, self.range);
        launch((self.name(), source), of, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.map(args, |x, dy, inv_scale, zero_point| {
            let passes = self.passes(unclamped(x, inv_scale, zero_point));
            if passes { f64::from(dy) } else { 0.0 }
        })?;
        args[4].store_f64(&dx)
    }

    /// Exact, but 0 or `dy` where the rounded value may fall to either side of an end.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let ties = self.map(args, |x, dy, inv_scale, zero_point| {
            let (low, high) = candidates(x, inv_scale, zero_point);
            let ambiguous = self.passes(low) != self.passes(high);
            // No step where there is no tie: the comparison is then exact.
            (ambiguous, if ambiguous { f64::from(dy.abs()) } else { 0.0 })
        })?;
        let (near_tie, step) = ties.into_iter().unzip();
        equal_but(5, [(4, Agreement::NearTie { near_tie, step })])
    }

    fn operations(&self) -> f64 {
        5.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let channels = Channels::of(&self.shape, self.axis);
        let [_, inv_scale, zero_point] = example_params(channels, self.range, rng);
        (args[1], args[2]) = (inv_scale, zero_point);
        args
    }
}

impl FakeQuantGrad {
    fn passes(&self, unclamped: i32) -> bool {
        (self.range.qmin..=self.range.qmax).contains(&unclamped)
    }

    /// `f(x, dy, inv_scale, zero_point)` of every element.
    fn map<T>(&self, args: &[Tensor], f: impl Fn(f32, f32, f32, i32) -> T) -> Result<Vec<T>> {
        let channels = checked(self.name(), (&self.shape, self.axis, self.range))?;
        let (x, inv_scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (zero_point, dy) = (args[2].as_i32()?, args[3].as_f32()?);
        let element = |(i, (&x, &dy)): (usize, (&f32, &f32))| {
            let ch = channels.channel_of(i);
            f(x, dy, inv_scale[ch], zero_point[ch])
        };
        Ok(x.iter().zip(dy).enumerate().map(element).collect())
    }
}

/// Shapes and ranges shared with the gradients: one, primes, every axis, more channels than a strip
/// spans, all bit widths.
pub(super) fn cases() -> Vec<(Shape, Option<usize>, Range)> {
    vec![
        (vec![1], None, Range::affine(8)),
        (vec![7, 13, 11], None, Range::affine(4)),
        (vec![5, 3, 3, 7], Some(0), Range::symmetric(8)),
        (vec![3, 5, 2, 131], Some(1), Range::symmetric(2)),
        (vec![37, 6], Some(1), Range::affine(3)),
        (vec![2, 601], Some(1), Range::affine(1)),
        (vec![64, 1, 1, 1], Some(0), Range::symmetric(4)),
    ]
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let forward = |(shape, axis, range)| FakeQuant { shape, axis, range };
    let grad = |(shape, axis, range)| FakeQuantGrad { shape, axis, range };
    let mut samples = boxed(cases().into_iter().map(forward));
    samples.extend(boxed(cases().into_iter().map(grad)));
    samples
}
