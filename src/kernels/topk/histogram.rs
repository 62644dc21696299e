//! `hist[digit(key_i)] += 1` over the unpruned `i` whose key agrees with the state on all higher digits
//!
//! `w`: f32 `[len]`, elements `offset ..` of the concatenated list that is ranked; `old`: bits
//! `[ceil(len / 32)]`, 1 = unpruned; `state`, keys and digits: see [`super`]; `hist`: u32
//! `[2048]`, counts of all tensors of the list added up. Adds nothing unless the state is searching.
//! Exact: integers only.

use super::super::elementwise::halves;
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, random_args};
use super::{BINS, Digit, MAGNITUDE, MAGNITUDE_BITS, SEARCHING, STATE, digits};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Counts one digit of one tensor. Bindings: `w`, `old`, `state` (read), `hist` (updated).
#[derive(Clone, Debug)]
pub struct TopkHistogram {
    /// Elements of `w`.
    pub len: usize,
    /// Elements before `w` in the list that is ranked.
    pub offset: usize,
    /// The digit that is counted.
    pub digit: Digit,
}

const WORKGROUP: usize = 256;
/// A workgroup clears and adds up 2048 bins; a strip this long makes that a small part of its work.
const MIN_STRIP: usize = 8192;
/// Enough to fill large devices.
const MAX_WORKGROUPS: usize = 512;

impl Kernel for TopkHistogram {
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
        let words = [
            self.len.into(),
            self.offset.into(),
            strip.into(),
            self.digit.shift.into(),
            self.digit.width.into(),
        ];
        Ok(Launch {
            source: include_str!("../../../shaders/topk/histogram.wgsl").into(),
            spec: halves(Spec::new(), self.len.is_multiple_of(2), caps)
                .1
                .with("WORKGROUP", WORKGROUP as u32)
                .with("BINS", BINS as u32)
                .with("BY_INDEX", self.digit.by_index)
                .with("FIRST", !self.digit.by_index && top == MAGNITUDE_BITS),
            params: params(self.name(), words)?,
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
        equal_but(4, [])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
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
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [(1, 0), (97, 1009), (MIN_STRIP + 33, 5)];
    boxed(cases.into_iter().flat_map(|(len, offset)| {
        let kernel = move |digit| TopkHistogram { len, offset, digit };
        digits(offset + len).into_iter().map(kernel)
    }))
}
