//! `hist[digit(key_i)] += 1` over the unpruned `i` whose key agrees with the state on all higher digits
//!
//! `w`: f32 `[len]`, elements `offset ..` of the concatenated list that is ranked; `old`: bits
//! `[ceil(len / 32)]`, 1 = unpruned; `state`, keys and digits: see [`super::topk_begin`]; `hist`: u32
//! `[2048]`, counts of all tensors of the list added up. Adds nothing unless the state is searching.
//! Exact: integers only.

use super::elementwise::halves;
use super::topk_begin::{BINS, Digit, MAGNITUDE, MAGNITUDE_BITS, SEARCHING, STATE, digits};
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, params_bytes, random_tensor};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Counts one digit of one tensor. Bindings: `w`, `old`, `state` (read), `hist` (updated).
#[derive(Clone, Debug)]
pub struct TopkHistogramF32 {
    /// Elements of `w`.
    pub len: usize,
    /// Elements before `w` in the list that is ranked.
    pub offset: usize,
    /// The digit that is counted.
    pub digit: Digit,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    offset: u32,
    strip: u32,
    shift: u32,
    width: u32,
}

const WORKGROUP: usize = 256;
/// A workgroup clears and adds up 2048 bins; a strip this long makes that a small part of its work.
const MIN_STRIP: usize = 8192;
/// Enough to fill large devices.
const MAX_WORKGROUPS: usize = 512;

impl Kernel for TopkHistogramF32 {
    fn name(&self) -> &'static str {
        "topk_histogram_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("w", DType::F32, [self.len]),
            Binding::read("old", DType::U32, [self.len.div_ceil(32)]),
            Binding::read("state", DType::U32, [STATE]),
            Binding::update("hist", DType::U32, [BINS]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let strip = self.len.div_ceil(MAX_WORKGROUPS).max(MIN_STRIP);
        let strip = strip.next_multiple_of(8 * WORKGROUP);
        let top = self.digit.shift + self.digit.width;
        let params = Params {
            len: self.len as u32,
            offset: self.offset as u32,
            strip: strip as u32,
            shift: self.digit.shift,
            width: self.digit.width,
        };
        Ok(Launch {
            source: include_str!("../../shaders/topk_histogram_f32.wgsl").into(),
            spec: halves(Spec::new(), self.len.is_multiple_of(2), caps)
                .1
                .with("WORKGROUP", WORKGROUP as u32)
                .with("BINS", BINS as u32)
                .with("BY_INDEX", self.digit.by_index)
                .with("FIRST", !self.digit.by_index && top == MAGNITUDE_BITS),
            params: params_bytes(&params),
            workgroups: [self.len.div_ceil(strip).max(1) as u32, 1, 1],
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (inputs, outputs) = args.split_at_mut(3);
        let (old, state) = (inputs[1].as_u32()?, inputs[2].as_u32()?);
        let hist = outputs[0].words_mut();
        if state[3] != SEARCHING {
            return Ok(());
        }
        let above = self.digit.shift + self.digit.width;
        for (i, bits) in inputs[0].words().iter().enumerate() {
            let (magnitude, index) = (bits & MAGNITUDE, (self.offset + i) as u32);
            let (agrees, digit) = if self.digit.by_index {
                let agrees = magnitude == state[1] && (index ^ state[2]) >> above == 0;
                (agrees, self.digit.of(index))
            } else {
                let agrees = (magnitude ^ state[1]) >> above == 0;
                (agrees, self.digit.of(magnitude))
            };
            let unpruned = old[i / 32] >> (i % 32) & 1 == 1;
            if unpruned && agrees {
                hist[digit as usize] = hist[digit as usize].wrapping_add(1);
            }
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 4])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args: Vec<Tensor> = self
            .bindings()
            .iter()
            .map(|binding| random_tensor(binding, rng))
            .collect();
        // A state in which the higher digits are those of some element.
        let i = rng.below(self.len);
        let above = |bits: u32| bits >> (self.digit.shift + self.digit.width);
        let back = |bits: u32| bits << (self.digit.shift + self.digit.width);
        let magnitude = args[0].words()[i] & MAGNITUDE;
        let index = (self.offset + i) as u32;
        let (magnitude, index) = if self.digit.by_index {
            (magnitude, back(above(index)))
        } else {
            (back(above(magnitude)), 0)
        };
        args[2]
            .words_mut()
            .copy_from_slice(&[1, magnitude, index, SEARCHING]);
        for count in args[3].words_mut() {
            *count %= 1000;
        }
        args
    }
}

/// Every digit, on one element, on a prime, just over one strip, and in the middle of a list.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let mut samples: Vec<Box<dyn Kernel>> = Vec::new();
    for (len, offset) in [(1, 0), (97, 1009), (MIN_STRIP + 33, 5)] {
        for digit in digits(offset + len) {
            samples.push(Box::new(TopkHistogramF32 { len, offset, digit }));
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::topk_begin::FOUND;

    #[test]
    fn by_hand() {
        // Two equal magnitudes and a pruned one; lowest two bits of the magnitude.
        let kernel = TopkHistogramF32 {
            len: 4,
            offset: 0,
            digit: Digit {
                by_index: false,
                shift: 0,
                width: 2,
            },
        };
        let bits = [4, 5 | 1 << 31, 5, 9].map(f32::from_bits);
        let mut args = [
            Tensor::from_f32(&[4], &bits).expect("fits"),
            Tensor::from_u32(&[1], &[0b1011]).expect("fits"),
            Tensor::from_u32(&[STATE], &[1, 4, 0, SEARCHING]).expect("fits"),
            Tensor::zeros(&[BINS], DType::U32),
        ];
        kernel.cpu(&mut args).expect("types fit");
        assert_eq!(args[3].words()[..4], [1, 1, 0, 0]);
        args[2].words_mut()[3] = FOUND;
        kernel.cpu(&mut args).expect("types fit");
        assert_eq!(args[3].words()[..4], [1, 1, 0, 0]);
    }
}
