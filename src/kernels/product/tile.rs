//! Sizes of register tiles, and how neighbours share what they load.
//!
//! Matrix products and convolutions give every invocation a tile of outputs: what is loaded for one
//! side of the tile serves the whole other side. Operands that all neighbours need (weights) come
//! eight words at a time through `eight` of `eight.wgsl`; where there are subgroups of at least eight,
//! `eight_subgroup.wgsl` loads each of the eight once and passes them around. `team.wgsl` does the same for teams of
//! other sizes, and loads two words at once where it may.

use super::{Caps, Const, Conv, Spec};

/// How large tiles may be on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    /// Invocations of a workgroup.
    pub workgroup: usize,
    /// Accumulators of one invocation.
    pub accumulators: usize,
    /// Multiply-adds that the innermost loop writes out.
    pub unrolled: usize,
    /// Workgroups that keep the device busy.
    pub busy: usize,
}

/// Subgroups of no more than eight are a processor's vector registers.
pub(super) fn vector_registers(caps: &Caps) -> bool {
    caps.subgroups.is_some_and(|(_, max)| max <= 8)
}

/// The tiling for a device.
///
/// On a processor loads are dear, spilled accumulators are cheap, and a handful of workgroups is enough.
pub(super) fn tiling(caps: &Caps) -> Tiling {
    if vector_registers(caps) {
        Tiling {
            workgroup: 8,
            accumulators: 256,
            unrolled: 1200,
            busy: 2,
        }
    } else {
        Tiling {
            workgroup: 64,
            accumulators: 64,
            unrolled: 512,
            busy: 128,
        }
    }
}

/// Whether subgroups of at least eight share what they load.
fn shares(caps: &Caps) -> bool {
    caps.subgroups.is_some_and(|(min, _)| min >= 8)
}

/// Eight words that all neighbours need, as the device shares them.
pub(super) fn with_eight(spec: Spec, caps: &Caps) -> Spec {
    if !shares(caps) {
        return spec;
    }
    spec.part("sharing", "common/product/eight_subgroup.wgsl")
}

/// The same for the words of a team.
pub(super) fn with_team(spec: Spec, caps: &Caps) -> Spec {
    if !shares(caps) {
        return spec;
    }
    spec.part("sharing", "common/product/team_subgroup.wgsl")
}

/// Whether a load of a team brings two words: only subgroups share words, and only one word costs what two do where they
/// are small.
pub(super) fn pairs(caps: &Caps) -> bool {
    caps.int64 && shares(caps)
}

/// Tile of a matrix product: rows of one invocation, and blocks of eight columns.
pub(super) fn matrix_tile(rows: usize, columns: usize, tiling: &Tiling) -> (usize, usize) {
    let blocks_max = if tiling.accumulators >= 256 { 4 } else { 2 };
    let blocks = columns.div_ceil(8).clamp(1, blocks_max);
    let row_limit = tiling.accumulators / (8 * blocks);
    let mut own = rows.div_ceil(tiling.workgroup).clamp(1, row_limit.min(8));
    let groups = |own: usize| rows.div_ceil(own * tiling.workgroup) * columns.div_ceil(8 * blocks);
    while own > 1 && groups(own) < tiling.busy {
        own = own.div_ceil(2);
    }
    (own, blocks)
}

/// Tile of a convolution: pixels of a row, blocks of eight channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConvTile {
    /// Neighbouring pixels of one invocation.
    pub run: usize,
    /// Blocks of eight channels.
    pub blocks: usize,
}

/// The tile that loads least: `width` pixels to a row, runs in multiples of `multiple`, `channels`
/// outputs of one group, `kernel_w` taps; `span(run)` loads serve a run.
pub(super) fn conv_tile(
    (width, multiple): (usize, usize),
    channels: usize,
    kernel_w: usize,
    tiling: &Tiling,
    span: impl Fn(usize) -> usize,
) -> ConvTile {
    let mut best = ConvTile {
        run: multiple,
        blocks: 1,
    };
    let mut least = usize::MAX;
    for blocks in 1..=channels.div_ceil(8).min(4) {
        for run in (multiple..width.max(1) + multiple).step_by(multiple) {
            let sums = run * blocks * 8;
            if sums > tiling.accumulators || sums * kernel_w > tiling.unrolled {
                break;
            }
            let tiles = width.div_ceil(run) * channels.div_ceil(8 * blocks);
            let loads = tiles * (span(run) + kernel_w * blocks);
            if loads < least {
                least = loads;
                best = ConvTile { run, blocks };
            }
        }
    }
    best
}

/// Which pixels of a row of the input a run of outputs loads, and where its taps find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Pixels loaded.
    pub span: usize,
    /// Pixels of a group, which lie as far apart as taps.
    pub group: usize,
    /// Input columns from one group to the next.
    pub step: usize,
    /// Loaded pixels from one output to the next.
    pub pixel: usize,
    /// Loaded pixels from one tap to the next.
    pub tap: usize,
}

/// The window of `run` neighbouring outputs: all pixels between the first and the last, unless those that the taps
/// lie on are fewer.
pub(super) fn window(run: usize, kernel_w: usize, conv: &Conv) -> Window {
    let ([_, stride], [_, dilation]) = (conv.stride, conv.dilation);
    let span = (run - 1) * stride + (kernel_w - 1) * dilation + 1;
    if run * kernel_w < span {
        return Window {
            span: run * kernel_w,
            group: kernel_w,
            step: stride,
            pixel: kernel_w,
            tap: 1,
        };
    }
    Window {
        span,
        group: 1,
        step: 1,
        pixel: stride,
        tap: dilation,
    }
}

/// Adds the constants of a convolution that counts pixels of its input as `i32`.
pub(super) fn with_geometry(spec: Spec, conv: &Conv) -> Spec {
    let [top, left, ..] = conv.padding;
    spec.with("STRIDE_H", conv.stride[0] as u32)
        .with("STRIDE_W", conv.stride[1] as u32)
        .with("PAD_TOP", Const::I32(top as i32))
        .with("PAD_LEFT", Const::I32(left as i32))
        .with("DILATION_H", conv.dilation[0] as u32)
        .with("DILATION_W", conv.dilation[1] as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_device() {
        let caps = Caps::portable();
        let tiling = tiling(&caps);
        let (rows, blocks) = matrix_tile(4096, 4096, &tiling);
        assert!(rows * blocks * 8 <= tiling.accumulators && rows >= 4);
        let tile = conv_tile((56, 1), 64, 3, &tiling, |run| run + 2);
        assert!(tile.run * tile.blocks * 8 <= tiling.accumulators && tile.run > 1);
        let strided = conv_tile((1, 3), 1, 11, &tiling, |run| run);
        assert_eq!(strided.run, 3);
    }

    #[test]
    fn windows_hold_every_tap() {
        let window = |run, kernel, conv: Conv| {
            let w = window(run, kernel, &conv);
            for (pixel, tap) in (0..run).flat_map(|p| (0..kernel).map(move |j| (p, j))) {
                let k = pixel * w.pixel + tap * w.tap;
                assert!(k < w.span);
                let column = k / w.group * w.step + k % w.group * conv.dilation[1];
                assert_eq!(column, pixel * conv.stride[1] + tap * conv.dilation[1]);
            }
            w.span
        };
        assert_eq!(window(4, 3, Conv::square(2, 0, 3, 1)), 12);
        assert_eq!(window(8, 3, Conv::square(2, 0, 3, 1)), 21);
        assert_eq!(window(4, 1, Conv::square(2, 0, 3, 1)), 4);
        assert_eq!(window(2, 3, Conv::square(1, 0, 1 << 20, 1)), 6);
    }
}
