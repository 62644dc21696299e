//! ```text
//! quantize    y[i] = clamp(round_ties_even(x[i] · inv_scale[ch]) + zero_point[ch], qmin, qmax)
//! dequantize  y[i] = f32(q[i] − zero_point[ch]) · scale[ch]
//! ```
//!
//! `x`: f32, any shape; `q`: int8 or int32; `scale`, `inv_scale` (reciprocals, made on the host in f32): f32 `[c]`,
//! `zero_point`: i32 `[c]`. `ch` is the position of `i` along `axis`, and `c` its size; without an axis `c` is 1. NaN
//! quantizes to the zero point, ±inf saturates. The product may be rounded to either neighbour. The difference of
//! int32 wraps, and becomes f32 with a rounding if it has more than 24 bits.

use super::super::channels::Channels;
use super::super::elementwise::{self, EACH, halves};
use super::super::frame::{boxed, equal_but, no_program, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, Spec};
use super::super::{gamma, grid_1d, random_args, ulp_f32};
use super::rounding::unclamped;
use crate::base::{DType, Range, Requant, Rng, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::Result;

/// f32 to int8. Bindings: `x`, `inv_scale`, `zero_point`, `y`.
#[derive(Clone, Debug)]
pub struct Quantize {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None` = per tensor.
    pub axis: Option<usize>,
    /// Integers allowed, within −128 ..= 127.
    pub range: Range,
}

fn bindings(
    shape: &Shape,
    axis: Option<usize>,
    names: [&'static str; 2],
    [from, to]: [DType; 2],
) -> Vec<Binding> {
    let c = Channels::of(shape, axis).count;
    vec![
        Binding::read(names[0], from, shape.clone()),
        Binding::read(names[1], DType::F32, [c]),
        Binding::read("zero_point", DType::I32, [c]),
        Binding::write("y", to, shape.clone()),
    ]
}

impl Kernel for Quantize {
    fn name(&self) -> &'static str {
        "quantize_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        let names = ["x", "inv_scale"];
        bindings(&self.shape, self.axis, names, [DType::F32, DType::I8])
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.range.check(self.name())?;
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let (words, per_row) = (
            words_for(&self.shape, DType::I8),
            row_words(&self.shape, DType::I8),
        );
        let row_len = self.shape.last().copied().unwrap_or(1);
        // The channels are the columns, or change every so many rows.
        let last_axis = self.axis.is_some() && self.axis == self.shape.len().checked_sub(1);
        let rows = if last_axis {
            1
        } else {
            channels.inner / row_len.max(1)
        };
        let spec = Spec::new()
            .with("LIVE", row_len.clamp(1, 4) as u32)
            .with("LAST_AXIS", last_axis)
            .with("ONE_CHANNEL", channels.count == 1);
        let (_, spec) = halves(spec, row_len.is_multiple_of(4), caps);
        let params = params(
            self.name(),
            [
                words.into(),
                row_len.into(),
                per_row.into(),
                channels.count.into(),
                rows.into(),
                self.range.qmin.into(),
                self.range.qmax.into(),
            ],
        )?;
        let items = if last_axis {
            // Invocations go down the rows.
            (words / per_row.max(1)).next_multiple_of(EACH) * per_row
        } else {
            words
        };
        let source = include_str!("../../../shaders/quantize/quantize.wgsl");
        Ok(elementwise::launch(source, spec, params, items, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.range.check(self.name())?;
        let y = self.map(args, |x, inv_scale, zero_point| {
            let q = unclamped(x, inv_scale, zero_point);
            q.clamp(self.range.qmin, self.range.qmax) as i8
        })?;
        args[3].store_i8(&y)
    }

    /// The product may be rounded to either neighbour; subnormal inputs may be taken for 0.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        self.range.check(self.name())?;
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
        let step = vec![1.0; near_tie.len()];
        equal_but(4, [(3, Agreement::NearTie { near_tie, step })])
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
        for i in 0..args[1].len() {
            // Inputs lie within ±2: from a third of the range to three times the range; some exact powers of two.
            let inv_scale = rng.range(20.0, 200.0);
            let inv_scale = if i % 3 == 0 { 64.0 } else { inv_scale };
            args[1].words_mut()[i] = f32::to_bits(inv_scale);
            args[2].words_mut()[i] = (rng.below(256) as i32 - 128) as u32;
        }
        args
    }
}

impl Quantize {
    /// `f(x, inv_scale, zero_point)` of every element.
    fn map<T>(&self, args: &[Tensor], f: impl Fn(f32, f32, i32) -> T) -> Result<Vec<T>> {
        let (x, inv_scale, zero_point) = (args[0].as_f32()?, args[1].as_f32()?, args[2].as_i32()?);
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let element = |(i, &x): (usize, &f32)| {
            let ch = channels.channel_of(i);
            f(x, inv_scale[ch], zero_point[ch])
        };
        Ok(x.iter().enumerate().map(element).collect())
    }
}

/// Integers to f32. Bindings: `q`, `scale`, `zero_point`, `y`.
#[derive(Clone, Debug)]
pub struct Dequantize {
    /// Shape of `q` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None` = per tensor.
    pub axis: Option<usize>,
    /// Type of `q`: I8 or I32.
    pub dtype: DType,
}

impl Kernel for Dequantize {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::I8 => "dequantize_i8",
            DType::I32 | DType::F32 | DType::F16 | DType::U32 => "dequantize_i32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let names = ["q", "scale"];
        bindings(&self.shape, self.axis, names, [self.dtype, DType::F32])
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if !matches!(self.dtype, DType::I8 | DType::I32) {
            return Err(no_program("dequantize", self.dtype, "i8 or i32"));
        }
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let words = words_for(&self.shape, self.dtype);
        let per_word = if self.dtype == DType::I8 { 4 } else { 1 };
        Ok(Launch {
            source: include_str!("../../../shaders/quantize/dequantize.wgsl").into(),
            spec: Spec::new().with("PER_WORD", per_word),
            params: params(
                self.name(),
                [
                    words.into(),
                    self.shape.last().copied().unwrap_or(1).into(),
                    row_words(&self.shape, self.dtype).into(),
                    channels.count.into(),
                    channels.inner.into(),
                ],
            )?,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.map(args, |steps, scale| f64::from(steps) * f64::from(scale))?;
        args[3].store_f64(&y)
    }

    /// Both sides are a neighbour of a product, of the exact difference or of one of its neighbours.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let bound = self.map(args, |steps, scale| {
            let exact = f64::from(steps) * f64::from(scale);
            let roundings = usize::from(steps.unsigned_abs() > 1 << 24);
            exact.abs() * gamma(roundings) + ulp_f32(exact)
        })?;
        equal_but(4, [(3, Agreement::Within(bound))])
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        if self.dtype == DType::I32 {
            for word in args[0].words_mut() {
                // All magnitudes, beyond the 24 bits of f32 too.
                *word = (rng.next_u32() as i32 >> rng.below(32)) as u32;
            }
        }
        for i in 0..args[1].len() {
            args[1].words_mut()[i] = rng.range(0.001, 0.1).to_bits();
            args[2].words_mut()[i] = (rng.below(256) as i32 - 128) as u32;
        }
        args
    }
}

impl Dequantize {
    /// `f(q − zero_point, scale)` of every element.
    fn map(&self, args: &[Tensor], f: impl Fn(i32, f32) -> f64) -> Result<Vec<f64>> {
        let (scale, zero_point) = (args[1].as_f32()?, args[2].as_i32()?);
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let q: Vec<i32> = match self.dtype {
            DType::I8 => args[0].to_i8()?.into_iter().map(i32::from).collect(),
            DType::I32 | DType::F32 | DType::F16 | DType::U32 => args[0].as_i32()?.to_vec(),
        };
        let element = |(i, q): (usize, i32)| {
            let ch = channels.channel_of(i);
            f(q.wrapping_sub(zero_point[ch]), scale[ch])
        };
        Ok(q.into_iter().enumerate().map(element).collect())
    }
}

/// Shapes that hurt: one, tails of words, every axis.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], _, _); 7] = [
        (&[1], None, Range::affine(8)),
        (&[7, 13], None, Range::affine(4)),
        (&[6, 3, 3, 5], Some(0), Range::symmetric(8)),
        (&[3, 5, 2, 7], Some(1), Range::affine(8)),
        (&[3, 5, 2, 7], Some(2), Range::affine(8)),
        (&[3, 5, 2, 7], Some(3), Range::symmetric(3)),
        (&[65], Some(0), Range::affine(8)),
    ];
    let mut samples = boxed(cases.map(|(shape, axis, range)| Quantize {
        shape: shape.to_vec(),
        axis,
        range,
    }));
    for dtype in [DType::I8, DType::I32] {
        samples.extend(boxed(cases.map(|(shape, axis, _)| Dequantize {
            shape: shape.to_vec(),
            axis,
            dtype,
        })));
    }
    samples
}
