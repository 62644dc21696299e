//! Weighted sums of int8.
//!
//! ```text
//! line[a]       = (Σ_b vw[j, b] · (x[n, ih[i, a], iw[j, b], c] − x_zero_point) + 2^(s − 1)) >> s      int32, exact
//! acc           = Σ_a vh[i, a] · line[a]                                                           int32, exact
//! y[n, i, j, c] = clamp(requant(acc) + zero_point, qmin, qmax),   M = s_x / s_y · 2^−(14 + f)
//! ```
//!
//! `v = round(2^14 · w)`, the largest of a row moved so that their sum is the rounded sum of the weights: what is equal
//! everywhere stays so. Lines keep `f = 14 − s` bits behind the point, 7 where the weights are those of a mean: what
//! is lost is less than a twentieth of a step. As all is integer but the last step, devices agree as [`OutI8`] says.

use super::super::frame::{boxed, equal_but, params};
use super::super::out_i8::sample_outs;
use super::super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, grid_1d, random_args};
use super::{Taps, bindings, cases, check, output, spec};
use crate::base::{DType, Rng, Tensor, num_elements, words_for};
use crate::error::{Error, Result};

/// A resampled image. Bindings: `x`, `table` ([`Self::table`]), `y`.
#[derive(Clone, Debug)]
pub struct ResampleI8 {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The rows of `y`.
    pub rows: Taps,
    /// Its columns.
    pub columns: Taps,
    /// The integer of `x` that stands for 0, within −128 ..= 127.
    pub x_zero_point: i32,
    /// `s_x / s_y`.
    pub scale: f64,
    /// How an accumulator becomes an output.
    pub out: OutI8,
}

/// Bits of a weight behind the point.
const BITS: u32 = 14;
/// Bits that a line keeps behind the point, at most.
const KEPT: u32 = 7;

/// The weights of a result as integers; those without weight are left out.
fn integers(taps: &Taps, result: usize) -> Vec<(usize, i32)> {
    let one = f64::from(1 << BITS);
    let round = |weight: f64| (weight * one).round_ties_even() as i32;
    let row = taps.row(result);
    let mut integers: Vec<(usize, i32)> = row
        .clone()
        .map(|(place, weight)| (place, round(weight.into())))
        .collect();
    let wanted = round(row.map(|(_, weight)| f64::from(weight)).sum());
    // Weights that do not fit are refused; here they only must not overflow.
    let sum: i64 = integers.iter().map(|&(_, v)| i64::from(v)).sum();
    if let Some((_, largest)) = integers.iter_mut().max_by_key(|(_, v)| v.unsigned_abs()) {
        *largest = (i64::from(*largest) + i64::from(wanted) - sum) as i32;
    }
    integers
}

/// What the weights of a result add up to at most, whatever their signs.
fn gain(taps: &Taps) -> f64 {
    let weights = |i| taps.row(i).map(|(_, w)| f64::from(w).abs());
    let gains = (0..taps.len()).map(|i| weights(i).sum());
    // Rounded and moved, each weight is at most a unit larger.
    gains.fold(0.0, f64::max) + 2.0 * taps.each() as f64 / f64::from(1 << BITS)
}

impl ResampleI8 {
    /// Places and weights, as the kernel reads them.
    pub fn table(&self) -> Tensor {
        let mut words = Vec::new();
        for taps in self.taps() {
            for i in 0..taps.len() {
                let row = integers(taps, i);
                let end = words.len() + 2 * taps.each();
                words.extend(
                    row.into_iter()
                        .flat_map(|(place, v)| [place as u32, v as u32]),
                );
                words.resize(end, 0);
            }
        }
        Tensor::from_u32(&[words.len() / 2, 2], &words).expect("two words an entry")
    }

    fn taps(&self) -> [&Taps; 2] {
        [&self.rows, &self.columns]
    }

    /// The bits that a line keeps behind the point, where everything is well.
    fn checked(&self) -> Result<u32> {
        self.out.range.check(self.name())?;
        check(self.name(), self.x, self.taps())?;
        if !(-128..=127).contains(&self.x_zero_point) {
            let problem = format!("zero point {} of x is no int8", self.x_zero_point);
            return Err(Error::invalid(self.name(), problem));
        }
        let [rows, columns] = self.taps().map(gain);
        let line = 256.0 * columns * f64::from(1 << BITS);
        let sum = |kept: &u32| 256.0 * rows * columns * f64::from(1 << (BITS + kept));
        let fits = |size: f64| size < f64::from(i32::MAX);
        match (0..=KEPT).rev().find(|kept| fits(line) && fits(sum(kept))) {
            Some(kept) => Ok(kept),
            None => {
                let problem = format!("weights of {rows} and {columns}, whose sums overflow int32");
                Err(Error::invalid(self.name(), problem))
            }
        }
    }

    fn multiplier(&self, kept: u32) -> [u32; 2] {
        self.out
            .multiplier(self.scale / f64::from(1 << (BITS + kept)))
    }

    fn sums(&self, args: &[Tensor]) -> Result<(Vec<i32>, [u32; 2])> {
        let kept = self.checked()?;
        let shift = BITS - kept;
        let ([n, h, w, c], x) = (self.x, args[0].to_i8()?);
        let mut all = Vec::with_capacity(args[2].len());
        let [rows, columns] = self.taps().map(|taps| {
            let rows = (0..taps.len()).map(|i| integers(taps, i));
            rows.collect::<Vec<_>>()
        });
        for image in 0..n {
            for row in &rows {
                for column in &columns {
                    for channel in 0..c {
                        let mut acc = 0;
                        for &(ih, vh) in row {
                            let tap = |&(iw, vw): &(usize, i32)| {
                                let q = x[((image * h + ih) * w + iw) * c + channel];
                                vw * (i32::from(q) - self.x_zero_point)
                            };
                            let line: i32 = column.iter().map(tap).sum();
                            acc += vh * ((line + (1 << (shift - 1))) >> shift);
                        }
                        all.push(acc);
                    }
                }
            }
        }
        Ok((all, self.multiplier(kept)))
    }
}

impl Kernel for ResampleI8 {
    fn name(&self) -> &'static str {
        "resample_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.x, self.taps(), DType::I8)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let kept = self.checked()?;
        let words = words_for(&output(self.x, self.taps()), DType::I8);
        let ([m, shift], out) = (self.multiplier(kept), self.out);
        let words_of = [
            words.into(),
            self.x[3].into(),
            self.x_zero_point.into(),
            out.zero_point.into(),
            out.range.qmin.into(),
            out.range.qmax.into(),
            m.into(),
            shift.into(),
        ];
        Ok(Launch {
            source: include_str!("../../../shaders/resample/resample_i8.wgsl").into(),
            spec: spec(self.x, self.taps(), DType::I8)
                .with("FIXED", out.requant == crate::base::Requant::Fixed)
                .with("SHIFT", BITS - kept),
            params: params(self.name(), words_of)?,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (sums, multiplier) = self.sums(args)?;
        let apply = |acc| self.out.apply(acc, multiplier) as i8;
        args[2].store_i8(&sums.into_iter().map(apply).collect::<Vec<_>>())
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let (sums, multiplier) = self.sums(args)?;
        equal_but(3, [(2, self.out.agreement(&sums, &multiplier))])
    }

    fn operations(&self) -> f64 {
        let taps = self.rows.each() * self.columns.each();
        (2 * taps * num_elements(&output(self.x, self.taps()))) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[1] = self.table();
        args
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(x, [rows, columns]): ([usize; 4], [Taps; 2])| {
        sample_outs().map(|out| ResampleI8 {
            x,
            rows: rows.clone(),
            columns: columns.clone(),
            x_zero_point: -3,
            scale: 0.7,
            out,
        })
    };
    boxed(cases().into_iter().flat_map(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let rows = Taps::new(2, vec![vec![(0, 0.25), (1, 0.75)], vec![(1, 1.0)]]).expect("fits");
        let columns = Taps::new(2, vec![vec![(0, 0.5), (1, 0.5)]]).expect("fits");
        let [_, out, _] = sample_outs();
        let kernel = ResampleI8 {
            x: [1, 2, 2, 1],
            rows,
            columns,
            x_zero_point: -3,
            scale: 1.0,
            out,
        };
        // Real steps 0, 4, 8, 32: means 2 and 20, of which 15.5.
        let x = Tensor::from_i8(&kernel.x, &[-3, 1, 5, 29]).expect("fits");
        let mut args = [x, kernel.table(), Tensor::zeros(&[1, 2, 1, 1], DType::I8)];
        kernel.cpu(&mut args).expect("i8");
        // Half away from zero, and a zero point of −3.
        assert_eq!(args[2].to_i8().expect("i8"), [13, 17]);
    }

    #[test]
    fn integer_weights_keep_their_sum() {
        let third = 1.0 / 3.0;
        let taps = Taps::new(3, vec![vec![(0, third), (1, third), (2, third)]]).expect("fits");
        let sum: i32 = integers(&taps, 0).iter().map(|(_, v)| v).sum();
        assert_eq!(sum, 1 << BITS);
    }

    #[test]
    fn weights_that_overflow_are_an_error() {
        let taps = |weight| Taps::new(1, vec![vec![(0, weight)]]).expect("fits");
        let kernel = |weight| ResampleI8 {
            x: [1; 4],
            rows: taps(weight),
            columns: taps(weight),
            x_zero_point: 0,
            scale: 1.0,
            out: sample_outs()[0],
        };
        assert_eq!(kernel(1.0).checked().expect("fits"), KEPT);
        assert_eq!(kernel(4.0).checked().expect("fits"), KEPT - 3);
        assert!(kernel(30.0).checked().is_err() && kernel(1e30).checked().is_err());
    }
}
