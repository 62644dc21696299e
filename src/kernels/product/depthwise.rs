//! The host's side of `shaders/product/depthwise.wgsl`: convolutions whose filters see one channel each.

use super::parts::Parts;
use super::tile::{tiling, vector_registers, with_geometry};
use super::{Caps, Conv, Launch, Variant, grid_1d};
use crate::base::DType;
use crate::error::Result;

/// Pixels that one invocation computes, of one word of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DepthwiseTile {
    /// Neighbouring pixels of a row.
    run: usize,
    /// Neighbouring rows.
    steps: usize,
}

/// Taps of the largest filter: the shader writes all of them out. A sum of as many products of int8 is exact in f32.
const MOST_TAPS: usize = 64;

/// Pixels of `x` that an invocation keeps under one output at most; dilation spreads the taps.
const MOST_PIXELS: usize = 512;

/// True for a convolution that [`Variant::Depthwise`] can run.
pub(super) fn takes(x: [usize; 4], w: [usize; 4], conv: Conv) -> bool {
    let pixels = || span(0, 1, w[1], &conv).saturating_mul(span(1, 1, w[2], &conv));
    conv.groups > 1
        && conv.groups == x[3]
        && w[3] == 1
        && w[1] * w[2] <= MOST_TAPS
        && pixels() <= MOST_PIXELS
}

/// Pixels of `x` along an axis (0: height, 1: width) under `size` pixels of `y`.
fn span(axis: usize, size: usize, kernel: usize, conv: &Conv) -> usize {
    (size - 1) * conv.stride[axis] + (kernel - 1) * conv.dilation[axis] + 1
}

/// What bounds a tile on a device.
struct Bounds {
    /// Weights and pixels of `x` that an invocation holds, in registers.
    registers: usize,
    /// Multiplications that the shader writes out: they are compiled.
    unrolled: usize,
    /// Fewer invocations leave the device idle.
    invocations: usize,
}

impl Bounds {
    /// A processor (a software driver) pays dearly for every load and little for spilled registers. A GPU needs many
    /// invocations, whose loads are on their way at the same time.
    fn new(caps: &Caps) -> Self {
        if caps.software || vector_registers(caps) {
            return Self {
                registers: 512,
                unrolled: 200,
                invocations: 128,
            };
        }
        Self {
            registers: 128,
            unrolled: 64,
            invocations: 16384,
        }
    }
}

impl DepthwiseTile {
    /// The tile that loads and stores least within the bounds of the device.
    fn new(y: [usize; 4], w: [usize; 4], conv: &Conv, dtype: DType, caps: &Caps) -> Self {
        let bounds = Bounds::new(caps);
        let (lanes, taps) = (dtype.lanes(), w[1] * w[2]);
        let words = w[0].div_ceil(lanes);
        let mut best = Self { run: 1, steps: 1 };
        let mut least = usize::MAX;
        for run in 1..=y[2].clamp(1, 8) {
            let held = taps + span(0, 1, w[1], conv) * span(1, run, w[2], conv);
            let fits = held * lanes <= bounds.registers && run * taps <= bounds.unrolled;
            for steps in 1..=y[1].clamp(1, 32) {
                let tile = Self { run, steps };
                let tiles = tile.tiles(y);
                let enough = tiles * words >= bounds.invocations;
                if run * steps > 1 && !(enough && (fits || run == 1)) {
                    break;
                }
                // A filter of several channels lies in as many words to a tap.
                let loads = span(1, run, w[2], conv) * span(0, steps, w[1], conv) + taps * lanes;
                let cost = tiles * (loads + run * steps);
                if cost < least {
                    (best, least) = (tile, cost);
                }
            }
        }
        best
    }

    /// Tiles of all images.
    fn tiles(self, y: [usize; 4]) -> usize {
        y[0] * y[1].div_ceil(self.steps) * y[2].div_ceil(self.run)
    }
}

/// `Params` of the shader, but those that all programs end with.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    x_words: u32,
    words: u32,
    runs: u32,
    strips: u32,
    steps: u32,
    items: u32,
    n: u32,
}

/// The launch of a depthwise convolution.
///
/// # Errors
/// As [`Conv::output_shape`]; [`crate::Error::Unsupported`] for other convolutions, and for filters of more than
/// [`MOST_TAPS`].
pub(super) fn conv_launch(
    parts: &Parts,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let y = conv.output_shape(x, w)?;
    if !takes(x, w, conv) {
        return Err(Variant::Depthwise.unsupported(parts.op));
    }
    let tile = DepthwiseTile::new(y, w, &conv, parts.dtype, caps);
    let workgroup = tiling(caps).workgroup;
    let rows = span(0, 1, w[1], &conv);
    let loaded = rows.min(conv.stride[0]);
    let kept = rows - loaded;
    let words = parts.words(y[3]);
    let items = tile.tiles(y) * words;
    let params = parts.params(&Params {
        height: x[1] as u32,
        width: x[2] as u32,
        out_height: y[1] as u32,
        out_width: y[2] as u32,
        x_words: parts.words(x[3]) as u32,
        words: words as u32,
        runs: y[2].div_ceil(tile.run) as u32,
        strips: y[1].div_ceil(tile.steps) as u32,
        steps: tile.steps as u32,
        items: items as u32,
        n: y[3] as u32,
    });
    let spec = with_geometry(parts.channels(), &conv)
        .with("WORKGROUP", workgroup as u32)
        .with("RUN", tile.run as u32)
        .with("KH", w[1] as u32)
        .with("KW", w[2] as u32)
        .with("MULTIPLIER", (w[0] / conv.groups) as u32)
        .with("SPAN", span(1, tile.run, w[2], &conv) as u32)
        .with("KEPT", kept as u32)
        .with("LOADED", loaded as u32)
        .with("WARM", kept.div_ceil(conv.stride[0]) as u32);
    Ok(Launch {
        source: include_str!("../../../shaders/product/depthwise.wgsl").into(),
        spec,
        params,
        workgroups: grid_1d(items, workgroup, caps),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(stride: usize, dilation: usize, groups: usize) -> Conv {
        Conv::square(stride, 1, dilation, groups)
    }

    #[test]
    fn only_single_channels_and_small_filters() {
        let x = [1, 9, 9, 6];
        assert!(takes(x, [6, 3, 3, 1], conv(1, 1, 6)));
        assert!(takes(x, [12, 8, 8, 1], conv(2, 1, 6)));
        assert!(!takes(x, [6, 9, 8, 1], conv(1, 1, 6)));
        assert!(!takes(x, [6, 3, 3, 1], conv(1, 18, 6)));
        assert!(!takes(x, [6, 3, 3, 2], conv(1, 1, 3)));
        assert!(!takes([1, 9, 9, 1], [6, 3, 3, 1], conv(1, 1, 1)));
    }

    #[test]
    fn gpus_get_invocations_and_cpus_get_large_tiles() {
        let gpu = Caps::portable();
        let cpu = Caps {
            software: true,
            ..Caps::portable()
        };
        let (y, w) = ([1, 112, 112, 32], [32, 3, 3, 1]);
        for dtype in [DType::F32, DType::F16, DType::I8] {
            let tile = |caps| DepthwiseTile::new(y, w, &conv(1, 1, 32), dtype, caps);
            let invocations = |tile: DepthwiseTile| tile.tiles(y) * 32 / dtype.lanes();
            assert_eq!(tile(&cpu).run, 8);
            assert!(invocations(tile(&cpu)) >= 128);
            assert!(invocations(tile(&gpu)) >= 16384);
            assert!(tile(&gpu).run * tile(&gpu).steps > 1);
        }
        let one = DepthwiseTile::new([1, 1, 1, 5], w, &conv(1, 1, 5), DType::I8, &gpu);
        assert_eq!(one, DepthwiseTile { run: 1, steps: 1 });
    }

    #[test]
    fn spans_hold_every_tap() {
        // Two outputs three apart, three taps two apart.
        assert_eq!(span(1, 2, 3, &conv(3, 2, 1)), 8);
        assert_eq!(span(0, 1, 1, &conv(3, 2, 1)), 1);
    }
}
