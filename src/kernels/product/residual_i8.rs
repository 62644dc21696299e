//! A residual joins an int32 accumulator before it is requantized.
//!
//! ```text
//! acc[p, o] += ((r[p, o] − z_r) · m[o] + ⌊2^S / 2⌋) >> S                            in int32, no overflow
//!   m[o] = round_ties_even(s_r / (s_x · s_w[o]) · 2^S)
//! ```
//!
//! Integers only, hence equal on every device whatever rule requantizes the sum; an arithmetic shift, so it
//! rounds half up. One unit of the accumulator is a small part of one step of the output: convolution and
//! addition together round once.

use serde::{Deserialize, Serialize};

use crate::base::{Rng, Tensor};
use crate::error::{Error, Result};

/// How an int8 residual becomes units of the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidualI8 {
    /// The integer of the residual that stands for 0, −128 ..= 127.
    pub zero_point: i32,
    /// `S`, 0 ..= 30.
    pub shift: u32,
}

impl ResidualI8 {
    /// The largest shift for which no product overflows, and the multipliers `m` (i32 `[o]`); `ratios` are
    /// the `s_r / (s_x · s_w[o])`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a ratio that is negative, not finite, or so large that even whole units
    /// overflow.
    pub fn new(zero_point: i32, ratios: &[f64]) -> Result<(Self, Tensor)> {
        let largest = ratios.iter().copied().fold(0.0, f64::max);
        if let Some(bad) = ratios.iter().find(|r| !(r.is_finite() && **r >= 0.0)) {
            let problem = format!("its scale is {bad} units of the accumulator");
            return Err(Error::invalid("residual", problem));
        }
        let fits = |shift: u32| {
            let unit = f64::from(1u32 << shift);
            255.0 * (largest * unit + 0.5) + unit / 2.0 <= f64::from(i32::MAX)
        };
        let shift = (0..=30).rev().find(|&shift| fits(shift)).ok_or_else(|| {
            let problem = format!(
                "one step of it is {largest:e} units of the accumulator, 255 of them overflow int32"
            );
            Error::invalid("residual", problem)
        })?;
        let unit = f64::from(1u32 << shift);
        let multipliers: Vec<i32> = ratios
            .iter()
            .map(|ratio| (ratio * unit).round_ties_even() as i32)
            .collect();
        let multipliers = Tensor::from_i32(&[multipliers.len()], &multipliers)?;
        Ok((Self { zero_point, shift }, multipliers))
    }

    /// What the integer `r` of a channel with this multiplier adds to its accumulator.
    pub fn apply(&self, r: i32, multiplier: i32) -> i32 {
        let half = (1i32 << self.shift) >> 1;
        let product = (r - self.zero_point).wrapping_mul(multiplier);
        product.wrapping_add(half) >> self.shift
    }

    /// Multipliers for tests: they weigh about as much as sums of `terms` random int8 products, and do not
    /// overflow.
    pub(super) fn example_multipliers(channels: usize, terms: usize, rng: &mut Rng) -> Tensor {
        let most = 74.0 * (terms as f32).sqrt() * 1024.0;
        let data: Vec<i32> = (0..channels)
            .map(|_| rng.range(0.0, most.min(4e6)) as i32)
            .collect();
        Tensor::from_i32(&[channels], &data).expect("as many as channels")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (residual, m) = ResidualI8::new(-128, &[0.5, 1000.25]).expect("fits");
        let m = m.as_i32().expect("i32").to_vec();
        // 127 − −128 = 255 steps.
        assert_eq!(residual.apply(127, m[0]), 128);
        assert_eq!(residual.apply(127, m[1]), 255_064);
        assert_eq!(residual.apply(-128, m[1]), 0);
        assert_eq!(residual.apply(-127, m[0]), 1);
    }

    #[test]
    fn ends_do_not_overflow() {
        for ratio in [1e-9, 0.3, 7.0, 1e3, 8.42e6] {
            for zero_point in [-128, 0, 127] {
                let (residual, m) = ResidualI8::new(zero_point, &[ratio]).expect("fits");
                let m = m.as_i32().expect("i32")[0];
                for r in [-128, 127] {
                    let exact = f64::from(r - zero_point) * ratio;
                    let error = f64::from(residual.apply(r, m)) - exact;
                    // Half a unit, and what rounding the multiplier adds up to over 255 steps.
                    let bound = 0.5 + 255.0 * 0.5 / f64::from(1u32 << residual.shift);
                    assert!(error.abs() <= bound, "{ratio} {zero_point} {r}: {error}");
                }
            }
        }
        assert!(ResidualI8::new(0, &[1e7]).is_err());
        assert!(ResidualI8::new(0, &[f64::NAN]).is_err());
    }
}
