//! The smallest magnitudes of a list, exactly.
//!
//! The key of element `i` of a (concatenated) list is the pair (`|w|` bits, `i`): 31 bits of magnitude,
//! then as many bits of index as the length needs. Keys are distinct, so the `k` smallest unpruned ones
//! are defined without a word about ties: among equal magnitudes the lower index goes first. The bits of
//! a magnitude order as its value does; infinity is larger than any number and NaN larger than infinity.
//!
//! The `k`-th smallest key is found digit by digit, [`digits`] lists them: a histogram of the digit over
//! the elements that agree on all higher ones ([`TopkHistogram`]), then the choice of the bin
//! that holds the rank ([`TopkSelect`]). As soon as a bin goes as a whole, the search is over and
//! the remaining launches return at once: without ties that is before the first digit of the index.
//! [`TopkMask`] then compares every key with the threshold.
//!
//! ```text
//! state[0]  rank still to be found within the current bin, from 1
//! state[1]  magnitude: the digits found so far; in the end the threshold
//! state[2]  index: the digits found so far; in the end the threshold
//! state[3]  status: 0 searching, 1 found (keys up to and including the threshold go), 2 nothing goes
//! ```

mod begin;
mod histogram;
mod mask;
mod select;

pub use begin::TopkBegin;
pub use histogram::TopkHistogram;
pub use mask::TopkMask;
pub use select::TopkSelect;

use super::Kernel;

/// Bins of a histogram: the widest digit has 11 bits.
pub const BINS: usize = 1 << 11;
/// Words of the state.
pub const STATE: usize = 4;
/// `state[3]` while digits are missing.
pub const SEARCHING: u32 = 0;
/// `state[3]` once the threshold is known.
pub const FOUND: u32 = 1;
/// `state[3]` if `k` is 0.
pub const NOTHING: u32 = 2;
/// All but the sign of an f32.
const MAGNITUDE: u32 = 0x7fff_ffff;
/// Bits of that.
const MAGNITUDE_BITS: u32 = 31;

/// Some bits of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Of the index, hence all of the magnitude is known; otherwise of the magnitude.
    pub by_index: bool,
    /// Bits below the digit.
    pub shift: u32,
    /// Bits of the digit, at most 11; `shift + width` is at most 31.
    pub width: u32,
}

impl Digit {
    /// The digit's value in a magnitude or an index.
    fn of(self, bits: u32) -> u32 {
        (bits >> self.shift) & ((1 << self.width) - 1)
    }
}

/// The digits of the keys of `total` elements (at most 2³¹), highest first: three of the magnitude
/// (11, 10 and 10 bits), and no more of the index than it needs.
pub fn digits(total: usize) -> Vec<Digit> {
    let split = |bits: u32, by_index: bool| {
        let count = bits.div_ceil(BINS.trailing_zeros());
        let mut shift = bits;
        (0..count).map(move |i| {
            let width = shift.div_ceil(count - i);
            shift -= width;
            Digit {
                by_index,
                shift,
                width,
            }
        })
    };
    let index_bits = usize::BITS - total.saturating_sub(1).leading_zeros();
    split(MAGNITUDE_BITS, false)
        .chain(split(index_bits, true))
        .collect()
}

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    begin::samples()
        .into_iter()
        .chain(histogram::samples())
        .chain(mask::samples())
        .chain(select::samples())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_cover_the_key_once() {
        for total in [1usize, 2, 3, 32, 33, 2048, 2049, 11_689_512, 1 << 31] {
            let digits = digits(total);
            let (magnitude, index): (Vec<Digit>, Vec<Digit>) =
                digits.iter().partition(|d| !d.by_index);
            let widths: Vec<u32> = magnitude.iter().map(|d| d.width).collect();
            assert_eq!(widths, [11, 10, 10]);
            let bits: u32 = index.iter().map(|d| d.width).sum();
            assert!(
                1u64 << bits >= total as u64 && (bits == 0 || 1u64 << (bits - 1) < total as u64)
            );
            assert!(index.iter().all(|d| d.width <= 11));
            assert_eq!(digits.last().map(|d| d.shift), Some(0));
            for pair in digits.windows(2).filter(|p| p[0].by_index == p[1].by_index) {
                assert_eq!(pair[0].shift, pair[1].shift + pair[1].width);
            }
        }
    }
}
