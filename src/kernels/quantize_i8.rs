//! `y[i] = clamp(round_ties_even(x[i] · inv_scale[ch]) + zero_point[ch], qmin, qmax)`
//!
//! `x`: f32, any shape; `inv_scale`: f32 `[c]` (reciprocals, made on the host in f32), `zero_point`: i32 `[c]`,
//! `y`: i8, the shape of `x`. `ch` is the position of `i` along `axis`, and `c` its size; without an axis `c` is 1.
//! NaN gives the zero point, ±inf saturates. One rounding, of the product, may go to either neighbour.

use super::elementwise::{self, EACH, halves};
use super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, Spec};
use super::{gamma, params_bytes, random_args};
use crate::base::{DType, Range, Requant, Rng, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// Equation (2) of [`crate::base::QParams`]. Bindings: `x`, `inv_scale`, `zero_point`, `y`.
#[derive(Clone, Debug)]
pub struct QuantizeI8 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None` = per tensor.
    pub axis: Option<usize>,
    /// Integers allowed, within −128 ..= 127.
    pub range: Range,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    row_len: u32,
    row_words: u32,
    channels: u32,
    rows: u32,
    qmin: i32,
    qmax: i32,
}

impl Kernel for QuantizeI8 {
    fn name(&self) -> &'static str {
        "quantize_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = Channels::count(self.name(), &self.shape, self.axis);
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("inv_scale", DType::F32, [c]),
            Binding::read("zero_point", DType::I32, [c]),
            Binding::write("y", DType::I8, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = words_for(&self.shape, DType::I8);
        let channels = Channels::of(self.name(), &self.shape, self.axis)?;
        let row_len = self.shape.last().copied().unwrap_or(1);
        let spec = Spec::new()
            .with("LIVE", row_len.clamp(1, 4) as u32)
            .with("LAST_AXIS", channels.last_axis)
            .with("ONE_CHANNEL", channels.count == 1);
        let (_, spec) = halves(spec, row_len.is_multiple_of(4), caps);
        let params = params_bytes(&Params {
            words: words as u32,
            row_len: row_len as u32,
            row_words: row_words(&self.shape, DType::I8) as u32,
            channels: channels.count as u32,
            rows: channels.rows as u32,
            qmin: self.range.qmin,
            qmax: self.range.qmax,
        });
        let items = if channels.last_axis {
            // Invocations go down the rows.
            let row_words = row_words(&self.shape, DType::I8);
            (words / row_words.max(1)).next_multiple_of(EACH) * row_words
        } else {
            words
        };
        let source = include_str!("../../shaders/quantize_i8.wgsl");
        Ok(elementwise::launch(source, spec, params, items, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let quantize = |x: f32, inv_scale: f32, zero_point: i32| {
            // `as` maps NaN to 0 and saturates.
            let steps = (x * inv_scale).round_ties_even() as i32;
            let q = steps.saturating_add(zero_point);
            q.clamp(self.range.qmin, self.range.qmax) as i8
        };
        let y = self.map(args, quantize)?;
        args[3].store_i8(&y)
    }

    /// The product may be rounded to either neighbour; subnormal inputs may be taken for 0.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let near_tie = self.map(args, |x, inv_scale, zero_point| {
            let out = OutI8 {
                requant: Requant::Float,
                zero_point,
                range: self.range,
            };
            let exact = f64::from(x) * f64::from(inv_scale);
            let flushed = f64::from(f32::MIN_POSITIVE) * f64::from(inv_scale);
            exact.is_finite() && out.undecided(exact, exact.abs() * gamma(1) + flushed)
        })?;
        let mut all = vec![Agreement::Equal; 4];
        let step = vec![1.0; near_tie.len()];
        all[3] = Agreement::NearTie { near_tie, step };
        Ok(all)
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.5];
        for word in args[0].words_mut() {
            if rng.below(32) == 0 {
                *word = special[rng.below(special.len())].to_bits();
            }
        }
        let count = args[1].len();
        for i in 0..count {
            // Inputs lie within ±2: from a third of the range to three times the range; some exact powers of two.
            let inv_scale = rng.range(20.0, 200.0);
            let inv_scale = if i % 3 == 0 { 64.0 } else { inv_scale };
            args[1].words_mut()[i] = f32::to_bits(inv_scale);
            let zero_point = rng.below(256) as i32 - 128;
            args[2].words_mut()[i] = zero_point as u32;
        }
        args
    }
}

impl QuantizeI8 {
    /// `f(x, inv_scale, zero_point)` of every element.
    fn map<T>(&self, args: &[Tensor], f: impl Fn(f32, f32, i32) -> T) -> Result<Vec<T>> {
        let (x, inv_scale, zero_point) = (args[0].as_f32()?, args[1].as_f32()?, args[2].as_i32()?);
        let channels = Channels::of(self.name(), &self.shape, self.axis)?;
        let element = |(i, &x): (usize, &f32)| {
            let ch = channels.at(i);
            f(x, inv_scale[ch], zero_point[ch])
        };
        Ok(x.iter().enumerate().map(element).collect())
    }
}

/// Where the slices of an axis lie among the elements and rows of a tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channels {
    /// Slices: the size of the axis, 1 without an axis.
    pub count: usize,
    /// Elements from one slice to the next.
    pub inner: usize,
    /// Rows (everything but the last axis) from one slice to the next; 1 if the axis is the last.
    pub rows: usize,
    /// The axis is the last: the slices are the columns.
    pub last_axis: bool,
}

impl Channels {
    /// # Errors
    /// [`Error::Invalid`] naming `op` if the shape has no such axis.
    pub fn of(op: &str, shape: &[usize], axis: Option<usize>) -> Result<Self> {
        let Some(axis) = axis else {
            return Ok(Self {
                count: 1,
                inner: 1,
                rows: 1,
                last_axis: false,
            });
        };
        if axis >= shape.len() {
            let problem = format!("channel axis {axis} of a tensor of shape {shape:?}");
            return Err(Error::invalid(op, problem));
        }
        let last = shape.len() - 1;
        Ok(Self {
            count: shape[axis],
            inner: num_elements(&shape[axis + 1..]),
            rows: num_elements(shape[..last].get(axis + 1..).unwrap_or_default()),
            last_axis: axis == last,
        })
    }

    /// Slices, for bindings: 0 (which no plan accepts) for a wrong axis, which [`Kernel::launch`] reports.
    pub fn count(op: &str, shape: &[usize], axis: Option<usize>) -> usize {
        Self::of(op, shape, axis).map_or(0, |channels| channels.count)
    }

    /// The slice that dense element `i` lies in.
    pub fn at(self, i: usize) -> usize {
        i / self.inner % self.count
    }
}

/// Shapes that hurt: one, tails of words, every axis.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], _, _); 7] = [
        (&[1], None, Range::affine(8)),
        (&[7, 13], None, Range::affine(4)),
        (&[6, 3, 3, 5], Some(0), Range::symmetric(8)),
        (&[3, 5, 2, 7], Some(1), Range::affine(8)),
        (&[3, 5, 2, 7], Some(2), Range::affine(8)),
        (&[3, 5, 2, 7], Some(3), Range::symmetric(3)),
        (&[65], Some(0), Range::affine(8)),
    ];
    cases
        .iter()
        .map(|&(shape, axis, range)| {
            let shape = shape.to_vec();
            Box::new(QuantizeI8 { shape, axis, range }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let kernel = QuantizeI8 {
            shape: vec![2, 4],
            axis: Some(0),
            range: Range::affine(8),
        };
        let x = [0.5, 1.5, f32::NAN, f32::INFINITY, 0.5, -1.25, -0.0, -1e30];
        let mut args = [
            Tensor::from_f32(&[2, 4], &x).expect("fits"),
            Tensor::from_f32(&[2], &[1.0, 2.0]).expect("fits"),
            Tensor::from_i32(&[2], &[3, -1]).expect("fits"),
            Tensor::zeros(&[2, 4], DType::I8),
        ];
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(
            args[3].to_i8().expect("i8"),
            [3, 5, 3, 127, 0, -3, -1, -128]
        );
    }
}
