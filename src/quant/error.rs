//! How far an approximation is from what it replaces.

use crate::base::{Quantization, Tensor};
use crate::error::{Error, Result};

/// Sums over what was compared so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    reference: f64,
    other: f64,
    product: f64,
    noise: f64,
    count: usize,
}

impl Sums {
    pub fn add(&mut self, reference: f64, other: f64) {
        self.reference += reference * reference;
        self.other += other * other;
        self.product += reference * other;
        self.noise += (reference - other) * (reference - other);
        self.count += 1;
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// `None` if all were equal; NaN if one was NaN.
    pub fn sqnr_db(&self) -> Option<f64> {
        (self.noise != 0.0).then(|| 10.0 * (self.reference / self.noise).log10())
    }

    /// Of the angle between the two as vectors: 1 if both are zero, 0 if one is.
    pub fn cosine(&self) -> f64 {
        if self.reference == 0.0 || self.other == 0.0 {
            return f64::from(u8::from(self.reference == self.other));
        }
        self.product / (self.reference.sqrt() * self.other.sqrt())
    }
}

fn pair(op: &str, reference: &Tensor, approximation: &Tensor) -> Result<(Vec<f64>, Vec<f64>)> {
    if reference.shape() != approximation.shape() {
        let expected = format!("{:?} like the reference", reference.shape());
        return Err(Error::shape(
            op,
            "approximation",
            expected,
            approximation.shape(),
        ));
    }
    Ok((reference.to_f64(), approximation.to_f64()))
}

/// Signal to quantization noise ratio, `10 · log10(Σ r² / Σ (r − a)²)` in dB: about 6 dB for each bit.
/// Infinite if they are equal; −infinite if only the reference is zero; NaN if a value is NaN.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn sqnr_db(reference: &Tensor, approximation: &Tensor) -> Result<f64> {
    let (r, a) = pair("sqnr", reference, approximation)?;
    if r.iter().chain(&a).any(|x| x.is_nan()) {
        return Ok(f64::NAN);
    }
    Ok(crate::graph::sqnr_db(&r, &a).unwrap_or(f64::INFINITY))
}

/// Cosine of the angle between two tensors as vectors: 1 if both are zero, 0 if one is.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn cosine(reference: &Tensor, approximation: &Tensor) -> Result<f64> {
    let (r, a) = pair("cosine", reference, approximation)?;
    let mut sums = Sums::default();
    r.iter().zip(&a).for_each(|(&r, &a)| sums.add(r, a));
    Ok(sums.cosine())
}

/// Share of the elements of `x` that round to an integer outside of the range, 0 to 1.
///
/// # Errors
/// [`Error::DType`] unless `x` is f32; [`Error::Shape`] if the quantization does not fit it.
pub fn clipped_share(x: &Tensor, quantization: &Quantization) -> Result<f64> {
    let view = super::weights::View::checked("clipped share", x.shape(), quantization)?;
    let data = x.as_f32()?;
    let range = quantization.range;
    let clipped = data
        .iter()
        .enumerate()
        .filter(|&(i, &x)| {
            let u = quantization.channel(view.channel_of(i)).unclamped(x);
            u < range.qmin || u > range.qmax
        })
        .count();
    Ok(clipped as f64 / data.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{QParams, Range};

    #[test]
    fn by_hand() {
        let tensor = |x: [f32; 3]| Tensor::from_f32(&[3], &x).expect("fits");
        let (a, b) = (tensor([3.0, 0.0, 4.0]), tensor([3.0, 0.5, 4.0]));
        assert!((sqnr_db(&a, &b).expect("same shape") - 20.0).abs() < 1e-12);
        assert_eq!(sqnr_db(&a, &a).expect("same shape"), f64::INFINITY);
        let opposite = tensor([-3.0, 0.0, -4.0]);
        assert!((cosine(&a, &opposite).expect("same shape") + 1.0).abs() < 1e-12);
        assert_eq!(cosine(&a, &tensor([0.0; 3])).expect("same shape"), 0.0);
        let q = Quantization::per_tensor(QParams {
            scale: 1.0,
            zero_point: 0,
            range: Range::affine(3),
        });
        let share = clipped_share(&a, &q).expect("f32");
        assert!((share - 1.0 / 3.0).abs() < 1e-12);
        assert!(sqnr_db(&a, &Tensor::from_f32(&[1], &[0.0]).expect("fits")).is_err());
    }
}
