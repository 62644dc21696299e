//! `mask[o, c, i] = old[o, c, i] and kept[c]`
//!
//! `kept`: bits of the channels, u32 `[ceil(shape[dim] / 32)]`; `old`, `mask`: bits of the elements of
//! `shape` in row-major order, u32 `[ceil(len / 32)]`; bits from `len` on are written as zero. Exact.

use super::super::channels::Channels;
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// A mask of channels becomes a mask of elements. Bindings: `kept`, `old`, `mask`.
#[derive(Clone, Debug)]
pub struct ChannelMaskExpand {
    /// Shape of the tensor that is masked.
    pub shape: Shape,
    /// The axis of the channels.
    pub dim: usize,
}

impl Kernel for ChannelMaskExpand {
    fn name(&self) -> &'static str {
        "channel_mask_expand"
    }

    fn bindings(&self) -> Vec<Binding> {
        let channels = Channels::of(&self.shape, Some(self.dim)).count;
        let words = num_elements(&self.shape).div_ceil(32);
        vec![
            Binding::read("kept", DType::U32, [channels.div_ceil(32)]),
            Binding::read("old", DType::U32, [words]),
            Binding::write("mask", DType::U32, [words]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::checked(self.name(), &self.shape, Some(self.dim))?;
        let len = num_elements(&self.shape);
        Ok(Launch {
            source: include_str!("../../../shaders/reduce/channel_mask_expand.wgsl").into(),
            spec: Spec::new(),
            params: params(
                self.name(),
                [len.into(), channels.count.into(), channels.inner.into()],
            )?,
            workgroups: grid_1d(len.div_ceil(32), 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let channels = Channels::checked(self.name(), &self.shape, Some(self.dim))?;
        let (inputs, outputs) = args.split_at_mut(2);
        let (kept, old) = (inputs[0].as_u32()?, inputs[1].as_u32()?);
        let bit = |words: &[u32], i: usize| words[i / 32] >> (i % 32) & 1;
        let mask = outputs[0].words_mut();
        mask.fill(0);
        for i in 0..num_elements(&self.shape) {
            let stays = bit(old, i) & bit(kept, channels.channel_of(i));
            mask[i / 32] |= stays << (i % 32);
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(3, [])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// First, middle and last axes; more channels than a word has bits; broken words.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [(&[usize], usize); 6] = [
        (&[1], 0),
        (&[33, 17], 0),
        (&[17, 33], 1),
        (&[5, 3, 3, 17], 0),
        (&[9, 70, 11], 1),
        (&[2, 1100], 1),
    ];
    boxed(shapes.map(|(shape, dim)| ChannelMaskExpand {
        shape: shape.to_vec(),
        dim,
    }))
}
