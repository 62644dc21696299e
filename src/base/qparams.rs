//! The quantization equations.
//!
//! ```text
//! real = scale · (q − zero_point)                                                     (1)
//! q    = clamp(round_ties_even(x · inv_scale) + zero_point, qmin, qmax)               (2)
//! ```
//!
//! `inv_scale = 1 / scale` is computed once, on the host, in f32, and the zero point is added after
//! rounding: the rule of PyTorch on x86 (`quantize_per_tensor`, fbgemm).

use serde::{Deserialize, Serialize};

use super::tensor::Tensor;
use crate::error::{Error, Result};

/// The integers a quantized value may take, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// Smallest integer.
    pub qmin: i32,
    /// Largest integer.
    pub qmax: i32,
}

impl Range {
    /// Activations of `bits` bits: `−2^(b−1) ..= 2^(b−1) − 1`.
    pub const fn affine(bits: u32) -> Self {
        Self {
            qmin: -(1 << (bits - 1)),
            qmax: (1 << (bits - 1)) - 1,
        }
    }

    /// Weights of `bits` bits (2 to 8): `−(2^(b−1) − 1) ..= 2^(b−1) − 1`.
    pub const fn symmetric(bits: u32) -> Self {
        Self {
            qmin: -((1 << (bits - 1)) - 1),
            qmax: (1 << (bits - 1)) - 1,
        }
    }

    /// Steps between the ends.
    pub const fn steps(self) -> i32 {
        self.qmax - self.qmin
    }

    /// Checks that it is a range of int8.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming `op` for an empty range, or one beyond −128 ..= 127.
    pub fn check(self, op: &str) -> Result<()> {
        if self.qmin <= self.qmax && self.qmin >= -128 && self.qmax <= 127 {
            return Ok(());
        }
        let problem = format!(
            "the range {} ..= {} is no range of int8, -128 ..= 127",
            self.qmin, self.qmax
        );
        Err(Error::invalid(op, problem))
    }
}

/// Quantization parameters of one tensor or one channel. Equations (1) and (2) of this module.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QParams {
    /// Real size of one integer step; finite and positive.
    pub scale: f32,
    /// The integer that stands for real 0.
    pub zero_point: i32,
    /// Integers allowed.
    pub range: Range,
}

impl QParams {
    /// `1 / scale`, rounded once to f32: the number every kernel multiplies by.
    pub fn inv_scale(self) -> f32 {
        1.0 / self.scale
    }

    /// The rounded value before clamping: `round_ties_even(x · inv_scale) + zero_point`.
    /// NaN gives the zero point; values outside i32 saturate.
    pub fn unclamped(self, x: f32) -> i32 {
        // `as` maps NaN to 0 and saturates.
        ((x * self.inv_scale()).round_ties_even() as i32).saturating_add(self.zero_point)
    }

    /// Equation (2). NaN gives the zero point; ±inf saturates.
    pub fn quantize(self, x: f32) -> i32 {
        self.unclamped(x).clamp(self.range.qmin, self.range.qmax)
    }

    /// Equation (1) in f32.
    pub fn dequantize(self, q: i32) -> f32 {
        (q - self.zero_point) as f32 * self.scale
    }

    /// Quantize, then dequantize.
    pub fn fake_quantize(self, x: f32) -> f32 {
        self.dequantize(self.quantize(x))
    }
}

/// Quantization of a whole tensor: one [`QParams`] for all of it, or one per slice of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// The axis whose slices have parameters of their own; `None` = per tensor.
    pub axis: Option<usize>,
    /// Real sizes of one step, one per slice (or a single one).
    pub scales: Vec<f32>,
    /// Integers that stand for 0, one per slice (or a single one).
    pub zero_points: Vec<i32>,
    /// Integers allowed.
    pub range: Range,
    /// Quantizing keeps the sign alone, −1 or 1 (zero counts as positive); dequantizing is the usual
    /// equation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
}

impl Quantization {
    /// One scale for the whole tensor.
    pub fn per_tensor(params: QParams) -> Self {
        Self {
            axis: None,
            scales: vec![params.scale],
            zero_points: vec![params.zero_point],
            range: params.range,
            binary: false,
        }
    }

    /// Symmetric, one scale per slice of `axis`.
    pub fn per_channel(axis: usize, scales: Vec<f32>, range: Range) -> Self {
        let zero_points = vec![0; scales.len()];
        Self {
            axis: Some(axis),
            scales,
            zero_points,
            range,
            binary: false,
        }
    }

    /// Parameters of slice `channel`; of everything when per tensor.
    pub fn channel(&self, channel: usize) -> QParams {
        let i = if self.axis.is_some() { channel } else { 0 };
        QParams {
            scale: self.scales[i],
            zero_point: self.zero_points[i],
            range: self.range,
        }
    }

    /// Checks that there are integers of int8 and scales for them.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming `op` for a range that is empty or beyond int8, a scale that is not finite
    /// and positive, zero points outside of int8, or another number of them than of scales.
    pub fn check(&self, op: &str) -> Result<()> {
        self.range.check(op)?;
        if let Some(bad) = self.scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Error::invalid(
                op,
                format!("the scale {bad} is not positive"),
            ));
        }
        if let Some(bad) = self.zero_points.iter().find(|z| !(-128..=127).contains(*z)) {
            return Err(Error::invalid(
                op,
                format!("the zero point {bad} is no int8"),
            ));
        }
        let one = self.axis.is_some() || self.scales.len() == 1;
        if self.scales.len() != self.zero_points.len() || self.scales.is_empty() || !one {
            let problem = format!(
                "{} scales and {} zero points",
                self.scales.len(),
                self.zero_points.len()
            );
            return Err(Error::invalid(op, problem));
        }
        Ok(())
    }

    /// The integer of one element of slice `channel`.
    pub fn quantize(&self, channel: usize, x: f32) -> i32 {
        if self.binary {
            return if x >= 0.0 { 1 } else { -1 };
        }
        self.channel(channel).quantize(x)
    }

    /// What the integers of a tensor stand for, in f64, dense in row-major order.
    pub fn reals(&self, tensor: &Tensor) -> Vec<f64> {
        let inner: usize = match self.axis {
            Some(axis) => tensor.shape().iter().skip(axis + 1).product(),
            None => 1,
        };
        let channels = self.scales.len().max(1);
        let real = |(i, q): (usize, f64)| {
            let channel = self.channel(i / inner.max(1) % channels);
            (q - f64::from(channel.zero_point)) * f64::from(channel.scale)
        };
        tensor.to_f64().into_iter().enumerate().map(real).collect()
    }

    /// Smallest number of bits that holds the range.
    pub fn bits(&self) -> u32 {
        let levels = (i64::from(self.range.qmax) - i64::from(self.range.qmin) + 1) as u64;
        levels.next_power_of_two().trailing_zeros().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_round_to_even_before_the_zero_point() {
        let q = QParams {
            scale: 1.0,
            zero_point: 3,
            range: Range::affine(8),
        };
        assert_eq!(q.quantize(0.5), 3);
        assert_eq!(q.quantize(1.5), 5);
        assert_eq!(q.quantize(-0.5), 3);
        assert_eq!(q.quantize(f32::NAN), 3);
        assert_eq!(q.quantize(f32::INFINITY), 127);
        assert_eq!(q.quantize(f32::NEG_INFINITY), -128);
    }

    #[test]
    fn bits_of_ranges() {
        for bits in 1..=8 {
            let q = QParams {
                scale: 1.0,
                zero_point: 0,
                range: Range::affine(bits),
            };
            assert_eq!(Quantization::per_tensor(q).bits(), bits);
        }
        assert_eq!(
            Quantization::per_channel(0, vec![1.0], Range::symmetric(4)).bits(),
            4
        );
        assert_eq!(
            Quantization::per_channel(0, vec![1.0], Range::symmetric(2)).bits(),
            2
        );
    }
}
