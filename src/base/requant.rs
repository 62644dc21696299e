//! The two named rules that bring an int32 accumulator back to a few bits.

use serde::{Deserialize, Serialize};

/// How an int32 accumulator becomes an integer of the output's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requant {
    /// `clamp(round_ties_even(f32(acc) · M) + zero_point)` with `M = s_x · s_w / s_y` in f32, as
    /// PyTorch does on x86. Devices may differ by one step next to a tie.
    #[default]
    Float,
    /// [`FixedMultiplier`]: integers only, hence equal on every device by specification.
    Fixed,
}

/// `M ≈ multiplier · 2^−shift` with a 31-bit multiplier.
///
/// `apply(acc) = sign(acc) · ((|acc| · multiplier + 2^(shift−1)) >> shift)`: one rounding, half away
/// from zero, saturated to int32. The product has at most 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedMultiplier {
    /// In `2^30 ..2^31`, or 0 when `M` underflows.
    pub multiplier: u32,
    /// In `1 ..= 62`.
    pub shift: u32,
}

impl FixedMultiplier {
    /// The nearest fixed-point number to `m`, which must be finite and not negative.
    ///
    /// `m` from 2³⁰ up saturates; `m` below 2⁻³³ (nothing an int32 could show) becomes 0.
    pub fn from_f64(m: f64) -> Self {
        if m.is_nan() || m < 2f64.powi(-33) {
            return Self {
                multiplier: 0,
                shift: 1,
            };
        }
        if m >= 2f64.powi(30) {
            return Self {
                multiplier: (1 << 31) - 1,
                shift: 1,
            };
        }
        // m = mantissa · 2^exponent with mantissa in [0.5, 1)
        let mut exponent = m.log2().floor() as i32 + 1;
        if m / 2f64.powi(exponent) >= 1.0 {
            exponent += 1;
        }
        let mut multiplier = (m / 2f64.powi(exponent) * 2f64.powi(31)).round_ties_even() as u64;
        if multiplier == 1 << 31 {
            multiplier >>= 1;
            exponent += 1;
        }
        let shift = 31 - exponent;
        if shift > 62 {
            return Self {
                multiplier: (multiplier >> (shift - 62)) as u32,
                shift: 62,
            };
        }
        Self {
            multiplier: multiplier as u32,
            shift: shift.max(1) as u32,
        }
    }

    /// The scaled, rounded accumulator, before the zero point.
    pub fn apply(self, acc: i32) -> i32 {
        let product = u64::from(acc.unsigned_abs()) * u64::from(self.multiplier);
        let rounded = (product + (1 << (self.shift - 1))) >> self.shift;
        let magnitude = i32::try_from(rounded).unwrap_or(i32::MAX);
        if acc < 0 { -magnitude } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_away_from_zero() {
        let half = FixedMultiplier::from_f64(0.5);
        assert_eq!([3, -3, 1, -1, 4].map(|a| half.apply(a)), [2, -2, 1, -1, 2]);
    }

    #[test]
    fn is_within_half_a_step_of_the_real_product() {
        for &m in &[1e-9, 0.003_921_6, 0.1, 0.999_999_9, 1.0, 3.7, 1024.5] {
            let fixed = FixedMultiplier::from_f64(m);
            for &acc in &[0i32, 1, -1, 255, -4097, 1_000_003, -74_000_000] {
                let exact = f64::from(acc) * m;
                if exact.abs() < 2e9 {
                    let error = (f64::from(fixed.apply(acc)) - exact).abs();
                    assert!(
                        error <= 0.5 + exact.abs() * 2f64.powi(-30),
                        "{m} {acc} {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn saturates() {
        assert_eq!(FixedMultiplier::from_f64(1e6).apply(i32::MAX), i32::MAX);
        assert_eq!(FixedMultiplier::from_f64(1e6).apply(i32::MIN), -i32::MAX);
        assert_eq!(FixedMultiplier::from_f64(0.0).apply(i32::MAX), 0);
    }
}
