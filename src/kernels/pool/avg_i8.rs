//! The mean of each window in int8.
//!
//! ```text
//! acc[n, oh, ow, c] = Σ (x[n, tap, c] − x_zero_point) over the taps inside the image             int32, exact
//! y[n, oh, ow, c]   = clamp(requant(acc, M[count[oh, ow]]) + zero_point, qmin, qmax)
//! ```
//!
//! `M[count]` stands for `s_x / (s_y · count)`: the division is part of the multiplier, of which there is one for each
//! count that occurs. Padding holds real zeros, which add nothing, counted or not.

use super::super::frame::{boxed, equal_but, params};
use super::super::out_i8::sample_outs;
use super::super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, grid_1d};
use super::window::{Axis, windows};
use super::{Pool, bindings, cases};
use crate::base::{DType, Requant, Tensor, num_elements, words_for};
use crate::error::{Error, Result};

/// The mean of each window. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct AvgPoolI8 {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
    /// The integer of `x` that stands for 0, within −128 ..= 127.
    pub x_zero_point: i32,
    /// `s_x / s_y`.
    pub scale: f64,
    /// How an accumulator becomes an output.
    pub out: OutI8,
}

/// Multipliers that a uniform may hold, of 64 KiB on every device.
const MOST_COUNTS: usize = 4000;
/// Elements of a window whose sum surely fits an int32.
const MOST_TAPS: usize = (i32::MAX / 255) as usize;

impl Kernel for AvgPoolI8 {
    fn name(&self) -> &'static str {
        "avg_pool_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.x, self.pool, DType::I8)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let (axes, counts) = (self.checked()?, self.counts()?);
        let words = words_for(&self.pool.output_shape(self.x)?, DType::I8);
        let c = self.x[3];
        let mut bytes = Vec::new();
        for &count in &counts {
            let [a, b] = self.multiplier(count);
            bytes.extend(params(
                self.name(),
                [count.into(), a.into(), b.into(), 0u32.into()],
            )?);
        }
        let range = self.out.range;
        let others = [words.into(), c.into(), self.x_zero_point.into()];
        bytes.extend(params(self.name(), others)?);
        let out = [
            self.out.zero_point.into(),
            range.qmin.into(),
            range.qmax.into(),
        ];
        bytes.extend(params(self.name(), out)?);
        // Constants of the rule and of the window.
        let spec = self
            .pool
            .spec(axes)
            .with("FIXED", self.out.requant == Requant::Fixed);
        Ok(Launch {
            source: include_str!("../../../shaders/pool/avg_pool_i8.wgsl").into(),
            spec: spec
                .with("WORDS", c.div_ceil(4) as u32)
                .with("COUNTS", counts.len() as u32),
            params: bytes,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let means = self.accumulate(args)?;
        let y: Vec<i8> = means
            .into_iter()
            .map(|(acc, words)| self.out.apply(acc, words) as i8)
            .collect();
        args[1].store_i8(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.out.requant == Requant::Fixed {
            return equal_but(2, []);
        }
        let near = |(acc, words)| self.out.near_tie(acc, words);
        let near_tie: Vec<bool> = self.accumulate(args)?.into_iter().map(near).collect();
        let step = vec![1.0; near_tie.len()];
        equal_but(2, [(1, Agreement::NearTie { near_tie, step })])
    }

    fn operations(&self) -> f64 {
        let [kernel_h, kernel_w] = self.pool.kernel;
        (num_elements(&self.pool.output_or_empty(self.x)) * kernel_h * kernel_w) as f64
    }
}

impl AvgPoolI8 {
    /// The geometry, where everything is well.
    fn checked(&self) -> Result<[Axis; 2]> {
        self.out.range.check(self.name())?;
        let axes = self.pool.axes(self.x)?;
        let taps = axes.map(|axis| axis.kernel.min(axis.size));
        let invalid = |problem: String| Err(Error::invalid(self.name(), problem));
        if taps[0].saturating_mul(taps[1]) > MOST_TAPS {
            return invalid(format!(
                "windows of {taps:?} elements, whose sum may overflow"
            ));
        }
        if !(-128..=127).contains(&self.x_zero_point) {
            return invalid(format!("zero point {} of x is no int8", self.x_zero_point));
        }
        Ok(axes)
    }

    /// The numbers of taps that occur, once each.
    fn counts(&self) -> Result<Vec<usize>> {
        let pad = self.pool.count_include_pad;
        let along = self.checked()?.map(|axis| {
            let mut counts: Vec<usize> = (0..axis.out).map(|o| axis.count(o, pad)).collect();
            counts.sort_unstable();
            counts.dedup();
            counts
        });
        let products = |&a: &usize| along[1].iter().map(move |b| a * b);
        let mut counts: Vec<usize> = along[0].iter().flat_map(products).collect();
        counts.sort_unstable_by_key(|&count| std::cmp::Reverse(count));
        counts.dedup();
        if counts.len() > MOST_COUNTS {
            let problem = format!("{} counts of taps, {MOST_COUNTS} at most", counts.len());
            return Err(Error::invalid(self.name(), problem));
        }
        Ok(counts)
    }

    fn multiplier(&self, count: usize) -> [u32; 2] {
        self.out.multiplier(self.scale / count as f64)
    }

    /// The sum of every output, and its multiplier.
    fn accumulate(&self, args: &[Tensor]) -> Result<Vec<(i32, [u32; 2])>> {
        let ([n, h, w, c], [rows, columns]) = (self.x, self.checked()?);
        let (x, pad) = (args[0].to_i8()?, self.pool.count_include_pad);
        let mut all = Vec::with_capacity(args[1].len());
        for [n, oh, ow] in windows(n, [rows, columns]) {
            let multiplier = self.multiplier(rows.count(oh, pad) * columns.count(ow, pad));
            for channel in 0..c {
                let taps = rows
                    .taps(oh)
                    .flat_map(|h| columns.taps(ow).map(move |w| (h, w)));
                let values = taps.map(|(ih, iw)| x[((n * h + ih) * w + iw) * c + channel]);
                let acc = values.map(|q| i32::from(q) - self.x_zero_point).sum();
                all.push((acc, multiplier));
            }
        }
        Ok(all)
    }
}

pub(in crate::kernels) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(x, pool)| {
        sample_outs().map(|out| AvgPoolI8 {
            x,
            pool,
            x_zero_point: -3,
            scale: 0.7,
            out,
        })
    };
    boxed(cases().into_iter().flat_map(kernel))
}
