//! Masks on the host: making, reading, counting, applying.

use crate::base::{DType, Tensor, num_elements};
use crate::error::{Error, Result};

/// Words of a mask over `len` elements.
pub fn mask_words(len: usize) -> usize {
    len.div_ceil(32)
}

/// The mask that keeps everything.
pub fn full_mask(len: usize) -> Tensor {
    mask_where(len, |_| true)
}

/// The mask that keeps element `i` where `keep[i]`.
pub fn mask_from_bools(keep: &[bool]) -> Tensor {
    mask_where(keep.len(), |i| keep[i])
}

pub(super) fn mask_where(len: usize, keep: impl Fn(usize) -> bool) -> Tensor {
    let mut mask = Tensor::zeros(&[mask_words(len)], DType::U32);
    let words = mask.words_mut();
    for i in 0..len {
        words[i / 32] |= u32::from(keep(i)) << (i % 32);
    }
    mask
}

/// Checks that `mask` is one over `len` elements.
///
/// # Errors
/// [`Error::DType`] or [`Error::Shape`] for other tensors; [`Error::Invalid`] if a bit beyond `len` is set.
pub fn check_mask(mask: &Tensor, len: usize) -> Result<()> {
    if mask.dtype() != DType::U32 {
        return Err(Error::DType {
            op: "prune".into(),
            operand: "mask".into(),
            expected: DType::U32.to_string(),
            got: mask.dtype().to_string(),
        });
    }
    if mask.shape() != [mask_words(len)] {
        let expected = format!("[{}] ({len} bits)", mask_words(len));
        return Err(Error::shape("prune", "mask", expected, mask.shape()));
    }
    let stray = !len.is_multiple_of(32)
        && mask
            .words()
            .last()
            .is_some_and(|word| word >> (len % 32) != 0);
    if stray {
        let problem = format!("the mask has bits beyond its {len} elements");
        return Err(Error::invalid("prune", problem));
    }
    Ok(())
}

pub(super) fn bit(mask: &Tensor, i: usize) -> bool {
    mask.words()[i / 32] >> (i % 32) & 1 == 1
}

/// The mask as one truth value per element.
///
/// # Errors
/// As [`check_mask`].
pub fn mask_to_bools(mask: &Tensor, len: usize) -> Result<Vec<bool>> {
    check_mask(mask, len)?;
    Ok((0..len).map(|i| bit(mask, i)).collect())
}

/// Elements that a mask keeps.
pub fn kept(mask: &Tensor) -> usize {
    mask.words()
        .iter()
        .map(|word| word.count_ones() as usize)
        .sum()
}

/// Share of the `len` elements that a mask prunes; 0 if there are none.
pub fn mask_sparsity(mask: &Tensor, len: usize) -> f64 {
    share(len - kept(mask).min(len), len)
}

/// Share of the elements that are zero (of either sign); 0 if there are none.
pub fn tensor_sparsity(tensor: &Tensor) -> f64 {
    let zeros = tensor.to_f64().iter().filter(|&&x| x == 0.0).count();
    share(zeros, tensor.len())
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// `y[i] = mask[i] ? x[i] : 0`; every other element keeps its bits.
///
/// # Errors
/// As [`check_mask`]; [`Error::DType`] unless `x` is f32, f16 or i8.
pub fn apply_mask(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    check_mask(mask, x.len())?;
    let mut y = x.clone();
    match x.dtype() {
        DType::F32 => {
            for (i, word) in y.words_mut().iter_mut().enumerate() {
                *word = if bit(mask, i) { *word } else { 0 };
            }
        }
        DType::F16 => {
            let mut data = x.to_f64();
            for (i, x) in data.iter_mut().enumerate() {
                *x = if bit(mask, i) { *x } else { 0.0 };
            }
            y.store_f64(&data)?;
        }
        DType::I8 => {
            let mut data = x.to_i8()?;
            for (i, x) in data.iter_mut().enumerate() {
                *x = if bit(mask, i) { *x } else { 0 };
            }
            y.store_i8(&data)?;
        }
        DType::I32 | DType::U32 => {
            return Err(Error::DType {
                op: "apply mask".into(),
                operand: "x".into(),
                expected: "f32, f16 or i8".into(),
                got: x.dtype().to_string(),
            });
        }
    }
    Ok(y)
}

/// Which slices along axis `dim` of a tensor of this shape keep at least one element.
///
/// # Errors
/// As [`check_mask`]; [`Error::Invalid`] if there is no such axis.
pub fn channels_kept(mask: &Tensor, shape: &[usize], dim: usize) -> Result<Vec<bool>> {
    let len = num_elements(shape);
    check_mask(mask, len)?;
    if dim >= shape.len() {
        let problem = format!("there is no axis {dim} in a tensor of shape {shape:?}");
        return Err(Error::invalid("prune", problem));
    }
    let inner = num_elements(&shape[dim + 1..]);
    let mut alive = vec![false; shape[dim]];
    for i in (0..len).filter(|&i| bit(mask, i)) {
        alive[i / inner % shape[dim]] = true;
    }
    Ok(alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_no_bits_beyond_their_end() {
        for len in [1, 31, 32, 33, 64] {
            let mask = full_mask(len);
            assert_eq!(kept(&mask), len);
            check_mask(&mask, len).expect("fits");
        }
        let stray = Tensor::from_u32(&[1], &[0b1000]).expect("fits");
        assert!(check_mask(&stray, 3).is_err());
        assert!(check_mask(&full_mask(33), 32).is_err());
    }

    #[test]
    fn applies_and_counts() {
        let keep = [true, false, true];
        let mask = mask_from_bools(&keep);
        assert_eq!(mask_to_bools(&mask, 3).expect("fits"), keep);
        let x = Tensor::from_f32(&[3], &[f32::NAN, f32::NAN, -0.0]).expect("fits");
        let y = apply_mask(&x, &mask).expect("f32");
        assert!(y.to_f32()[0].is_nan() && y.words()[1..] == [0, 1 << 31]);
        let q = Tensor::from_i8(&[3], &[1, 2, 3]).expect("fits");
        let q = apply_mask(&q, &mask).expect("i8");
        assert_eq!(q.to_i8().expect("i8"), [1, 0, 3]);
        assert_eq!(mask_sparsity(&mask, 3), 1.0 / 3.0);
        assert_eq!(tensor_sparsity(&q), 1.0 / 3.0);
    }

    #[test]
    fn channels() {
        let mask = mask_from_bools(&[true, false, false, false, false, true]);
        assert_eq!(
            channels_kept(&mask, &[3, 2], 0).expect("fits"),
            [true, false, true]
        );
        assert_eq!(
            channels_kept(&mask, &[2, 3], 1).expect("fits"),
            [true, false, true]
        );
        assert!(channels_kept(&mask, &[2, 3], 2).is_err());
    }
}
