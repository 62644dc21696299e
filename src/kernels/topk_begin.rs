//! Start of a ranking: `state = (k, 0, 0, status)`, `hist = 0`.
//!
//! # Exact top-k by radix selection
//! The key of element `i` of a (concatenated) list is the pair (`|w|` bits, `i`): 31 bits of magnitude,
//! then as many bits of index as the length needs. Keys are distinct, so the `k` smallest unpruned ones
//! are defined without a word about ties: among equal magnitudes the lower index goes first. The bits of
//! a magnitude order as its value does; infinity is larger than any number and NaN larger than infinity.
//!
//! The `k`-th smallest key is found digit by digit, [`digits`] lists them: a histogram of the digit over
//! the elements that agree on all higher ones ([`super::topk_histogram_f32`]), then the choice of the bin
//! that holds the rank ([`super::topk_select`]). As soon as a bin goes as a whole, the search is over and
//! the remaining launches return at once: without ties that is before the first digit of the index.
//! [`super::topk_mask_f32`] then compares every key with the threshold.
//!
//! ```text
//! state[0]  rank still to be found within the current bin, from 1
//! state[1]  magnitude: the digits found so far; in the end the threshold
//! state[2]  index: the digits found so far; in the end the threshold
//! state[3]  status: 0 searching, 1 found (keys up to and including the threshold go), 2 nothing goes
//! ```

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, params_bytes};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

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
pub(super) const MAGNITUDE: u32 = 0x7fff_ffff;
/// Bits of that.
pub(super) const MAGNITUDE_BITS: u32 = 31;

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
    pub(super) fn of(self, bits: u32) -> u32 {
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

/// Sets the state for `k` elements and clears the histogram. Bindings: `k` u32 `[1]`, `state` u32 `[4]`,
/// `hist` u32 `[2048]`.
#[derive(Clone, Debug)]
pub struct TopkBegin;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    fill: u32,
}

impl Kernel for TopkBegin {
    fn name(&self) -> &'static str {
        "topk_begin"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("k", DType::U32, [1]),
            Binding::write("state", DType::U32, [STATE]),
            Binding::write("hist", DType::U32, [BINS]),
        ]
    }

    fn launch(&self, _caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../shaders/topk_begin.wgsl").into(),
            spec: Spec::new()
                .with("BINS", BINS as u32)
                .with("STATE", STATE as u32),
            params: params_bytes(&Params { fill: 0 }),
            workgroups: [1, 1, 1],
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let k = args[0].as_u32()?[0];
        let status = if k == 0 { NOTHING } else { SEARCHING };
        args[1] = Tensor::from_u32(&[STATE], &[k, 0, 0, status])?;
        args[2].words_mut().fill(0);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
    }

    fn operations(&self) -> f64 {
        BINS as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut k = Tensor::zeros(&[1], DType::U32);
        k.words_mut()[0] = rng.below(3) as u32;
        vec![
            k,
            Tensor::zeros(&[STATE], DType::U32),
            Tensor::zeros(&[BINS], DType::U32),
        ]
    }
}

/// There is but one.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    vec![Box::new(TopkBegin)]
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

    #[test]
    fn by_hand() {
        let mut args = TopkBegin.example_args(&mut Rng::new(1));
        args[0].words_mut()[0] = 7;
        args[2].words_mut()[5] = 9;
        TopkBegin.cpu(&mut args).expect("u32");
        assert_eq!(args[1].words(), [7, 0, 0, SEARCHING]);
        assert!(args[2].words().iter().all(|&count| count == 0));
    }
}
