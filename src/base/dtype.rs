//! Element types and the one storage rule.

use std::fmt;

/// Sizes of the axes, slowest first. Images are `[n, h, w, c]`, linear weights `[out, in]`,
/// convolution weights `[out, kh, kw, in / groups]`.
pub type Shape = Vec<usize>;

/// What one element is.
///
/// Storage rule for host and device alike: elements are packed into 32-bit words along the last
/// axis, and every row (everything but the last axis) starts on a word. Four-byte types have no
/// padding; `F16` rows are padded to 2 elements, `I8` rows to 4, with zeros.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16, two to a word.
    F16,
    /// Two's complement 8-bit integer, four to a word.
    I8,
    /// Two's complement 32-bit integer.
    I32,
    /// Unsigned 32-bit integer: labels, counters, bit masks (32 mask bits to a word).
    U32,
}

impl DType {
    /// Elements that share one 32-bit word.
    pub const fn lanes(self) -> usize {
        match self {
            Self::F32 | Self::I32 | Self::U32 => 1,
            Self::F16 => 2,
            Self::I8 => 4,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::I32 => "i32",
            Self::U32 => "u32",
        })
    }
}

/// Elements in `shape`; 1 for a scalar (no axes).
pub fn num_elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Most elements of a value: indices are 32 bits wide on devices.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// True if a value of this shape has at most [`MAX_ELEMENTS`] elements, counted without overflow.
pub fn is_addressable(shape: &[usize]) -> bool {
    let mut sizes = shape.iter();
    let count = sizes.try_fold(1usize, |n, &size| n.checked_mul(size));
    count.is_some_and(|n| n <= MAX_ELEMENTS) && shape.iter().all(|&size| size <= MAX_ELEMENTS)
}

/// Words in one row (the last axis) of `shape`.
pub fn row_words(shape: &[usize], dtype: DType) -> usize {
    shape.last().copied().unwrap_or(1).div_ceil(dtype.lanes())
}

/// Words that a tensor of this shape and type occupies, padding included.
pub fn words_for(shape: &[usize], dtype: DType) -> usize {
    let rows: usize = shape.iter().rev().skip(1).product();
    rows * row_words(shape, dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_whole_words() {
        assert_eq!(words_for(&[2, 3, 5], DType::I8), 2 * 3 * 2);
        assert_eq!(words_for(&[2, 3, 5], DType::F16), 2 * 3 * 3);
        assert_eq!(words_for(&[2, 3, 5], DType::F32), 30);
        assert_eq!(words_for(&[], DType::F32), 1);
        assert_eq!(words_for(&[7], DType::I8), 2);
        assert_eq!(words_for(&[0, 7], DType::I8), 0);
    }
}
