//! The host's side of `shaders/product/workgroup.wgsl`: tiles whose operands pass through workgroup memory.

use super::parts::{Parts, geometry_words};
use super::{Caps, Conv, Launch, Spec, Variant, grid_1d};
use crate::error::Result;

/// Quads of rows and of columns per invocation, of which 8 × 8 make a slice, and slices of a workgroup, each with its
/// share of every sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WorkgroupTile {
    row_quads: usize,
    column_quads: usize,
    slices: usize,
}

/// Rows or columns that one quad of every invocation covers.
const SIDE: usize = 32;

/// Invocations of a slice.
const SLICE: usize = 64;

/// Words of a row that a slice takes at a time.
const DEPTH: usize = 8;

/// Where rows of a convolution lie.
pub(super) const ROWS_CONV: &str = "common/product/rows_conv.wgsl";

/// Fewer workgroups than this leave a GPU idle.
pub(super) const ENOUGH: usize = 256;

/// Fewer slices than this, all workgroups together, leave it waiting for memory.
const ENOUGH_SLICES: usize = 2 * ENOUGH;

/// Steps of a slice that are worth the adding up.
const FEW_STEPS: usize = 4;

impl WorkgroupTile {
    /// The largest tile for `rows` by `columns` outputs, each the sum of `words` products of words, that leaves enough
    /// workgroups; else the smallest, in as many slices as make up for it, as far as there is room for them.
    fn new((rows, columns): (usize, usize), words: usize, caps: &Caps) -> Self {
        let quads = |size: usize| if size > SIDE { 2 } else { 1 };
        let mut tile = Self {
            row_quads: quads(rows),
            column_quads: quads(columns),
            slices: 1,
        };
        // Fewer columns first: rows of x are the longer operand, and are then read in larger pieces.
        if tile.count(rows, columns) < ENOUGH {
            tile.column_quads = 1;
        }
        if tile.count(rows, columns) < ENOUGH {
            tile.row_quads = 1;
        }
        // A processor works through the slices one after another.
        if caps.software || (tile.row_quads, tile.column_quads) != (1, 1) {
            return tile;
        }
        loop {
            let more = Self {
                slices: 2 * tile.slices,
                ..tile
            };
            let idle = tile.slices * tile.count(rows, columns) < ENOUGH_SLICES;
            if !idle || words < FEW_STEPS * DEPTH * more.slices || !more.fits(caps) {
                return tile;
            }
            tile = more;
        }
    }

    /// Whether a workgroup may have so many invocations, and so much memory for its operands, twice.
    fn fits(self, caps: &Caps) -> bool {
        let quads = 8 * (self.row_quads + self.column_quads) + 2;
        self.slices * SLICE <= caps.max_invocations as usize
            && self.slices * 2 * DEPTH * quads * 16 <= caps.max_workgroup_memory as usize
    }

    fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(SIDE * self.row_quads) * columns.div_ceil(SIDE * self.column_quads)
    }

    fn launch(
        self,
        (rows, columns): (usize, usize),
        spec: Spec,
        params: Vec<u8>,
        caps: &Caps,
    ) -> Launch {
        Launch {
            source: include_str!("../../../shaders/product/workgroup.wgsl").into(),
            spec: spec
                .with("ROW_QUADS", self.row_quads as u32)
                .with("COLUMN_QUADS", self.column_quads as u32)
                .with("DEPTH", DEPTH as u32)
                .with("SLICES", self.slices as u32),
            params,
            workgroups: grid_1d(self.count(rows, columns), 1, caps),
        }
    }
}

/// The launch of a matrix product.
pub(super) fn matrix_launch(parts: &Parts, [m, n, k]: [usize; 3], caps: &Caps) -> Launch {
    let words = parts.words(k);
    let params = parts.params(&[m, n, words].map(|size| size as u32));
    WorkgroupTile::new((m, n), words, caps).launch((m, n), parts.quads(), params, caps)
}

/// `Params` of `rows_conv.wgsl`, but those that all programs end with.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct ConvParams {
    m: u32,
    n: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    steps: u32,
    kernel_w: u32,
    pixel: u32,
    geometry: [u32; 6],
}

/// The launch of a convolution without groups.
///
/// # Errors
/// As [`Conv::output_shape`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_launch(
    parts: &Parts,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    let pixel = parts.words(x[3]);
    let params = conv_params(parts, Variant::Workgroup, (x, w, conv), pixel)?;
    let size = (n * out_height * out_width, o);
    let words = w[1] * w[2] * pixel;
    let spec = parts.quads().part("rows", ROWS_CONV);
    Ok(WorkgroupTile::new(size, words, caps).launch(size, spec, params, caps))
}

/// The parameters of such a convolution, for pixels of `pixel` words.
///
/// # Errors
/// As [`Conv::output_shape`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_params(
    parts: &Parts,
    variant: Variant,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    pixel: usize,
) -> Result<Vec<u8>> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    if conv.groups != 1 {
        return Err(variant.unsupported(parts.op));
    }
    Ok(parts.params(&ConvParams {
        m: (n * out_height * out_width) as u32,
        n: o as u32,
        height: x[1] as u32,
        width: x[2] as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
        steps: (w[1] * w[2] * pixel) as u32,
        kernel_w: w[2] as u32,
        pixel: pixel as u32,
        geometry: geometry_words(&conv),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_large_as_enough_workgroups_allow() {
        let quads = |rows, columns| {
            let tile = WorkgroupTile::new((rows, columns), 1, &Caps::portable());
            assert_eq!(tile.slices, 1, "no sums to share");
            (tile.row_quads, tile.column_quads)
        };
        assert_eq!(quads(4096, 4096), (2, 2));
        assert_eq!(quads(64 * 256, 64), (2, 2));
        assert_eq!(quads(64 * 256 - 64, 64), (2, 1));
        assert_eq!(quads(64 * 256, 32), (2, 1));
        assert_eq!(quads(64 * 128, 64), (2, 1));
        assert_eq!(quads(32, 64 * 256), (1, 2));
        assert_eq!(quads(64 * 127, 64), (1, 1));
        assert_eq!(quads(1, 1), (1, 1));
    }

    #[test]
    fn idle_devices_get_slices_as_far_as_there_is_room() {
        let slices = |size, words, caps: &Caps| WorkgroupTile::new(size, words, caps).slices;
        let gpu = Caps {
            max_invocations: 1024,
            max_workgroup_memory: 48 << 10,
            ..Caps::portable()
        };
        assert_eq!(slices((49, 512), 1152, &gpu), 8);
        assert_eq!(slices((196, 256), 576, &gpu), 8);
        assert_eq!(slices((784, 128), 288, &gpu), 8);
        assert_eq!(slices((784, 128), 127, &gpu), 2);
        assert_eq!(slices((3136, 64), 144, &gpu), 4);
        assert_eq!(slices((32 * 512, 32), 1152, &gpu), 1);
        assert_eq!(slices((1, 1000), 128, &gpu), 4);
        assert_eq!(slices((1, 1), 1, &gpu), 1);
        assert_eq!(slices((49, 512), 1152, &Caps::portable()), 2);
        let software = Caps {
            software: true,
            ..gpu
        };
        assert_eq!(slices((49, 512), 1152, &software), 1);
    }
}
