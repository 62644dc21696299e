//! Masks that are made on the host: at random, and m of n.

use super::masks::Amount;
use super::sparsity::{bit, check_mask, full_mask, kept, mask_where};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Prunes `amount` of the `len` elements that `old` keeps (`None`: all of them), each with the same
/// probability; exact in number. The same seed gives the same mask everywhere.
///
/// # Errors
/// As [`Amount::count`] and [`check_mask`].
pub fn random_unstructured(
    len: usize,
    old: Option<&Tensor>,
    amount: Amount,
    rng: &mut Rng,
) -> Result<Tensor> {
    let mut mask = old.cloned().unwrap_or_else(|| full_mask(len));
    check_mask(&mask, len)?;
    let mut left = kept(&mask);
    let mut goes = amount.count(left)?;
    // Selection sampling (Knuth, volume 2, algorithm S): one draw per candidate.
    for i in 0..len {
        if bit(&mask, i) {
            if rng.below(left) < goes {
                mask.words_mut()[i / 32] &= !(1 << (i % 32));
                goes -= 1;
            }
            left -= 1;
        }
    }
    Ok(mask)
}

/// In every group of `n` consecutive elements of the last axis, prunes the `m` with the smallest
/// magnitude, ties by index; `m_of_n(w, 2, 4)` is the 2:4 pattern. NaN counts as larger than infinity.
///
/// # Errors
/// [`Error::DType`] unless `w` is f32; [`Error::Invalid`] unless `m < n` and `n` divides the last axis.
pub fn m_of_n(w: &Tensor, m: usize, n: usize) -> Result<Tensor> {
    if w.dtype() != DType::F32 {
        return Err(Error::DType {
            op: "prune m:n".into(),
            operand: "w".into(),
            expected: DType::F32.to_string(),
            got: w.dtype().to_string(),
        });
    }
    let row = w.shape().last().copied().unwrap_or(1);
    if m >= n || !row.is_multiple_of(n) {
        let problem = format!(
            "{m} of {n} cannot be pruned from rows of {row} elements: \
             the group must be larger than {m} and divide the row"
        );
        return Err(Error::invalid("prune m:n", problem));
    }
    let mut keep = vec![true; w.len()];
    for (group, words) in w.words().chunks(n).enumerate() {
        let mut order: Vec<usize> = (0..n).collect();
        // Stable, hence ties by index.
        order.sort_by_key(|&i| words[i] & 0x7fff_ffff);
        for &i in &order[..m] {
            keep[group * n + i] = false;
        }
    }
    Ok(mask_where(keep.len(), |i| keep[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::mask_to_bools;

    #[test]
    fn random_masks_are_exact_seeded_and_nested() {
        let first = random_unstructured(1000, None, Amount::Fraction(0.3), &mut Rng::new(1));
        let first = first.expect("in range");
        assert_eq!(kept(&first), 700);
        let again = random_unstructured(1000, None, Amount::Count(300), &mut Rng::new(1));
        assert_eq!(again.expect("in range"), first);
        let amount = Amount::Fraction(0.5);
        let second = random_unstructured(1000, Some(&first), amount, &mut Rng::new(2));
        let second = second.expect("in range");
        assert_eq!(kept(&second), 350);
        let inside = second.words().iter().zip(first.words());
        assert!(inside.into_iter().all(|(new, old)| new & !old == 0));
        let early = (0..500).filter(|&i| bit(&first, i)).count();
        assert!((300..400).contains(&early), "{early}");
        assert!(random_unstructured(9, None, Amount::Count(10), &mut Rng::new(1)).is_err());
    }

    #[test]
    fn two_of_four() {
        let w = [1.0, -1.0, 1.0, 0.5, f32::NAN, -3.0, 2.0, f32::INFINITY];
        let w = Tensor::from_f32(&[2, 4], &w).expect("fits");
        let mask = m_of_n(&w, 2, 4).expect("4 divides 4");
        let keep = mask_to_bools(&mask, 8).expect("fits");
        assert_eq!(keep, [false, true, true, false, true, false, false, true]);
        assert!(m_of_n(&w, 2, 3).is_err());
        assert!(m_of_n(&w, 4, 4).is_err());
    }
}
