//! `mask[i] = old[i] and not (state found and (|w_i| bits, offset + i) ≤ (magnitude, index))`
//!
//! `w`: f32 `[len]`, elements `offset ..` of the list that was ranked; `old`, `mask`: bit `i % 32` of word
//! `i / 32`, u32 `[ceil(len / 32)]`, bits from `len` on are written as zero; `state`: see
//! [`super`]. Exact: integers only. NaN counts as larger than infinity.

use super::super::elementwise::halves;
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, random_args};
use super::{FOUND, MAGNITUDE, STATE};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Prunes every unpruned element up to the threshold. Bindings: `w`, `old`, `state`, `mask`.
#[derive(Clone, Debug)]
pub struct TopkMask {
    /// Elements of `w`.
    pub len: usize,
    /// Elements before `w` in the list that was ranked.
    pub offset: usize,
}

impl Kernel for TopkMask {
    fn name(&self) -> &'static str {
        "topk_mask_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let words = self.len.div_ceil(32);
        vec![
            Binding::read("w", DType::F32, [self.len]),
            Binding::read("old", DType::U32, [words]),
            Binding::read("state", DType::U32, [STATE]),
            Binding::write("mask", DType::U32, [words]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../../shaders/topk/mask.wgsl").into(),
            spec: halves(Spec::new(), self.len.is_multiple_of(2), caps).1,
            params: params(self.name(), [self.len.into(), self.offset.into()])?,
            workgroups: grid_1d(self.len.div_ceil(32), 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (inputs, outputs) = args.split_at_mut(3);
        let (old, state) = (inputs[1].as_u32()?, inputs[2].as_u32()?);
        let mask = outputs[0].words_mut();
        mask.fill(0);
        let threshold = (state[1], state[2]);
        for (i, bits) in inputs[0].words().iter().enumerate() {
            let key = (bits & MAGNITUDE, (self.offset + i) as u32);
            let unpruned = old[i / 32] >> (i % 32) & 1 == 1;
            let goes = state[3] == FOUND && key <= threshold;
            mask[i / 32] |= u32::from(unpruned && !goes) << (i % 32);
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
        // The threshold is the key of some element.
        let i = rng.below(self.len);
        let magnitude = args[0].words()[i] & MAGNITUDE;
        let index = (self.offset + i) as u32;
        args[2]
            .words_mut()
            .copy_from_slice(&[1, magnitude, index, FOUND]);
        args
    }
}

/// One element, whole and broken words, just over a workgroup, in the middle of a list.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [(1, 0), (64, 0), (97, 1009), (64 * 32 + 1, 5)];
    boxed(cases.map(|(len, offset)| TopkMask { len, offset }))
}
