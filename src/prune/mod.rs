//! Which weights go: masks by magnitude, by channel, at random and m of n; schedules; counting.
//!
//! A mask is a [`crate::base::Tensor`] of bits, u32 `[ceil(len / 32)]`: bit `i % 32` of word `i / 32` is 1
//! while element `i` (row-major) is kept; bits from `len` on are zero. Every mask has exactly the number of
//! ones that was asked for, on every device: ties break by index.

mod criteria;
mod insert;
mod masks;
mod schedule;
mod sparsity;
mod thin;

pub use crate::kernels::reduce::Norm;
pub use criteria::{m_of_n, random_unstructured};
pub use insert::{Masked, insert_masks};
pub use masks::{
    Amount, MaskPlan, Scope, TopkMask, channel_masks, magnitude_masks, magnitude_masks_to_sparsity,
};
pub use schedule::Schedule;
pub use sparsity::{
    apply_mask, channels_kept, check_mask, full_mask, kept, mask_from_bools, mask_sparsity,
    mask_to_bools, mask_words, tensor_sparsity,
};
pub use thin::{Family, families, thin};
