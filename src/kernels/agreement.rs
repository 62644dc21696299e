//! How closely a device has to agree with the CPU reference. Computed, never chosen.

use crate::base::{DType, Tensor};

/// The agreement owed on one output.
#[derive(Clone, Debug, PartialEq)]
pub enum Agreement {
    /// Every word is equal.
    Equal,
    /// `|got − want| ≤ bound[i]` for element `i`; NaN on either side alone is a disagreement.
    Within(Vec<f64>),
    /// Integers, or multiples of `step[i]`: equal, except that element `i` may be one step away where
    /// `near_tie[i]`, the exact value lying within a few ULP of a rounding tie. A float output may be
    /// one ULP further away, as the product of the multiple and the step is itself rounded (none where
    /// `step[i]` is 0: a selection, no product).
    NearTie {
        /// Where one step is allowed.
        near_tie: Vec<bool>,
        /// Size of one step of element `i` (1 for integer outputs).
        step: Vec<f64>,
    },
}

/// Unit roundoff that the bounds assume: WGSL lets an operation return either neighbour of the exact
/// result, so one operation may be off by a whole ULP (2⁻²³ relative), not half of one.
const UNIT: f64 = 1.0 / (1 << 23) as f64;

/// Higham's `γ(n) = n·u / (1 − n·u)`: relative bound on a sum of `n` rounded products in any order.
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * UNIT;
    nu / (1.0 - nu)
}

/// One unit in the last place of `x` as f32; at least the smallest normal number, because devices may
/// flush subnormals.
pub fn ulp_f32(x: f64) -> f64 {
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

/// One unit in the last place of `x` as f16, subnormals included (packing keeps them).
pub fn ulp_f16(x: f64) -> f64 {
    let exponent = x.abs().max(2f64.powi(-14)).log2().floor();
    2f64.powf(exponent - 10.0)
}

/// The first disagreements of an output, as a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disagreement {
    /// Elements that violate the agreement.
    pub violations: usize,
    /// Elements that differ at all.
    pub differing: usize,
    /// Largest absolute difference (infinite if one side alone is NaN).
    pub max_abs: f64,
    /// Largest difference in units in the last place of f32 (float outputs), or in integers.
    pub max_ulp: f64,
    /// The first five violations: dense index, got, want, allowed difference.
    pub first: Vec<(usize, f64, f64, f64)>,
}

impl Agreement {
    /// Compares two tensors of the same shape and type.
    #[expect(
        clippy::neg_cmp_op_on_partial_ord,
        reason = "a NaN on either side of the comparison must count as a violation"
    )]
    pub fn compare(&self, got: &Tensor, want: &Tensor) -> Disagreement {
        let is_float = matches!(want.dtype(), DType::F32 | DType::F16);
        // What the rounding of a multiple of `step` to the output's type may add.
        let ulp = |x: f64, step: f64| match want.dtype() {
            _ if step == 0.0 => 0.0,
            DType::F32 => ulp_f32(x),
            DType::F16 => ulp_f16(x),
            DType::I8 | DType::I32 | DType::U32 => 0.0,
        };
        let mut out = Disagreement::default();
        for (i, (got, want)) in got.to_f64().into_iter().zip(want.to_f64()).enumerate() {
            let allowed = match self {
                Self::Equal => 0.0,
                Self::Within(bound) => bound[i],
                Self::NearTie { near_tie, step } if near_tie[i] => {
                    step[i] + ulp(want.abs() + step[i], step[i])
                }
                Self::NearTie { step, .. } => ulp(want, step[i]),
            };
            let same = got == want || (got.is_nan() && want.is_nan());
            let difference = if same { 0.0 } else { (got - want).abs() };
            out.differing += usize::from(!same);
            let difference = if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            };
            out.max_abs = out.max_abs.max(difference);
            let unit = if is_float { ulp_f32(want) } else { 1.0 };
            out.max_ulp = out.max_ulp.max(difference / unit);
            if !(difference <= allowed) {
                out.violations += 1;
                if out.first.len() < 5 {
                    out.first.push((i, got, want, allowed));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_never_agrees_with_a_number() {
        let a = Tensor::from_f32(&[2], &[1.0, f32::NAN]).expect("fits");
        let b = Tensor::from_f32(&[2], &[1.0, 2.0]).expect("fits");
        let out = Agreement::Within(vec![1e30; 2]).compare(&a, &b);
        assert_eq!((out.violations, out.differing), (1, 1));
        assert_eq!(
            Agreement::Within(vec![0.0; 2]).compare(&a, &a).violations,
            0
        );
    }

    #[test]
    fn near_ties_allow_a_step_and_the_rounding_of_its_product() {
        let step = 0.1f32;
        let want = Tensor::from_f32(&[4], &[100.0 * step; 4]).expect("fits");
        let got = [
            (100.0 * step).next_up(),
            (100.0 * step).next_up().next_up(),
            101.0 * step,
            102.0 * step,
        ];
        let got = Tensor::from_f32(&[4], &got).expect("fits");
        let violations = |near_tie: [bool; 4], step: f32| {
            let out = Agreement::NearTie {
                near_tie: near_tie.to_vec(),
                step: vec![f64::from(step); 4],
            }
            .compare(&got, &want);
            out.first.iter().map(|v| v.0).collect::<Vec<_>>()
        };
        assert_eq!(violations([false; 4], step), [1, 2, 3]);
        assert_eq!(violations([true; 4], step), [3]);
        assert_eq!(violations([true; 4], 0.0), [0, 1, 2, 3]);
        let integers = Tensor::from_i32(&[1], &[7]).expect("fits");
        let other = Tensor::from_i32(&[1], &[8]).expect("fits");
        let near = |near_tie| Agreement::NearTie {
            near_tie: vec![near_tie],
            step: vec![1.0],
        };
        assert_eq!(near(true).compare(&other, &integers).violations, 0);
        assert_eq!(near(false).compare(&other, &integers).violations, 1);
    }

    #[test]
    fn ulps() {
        assert_eq!(ulp_f32(1.0), 2f64.powi(-23));
        assert_eq!(ulp_f16(1.0), 2f64.powi(-10));
        assert_eq!(ulp_f16(1e-9), 2f64.powi(-24));
    }
}
