//! Sums, norms and masks of the slices along an axis.

mod channel_mask;
mod channel_norm;
mod column_sum;

pub use channel_mask::ChannelMaskExpand;
pub use channel_norm::{ChannelNorm, Norm};
pub use column_sum::ColumnSum;

use super::Kernel;

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    channel_mask::samples()
        .into_iter()
        .chain(channel_norm::samples())
        .chain(column_sum::samples())
        .collect()
}
