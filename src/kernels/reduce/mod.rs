//! Sums, means, extremes, norms and masks of the slices along an axis.

mod arg_max;
mod axis;
mod axis_i8;
mod channel_mask;
mod channel_norm;
mod column_sum;

pub use arg_max::ArgMax;
pub use axis::{Reduce, ReduceKind};
pub use axis_i8::ReduceI8;
pub use channel_mask::ChannelMaskExpand;
pub use channel_norm::{ChannelNorm, Norm};
pub use column_sum::ColumnSum;

use super::Kernel;

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    arg_max::samples()
        .into_iter()
        .chain(axis::samples())
        .chain(axis_i8::samples())
        .chain(channel_mask::samples())
        .chain(channel_norm::samples())
        .chain(column_sum::samples())
        .collect()
}
