//! Normalisation: of channels over a batch (batch norm), of rows to shares of 1 (softmax).

mod batch_norm;
mod batch_norm_grad;
mod softmax;

pub use batch_norm::{BatchNorm, BatchNormStats, Statistics};
pub use batch_norm_grad::{BatchNormEvalGrad, BatchNormGrad, BatchNormGradParams};
pub use softmax::{LogSoftmax, Softmax, SoftmaxGrad, SoftmaxI8};
pub(super) use softmax::{exponentials, shares};

use super::frame::{Word, params};
use super::{Approx, Caps, Kernel, Launch, Spec, grid_1d};
use crate::error::Result;

/// Rows of one invocation of `common/channel_rows.wgsl`.
const ROWS: usize = 8;
/// Channels of one workgroup of `common/channel_sums.wgsl`: neighbours in memory, 32 bytes.
const CHANNELS: usize = 8;

/// The launch of a shader that includes `common/channel_rows.wgsl`.
fn by_rows<const N: usize>(
    (op, source): (&str, &'static str),
    spec: Spec,
    [rows, channels]: [usize; 2],
    words: [Word; N],
    caps: &Caps,
) -> Result<Launch> {
    Ok(Launch {
        source: source.into(),
        spec: spec.with("ROWS", ROWS as u32),
        params: params(op, words)?,
        workgroups: grid_1d(rows.div_ceil(ROWS) * channels, 64, caps),
    })
}

/// The launch of a shader that includes `common/channel_sums.wgsl`.
fn by_channels<const N: usize>(
    (op, source): (&str, &'static str),
    channels: usize,
    words: [Word; N],
    caps: &Caps,
) -> Result<Launch> {
    Ok(Launch {
        source: source.into(),
        spec: Spec::new().with("CHANNELS", CHANNELS as u32),
        params: params(op, words)?,
        workgroups: grid_1d(channels, CHANNELS, caps),
    })
}

/// The elements of channel `c` of a `[rows, channels]` tensor.
fn column(x: &[Approx], c: usize, channels: usize) -> impl Iterator<Item = Approx> + '_ {
    x.iter().skip(c).step_by(channels).copied()
}

/// Rows and channels: one of either, primes, tails of both.
const CASES: [[usize; 2]; 4] = [[1, 1], [7, 3], [49, 65], [1031, 2]];

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    batch_norm::samples()
        .into_iter()
        .chain(batch_norm_grad::samples())
        .chain(softmax::samples())
        .collect()
}
