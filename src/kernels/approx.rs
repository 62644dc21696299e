//! Running error analysis: a formula written once gives both the reference and its bound.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Agreement, gamma, ulp_f16, ulp_f32};
use crate::base::Tensor;
use crate::error::Result;

/// One ULP, relative: what a correctly rounded WGSL operation may be off by (either neighbour).
const UNIT: f64 = 1.0 / (1 << 23) as f64;

/// What the formula gives exactly (in f64), and how far a device that rounds to f32 after every
/// operation may be from it.
///
/// Each operation passes on the errors of its operands and adds its own, as the accuracy table of the
/// WGSL specification states it: `+ − ×` one ULP, `/` 2.5, `inverseSqrt` 2, `sqrt` as
/// `1 / inverseSqrt`, `exp(x)` and `exp2(x)` `3 + 2|x|`, `log` and `log2` 3 (or 2⁻²¹ absolute near 1). Fused multiply-adds round
/// less often, hence stay inside; sums are bounded for any order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Approx {
    /// The exact result.
    pub value: f64,
    /// Largest distance of the device's result.
    pub error: f64,
}

impl Approx {
    /// A number both sides hold exactly: an element of an argument, a parameter.
    pub fn exact(value: impl Into<f64>) -> Self {
        Self {
            value: value.into(),
            error: 0.0,
        }
    }

    /// A number that the host rounds to f32 before the device gets it.
    pub fn rounded(value: f64) -> Self {
        Self::exact(value).off_by(1.0)
    }

    /// All elements of a float tensor.
    pub fn elements(tensor: &Tensor) -> Vec<Self> {
        tensor.to_f64().into_iter().map(Self::exact).collect()
    }

    /// Adds the error of one operation, in ULP; a result too small for f32 may become 0.
    fn off_by(self, ulps: f64) -> Self {
        let size = self.value.abs() + self.error;
        let error = self.error + ulps * UNIT * size + f64::from(f32::MIN_POSITIVE);
        Self { error, ..self }
    }

    /// The sum, added up in whatever order.
    pub fn sum(terms: impl IntoIterator<Item = Self>) -> Self {
        let (mut total, mut size, mut n) = (Self::default(), 0.0, 0);
        for term in terms {
            total.value += term.value;
            total.error += term.error;
            size += term.value.abs() + term.error;
            n += 1;
        }
        total.error += gamma(n) * size;
        total
    }

    /// The larger: a selection, which rounds nothing.
    #[must_use]
    pub fn max(self, other: f64) -> Self {
        Self {
            value: self.value.max(other),
            ..self
        }
    }

    /// `min(max(x, low), high)`, which rounds nothing.
    #[must_use]
    pub fn clamp(self, low: f32, high: f32) -> Self {
        self.through(|x| x.max(low.into()).min(high.into()))
    }

    /// `|x|`, which rounds nothing.
    #[must_use]
    pub fn abs(self) -> Self {
        Self {
            value: self.value.abs(),
            ..self
        }
    }

    /// `positive` for `x ≥ 0`, else `negative`; where the sign is in doubt, a device may take either.
    #[must_use]
    pub fn by_sign(self, positive: Self, negative: Self) -> Self {
        let (taken, other) = if self.value < 0.0 {
            (negative, positive)
        } else {
            (positive, negative)
        };
        if self.error == 0.0 || self.value.abs() > self.error {
            return taken;
        }
        let error = (other.value - taken.value).abs() + other.error.max(taken.error);
        Self { error, ..taken }
    }

    /// `√x`, for `x ≥ 0`.
    #[must_use]
    pub fn sqrt(self) -> Self {
        self.through(|x| x.max(0.0).sqrt()).off_by(4.5)
    }

    /// `1 / √x`, for `x > 0` (and above its own error).
    #[must_use]
    pub fn inverse_sqrt(self) -> Self {
        self.through(|x| 1.0 / x.max(0.0).sqrt()).off_by(2.0)
    }

    /// `eˣ`.
    #[must_use]
    pub fn exp(self) -> Self {
        // From ±110 on, what comes out is 0 or infinite.
        let ulps = 3.0 + 2.0 * (self.value.abs() + self.error).min(110.0);
        self.through(f64::exp).off_by(ulps)
    }

    /// Natural logarithm, for `x > 0` (and above its own error).
    #[must_use]
    pub fn ln(self) -> Self {
        let mut out = self.through(|x| x.max(0.0).ln()).off_by(3.0);
        out.error += 2f64.powi(-21);
        out
    }

    /// Logarithm to base 2, likewise.
    #[must_use]
    pub fn log2(self) -> Self {
        let mut out = self.through(|x| x.max(0.0).log2()).off_by(3.0);
        out.error += 2f64.powi(-21);
        out
    }

    /// `2ˣ`.
    #[must_use]
    pub fn exp2(self) -> Self {
        // From ±160 on, what comes out is 0 or infinite.
        let ulps = 3.0 + 2.0 * (self.value.abs() + self.error).min(160.0);
        self.through(f64::exp2).off_by(ulps)
    }

    /// `xʸ` as `2^(y·log2 |x|)`, for an `x` that is not 0 (and above its own error).
    #[must_use]
    pub fn pow(self, y: Self) -> Self {
        Self {
            value: self.value.powf(y.value),
            ..(y * self.abs().log2()).exp2()
        }
    }

    /// The larger of two: a selection.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        Self {
            value: self.value.max(other.value),
            error: self.error.max(other.error),
        }
    }

    /// The smaller of two: a selection.
    #[must_use]
    pub fn smaller(self, other: Self) -> Self {
        -(-self).larger(-other)
    }

    /// A monotone function that rounds nothing: the error is what the ends of the interval show.
    #[must_use]
    pub fn through(self, f: impl Fn(f64) -> f64) -> Self {
        let value = f(self.value);
        let low = f(self.value - self.error);
        let high = f(self.value + self.error);
        let error = (low - value).abs().max((high - value).abs());
        Self { value, error }
    }

    /// Largest difference between a device's f32 and the reference's (which is rounded too).
    pub fn bound_f32(self) -> f64 {
        self.error + ulp_f32(self.value)
    }

    /// The same for results stored as f16.
    pub fn bound_f16(self) -> f64 {
        self.error + ulp_f16(self.value.abs() + self.error)
    }
}

impl Add for Approx {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (value, error) = (self.value + other.value, self.error + other.error);
        Self { value, error }.off_by(1.0)
    }
}

impl Neg for Approx {
    type Output = Self;
    fn neg(self) -> Self {
        let value = -self.value;
        Self { value, ..self }
    }
}

impl Sub for Approx {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Approx {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let value = self.value * other.value;
        let error = self.value.abs() * other.error
            + other.value.abs() * self.error
            + self.error * other.error;
        Self { value, error }.off_by(1.0)
    }
}

impl Div for Approx {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let error =
            (self.error + value.abs() * other.error) / (other.value.abs() - other.error).max(0.0);
        let error = if self.error + other.error == 0.0 {
            0.0
        } else {
            error
        };
        Self { value, error }.off_by(2.5)
    }
}

/// Writes the exact values, rounded to the tensor's type.
///
/// # Errors
/// As [`Tensor::store_f64`].
pub fn store(tensor: &mut Tensor, results: &[Approx]) -> Result<()> {
    let values: Vec<f64> = results.iter().map(|x| x.value).collect();
    tensor.store_f64(&values)
}

/// The agreement of an f32 output with these results.
pub fn within_f32(results: &[Approx]) -> Agreement {
    Agreement::Within(results.iter().map(|x| x.bound_f32()).collect())
}

/// The agreement of an f16 output with these results.
pub fn within_f16(results: &[Approx]) -> Agreement {
    Agreement::Within(results.iter().map(|x| x.bound_f16()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation in f32 stays inside; the bounds are not generous beyond a few ULP.
    #[test]
    fn f32_stays_inside() {
        let (a, b) = (1.234_567_8_f32, 0.003_210_987_f32);
        let (x, y) = (Approx::exact(a), Approx::exact(b));
        let pairs = [
            (a + b, x + y),
            (a - b, x - y),
            (a * b, x * y),
            (a / b, x / y),
            (a.sqrt(), x.sqrt()),
            (1.0 / (a * b).sqrt(), (x * y).inverse_sqrt()),
            ((a - b).exp(), (x - y).exp()),
            ((a + b).ln(), (x + y).ln()),
            ((a + b).log2(), (x + y).log2()),
            ((a - b).exp2(), (x - y).exp2()),
            (b.powf(a), y.pow(x)),
            (a.max(b), x.larger(y)),
            (a.min(b), x.smaller(y)),
            (a * a * a * a + b, Approx::sum([x * x * x * x, y])),
        ];
        for (got, want) in pairs {
            let difference = (f64::from(got) - want.value).abs();
            assert!(difference <= want.error, "{got} {want:?}");
            assert!(want.error < 1e-5 * want.value.abs(), "{got} {want:?}");
        }
    }

    #[test]
    fn division_by_almost_nothing_has_no_bound() {
        let nothing = Approx::rounded(1.0) - Approx::rounded(1.0);
        assert_eq!((Approx::exact(1.0) / nothing).error, f64::INFINITY);
    }
}
