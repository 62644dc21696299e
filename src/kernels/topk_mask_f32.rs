//! `mask[i] = old[i] and not (state found and (|w_i| bits, offset + i) ≤ (magnitude, index))`
//!
//! `w`: f32 `[len]`, elements `offset ..` of the list that was ranked; `old`, `mask`: bit `i % 32` of word
//! `i / 32`, u32 `[ceil(len / 32)]`, bits from `len` on are written as zero; `state`: see
//! [`super::topk_begin`]. Exact: integers only. NaN counts as larger than infinity.

use super::elementwise::halves;
use super::topk_begin::{FOUND, MAGNITUDE, STATE};
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Prunes every unpruned element up to the threshold. Bindings: `w`, `old`, `state`, `mask`.
#[derive(Clone, Debug)]
pub struct TopkMaskF32 {
    /// Elements of `w`.
    pub len: usize,
    /// Elements before `w` in the list that was ranked.
    pub offset: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    offset: u32,
}

impl Kernel for TopkMaskF32 {
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
            source: include_str!("../../shaders/topk_mask_f32.wgsl").into(),
            spec: halves(Spec::new(), self.len.is_multiple_of(2), caps).1,
            params: params_bytes(&Params {
                len: self.len as u32,
                offset: self.offset as u32,
            }),
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
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 0), (64, 0), (97, 1009), (64 * 32 + 1, 5)]
        .into_iter()
        .map(|(len, offset)| Box::new(TopkMaskF32 { len, offset }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::topk_begin::{NOTHING, SEARCHING};

    #[test]
    fn by_hand() {
        // The threshold is (2.0, index 12): the tie at index 13 stays, the pruned one stays pruned.
        let w = [1.0, -2.0, -2.0, 2.0, f32::NAN, 0.0];
        let state = [1, 2f32.to_bits(), 12, FOUND];
        let mut args = [
            Tensor::from_f32(&[6], &w).expect("fits"),
            Tensor::from_u32(&[1], &[0b1111_1101_1111]).expect("fits"),
            Tensor::from_u32(&[STATE], &state).expect("fits"),
            Tensor::zeros(&[1], DType::U32),
        ];
        let kernel = TopkMaskF32 { len: 6, offset: 10 };
        kernel.cpu(&mut args).expect("types fit");
        assert_eq!(args[3].words(), [0b01_1000]);
        for status in [SEARCHING, NOTHING] {
            args[2].words_mut()[3] = status;
            kernel.cpu(&mut args).expect("types fit");
            assert_eq!(args[3].words(), [0b01_1111]);
        }
    }
}
