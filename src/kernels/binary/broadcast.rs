//! Which elements of two operands meet, as in NumPy: shapes are aligned at their last axis, and an axis
//! of one element serves every element of the other's.

use crate::base::{DType, Shape, row_words, words_for};
use crate::error::{Error, Result};

/// Axes that a device walks over, once neighbours that behave alike are one.
const AXES: usize = 6;

/// The shape of what two operands give.
///
/// # Errors
/// [`Error::Shape`] naming `b` if an axis has different sizes and neither is 1.
pub fn broadcast_shape(op: &str, a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|axis| match (size(a, rank, axis), size(b, rank, axis)) {
            (i, j) if i == j => Ok(i),
            (1, n) | (n, 1) => Ok(n),
            _ => {
                let expected = format!("sizes of {a:?} or 1, from the last axis on");
                Err(Error::shape(op, "b", expected, b))
            }
        })
        .collect()
}

/// For bindings, which cannot fail: no elements where the shapes do not fit, which a plan refuses and
/// `launch` explains.
pub(super) fn or_empty(a: &[usize], b: &[usize]) -> Shape {
    broadcast_shape("", a, b).unwrap_or_else(|_| vec![0])
}

/// Size of an axis of `shape`, seen as one of `rank` axes.
fn size(shape: &[usize], rank: usize, axis: usize) -> usize {
    (axis + shape.len())
        .checked_sub(rank)
        .map_or(1, |i| shape[i])
}

/// Which element of `a` and which of `b` each element of the result is made of.
///
/// # Errors
/// As [`broadcast_shape`].
pub(super) fn pairs(op: &str, a: &[usize], b: &[usize]) -> Result<Vec<[usize; 2]>> {
    let y = broadcast_shape(op, a, b)?;
    let place = |shape: &[usize], at: &[usize]| {
        (0..at.len()).fold(0, |place, axis| {
            let size = size(shape, at.len(), axis);
            place * size + if size == 1 { 0 } else { at[axis] }
        })
    };
    let mut at = vec![0; y.len()];
    let next = |_| {
        let pair = [place(a, &at), place(b, &at)];
        for axis in (0..y.len()).rev() {
            at[axis] += 1;
            if at[axis] < y[axis] {
                break;
            }
            at[axis] = 0;
        }
        pair
    };
    Ok((0..y.iter().product::<usize>()).map(next).collect())
}

/// `Params` of `shaders/common/broadcast.wgsl` and of the shaders that include it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::NoUninit)]
pub(super) struct Params {
    pub axes: [[u32; 4]; AXES],
    pub rank: u32,
    pub words: u32,
    row_words: u32,
    row: u32,
    splat_a: u32,
    splat_b: u32,
}

pub(super) struct Broadcast {
    pub params: Params,
}

impl Broadcast {
    /// Axes in words, innermost first; neighbours join where both operands run through them, or stand.
    ///
    /// # Errors
    /// As [`broadcast_shape`]; [`Error::Invalid`] if more than six axes are left.
    pub fn new(op: &str, a: &[usize], b: &[usize], dtype: DType) -> Result<Self> {
        let y = broadcast_shape(op, a, b)?;
        let last = |shape: &[usize]| shape.last().copied().unwrap_or(1);
        let mut axes: Vec<(usize, [bool; 2])> = Vec::new();
        for axis in (0..y.len()).rev().filter(|&axis| y[axis] != 1) {
            let runs = [a, b].map(|shape| size(shape, y.len(), axis) != 1);
            let words = if axis + 1 == y.len() {
                row_words(&y, dtype)
            } else {
                y[axis]
            };
            match axes.last_mut() {
                Some((size, same)) if *same == runs => *size *= words,
                _ => axes.push((words, runs)),
            }
        }
        if axes.len() > AXES {
            let problem = format!("{a:?} and {b:?} alternate more than {AXES} times");
            return Err(Error::invalid(op, problem));
        }
        let mut params = Params {
            axes: [[1, 0, 0, 0]; AXES],
            rank: axes.len().max(1) as u32,
            words: words_for(&y, dtype) as u32,
            row_words: row_words(&y, dtype) as u32,
            row: last(&y) as u32,
            splat_a: u32::from(last(a) != last(&y)),
            splat_b: u32::from(last(b) != last(&y)),
        };
        let mut steps = [1, 1];
        for (axis, (size, runs)) in params.axes.iter_mut().zip(axes) {
            axis[0] = size as u32;
            for operand in 0..2 {
                if runs[operand] {
                    axis[1 + operand] = steps[operand];
                    steps[operand] *= size as u32;
                }
            }
        }
        Ok(Self { params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let shape =
            |a: &[usize], b: &[usize]| broadcast_shape("add", a, b).map_err(|e| e.to_string());
        assert_eq!(shape(&[2, 3, 4], &[4]), Ok(vec![2, 3, 4]));
        assert_eq!(shape(&[5, 1], &[2, 1, 3]), Ok(vec![2, 5, 3]));
        assert_eq!(
            shape(&[2, 3], &[2]),
            Err(
                "add: `b` has shape [2], expected sizes of [2, 3] or 1, from the last axis on"
                    .into()
            )
        );
        assert_eq!(
            pairs("", &[2, 1], &[3]).expect("fits")[..4],
            [[0, 0], [0, 1], [0, 2], [1, 0]]
        );
    }

    #[test]
    fn axes_join() {
        let axes = |a: &[usize], b: &[usize], dtype| {
            let params = Broadcast::new("", a, b, dtype).expect("fits").params;
            params.axes[..params.rank as usize].to_vec()
        };
        assert_eq!(axes(&[2, 3, 5], &[2, 3, 5], DType::I8), [[12, 1, 1, 0]]);
        assert_eq!(
            axes(&[2, 7, 7, 8], &[8], DType::F32),
            [[8, 1, 1, 0], [98, 8, 0, 0]]
        );
        assert_eq!(
            axes(&[2, 7, 7, 8], &[2, 1, 1, 8], DType::I8),
            [[2, 1, 1, 0], [49, 2, 0, 0], [2, 98, 2, 0]]
        );
        assert_eq!(axes(&[], &[1], DType::F32), [[1, 0, 0, 0]]);
    }
}
