//! From the range of real values to scale and zero point, by named conventions.

use serde::{Deserialize, Serialize};

use crate::base::{QParams, Range};

/// Who decides how a range of real values maps to the integers. All make sure that 0 is exact.
///
/// | | symmetric: max\|x\| over | affine | all values zero |
/// |---|---|---|---|
/// | `Wizen` | `qmax` | `(max − min) / (qmax − qmin)` | scale 1 |
/// | `Torch` | `(qmax − qmin) / 2`, 127.5 for int8 | the same, at least 2⁻²³ | scale 2⁻²³ |
/// | `Onnx` | the smaller end, 127 for int8 | the same, `min / scale` rounded together with `qmin` | scale 1 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// No value of the range is clipped.
    #[default]
    Wizen,
    /// PyTorch's observers (`_calculate_qparams`), in f32 like them.
    Torch,
    /// ONNX Runtime's quantization tools (`compute_scale_zp`).
    Onnx,
}

/// PyTorch's smallest scale, the f32 machine epsilon.
const TORCH_EPS: f32 = f32::EPSILON;
/// The largest scale whose reciprocal is a normal f32.
const LARGEST_SCALE: f32 = 8.507_059e37;

/// Scale and zero point for real values from `min` to `max`.
///
/// The range is widened to include 0; infinite ends become the largest finite values; a NaN or
/// `min > max` means that nothing was seen: scale 1, zero point 0. Scales are kept where they and their
/// reciprocals are normal f32 numbers. The zero point of symmetric parameters is 0, or the middle of a
/// range without negative integers.
pub fn choose(
    min: f32,
    max: f32,
    range: Range,
    symmetric: bool,
    convention: Convention,
) -> QParams {
    if min.is_nan() || max.is_nan() || min > max {
        return params(1.0, 0, range);
    }
    let min = min.clamp(-f32::MAX, 0.0);
    let max = max.clamp(0.0, f32::MAX);
    if min == 0.0 && max == 0.0 && convention != Convention::Torch {
        let zero_point = if symmetric {
            middle(range, convention)
        } else {
            0
        };
        return params(1.0, zero_point, range);
    }
    if symmetric {
        let zero_point = middle(range, convention);
        let largest = f64::from(max.max(-min));
        let below = zero_point - i64::from(range.qmin);
        let above = i64::from(range.qmax) - zero_point;
        let scale = match convention {
            Convention::Wizen if above > 0 => largest / above as f64,
            Convention::Wizen => largest / below as f64,
            Convention::Onnx if above > 0 && below > 0 => largest / above.min(below) as f64,
            Convention::Onnx => largest / above.max(below) as f64,
            // In f32, as PyTorch computes.
            Convention::Torch => {
                f64::from((max.max(-min) / (range.steps() as f32 / 2.0)).max(TORCH_EPS))
            }
        };
        return params(scale, zero_point, range);
    }
    if convention == Convention::Torch {
        let scale = ((max - min) / range.steps() as f32).max(TORCH_EPS);
        let zero_point = i64::from(range.qmin) - (min / scale).round_ties_even() as i64;
        return params(f64::from(scale), zero_point, range);
    }
    let scale = (f64::from(max) - f64::from(min)) / f64::from(range.steps().max(1));
    let scale = f64::from(normal(scale));
    let (qmin, below) = (f64::from(range.qmin), f64::from(min) / scale);
    let zero_point = match convention {
        Convention::Onnx => (qmin - below).round_ties_even(),
        _ => qmin - below.round_ties_even(),
    };
    params(scale, zero_point as i64, range)
}

/// The integer that stands for 0 in symmetric quantization.
fn middle(range: Range, convention: Convention) -> i64 {
    if range.qmin < 0 && range.qmax >= 0 {
        return 0;
    }
    let sum = i64::from(range.qmin) + i64::from(range.qmax);
    // PyTorch rounds down, but for the whole of quint8, where it is 128.
    if convention == Convention::Torch && range != (Range { qmin: 0, qmax: 255 }) {
        return sum.div_euclid(2);
    }
    (sum + 1).div_euclid(2)
}

/// `scale` as f32, normal, with a normal reciprocal.
fn normal(scale: f64) -> f32 {
    (scale as f32).clamp(f32::MIN_POSITIVE, LARGEST_SCALE)
}

fn params(scale: f64, zero_point: i64, range: Range) -> QParams {
    QParams {
        scale: normal(scale),
        zero_point: zero_point.clamp(range.qmin.into(), range.qmax.into()) as i32,
        range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Convention; 3] = [Convention::Wizen, Convention::Torch, Convention::Onnx];

    #[test]
    fn divisors() {
        let int8 = Range::affine(8);
        let scale = |range, convention| choose(-3.0, 2.0, range, true, convention).scale;
        assert_eq!(scale(int8, Convention::Wizen), 3.0 / 127.0);
        assert_eq!(scale(int8, Convention::Torch), 3.0 / 127.5);
        assert_eq!(scale(int8, Convention::Onnx), 3.0 / 127.0);
        for convention in ALL {
            assert_eq!(scale(Range::symmetric(8), convention), 3.0 / 127.0);
            let affine = choose(-3.0, 2.0, int8, false, convention);
            assert_eq!((affine.scale, affine.zero_point), (5.0 / 255.0, 25));
            let relu = choose(0.5, 2.0, int8, false, convention);
            assert_eq!((relu.scale, relu.zero_point), (2.0 / 255.0, -128));
        }
    }

    #[test]
    fn degenerate_ranges() {
        let int8 = Range::affine(8);
        for convention in ALL {
            for symmetric in [false, true] {
                let choose = |min, max| choose(min, max, int8, symmetric, convention);
                for nothing in [(f32::INFINITY, f32::NEG_INFINITY), (f32::NAN, 1.0)] {
                    let q = choose(nothing.0, nothing.1);
                    assert_eq!((q.scale, q.zero_point), (1.0, 0));
                }
                let inf = f32::INFINITY;
                for (min, max) in [
                    (0.0, 0.0),
                    (3.0, 3.0),
                    (-3.0, -3.0),
                    (0.0, 1e-45),
                    (-inf, inf),
                ] {
                    let q = choose(min, max);
                    assert!(q.scale.is_normal() && q.inv_scale().is_normal(), "{q:?}");
                    assert!((-128..=127).contains(&q.zero_point), "{q:?}");
                    assert_eq!(q.fake_quantize(0.0), 0.0);
                }
                let zero = choose(0.0, 0.0);
                let expected = if convention == Convention::Torch {
                    TORCH_EPS
                } else {
                    1.0
                };
                assert_eq!(zero.scale, expected);
            }
        }
        assert!(choose(-1.0, 1.0, Range::affine(1), true, Convention::Wizen).scale == 1.0);
        let quint8 = Range { qmin: 0, qmax: 255 };
        assert_eq!(
            choose(-1.0, 1.0, quint8, true, Convention::Torch).zero_point,
            128
        );
        let custom = Range { qmin: 0, qmax: 15 };
        assert_eq!(
            choose(-1.0, 1.0, custom, true, Convention::Torch).zero_point,
            7
        );
    }
}
