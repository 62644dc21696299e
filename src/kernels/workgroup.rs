//! The host's side of `shaders/common/workgroup_tile.wgsl`: tiles whose operands pass through workgroup memory.

use super::tiled::Tiled;
use super::{Caps, Conv, Launch, Variant, grid_1d};
use crate::error::Result;

/// Quads of rows and of columns per invocation, of which 8 × 8 make a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WorkgroupTile {
    row_quads: usize,
    column_quads: usize,
}

/// Rows or columns that one quad of every invocation covers.
const SIDE: usize = 32;

/// Fewer workgroups than this leave a GPU idle.
pub(super) const ENOUGH: usize = 256;

impl WorkgroupTile {
    /// The largest tile for `rows` by `columns` outputs that leaves enough workgroups; else the smallest.
    fn new(rows: usize, columns: usize) -> Self {
        let quads = |size: usize| if size > SIDE { 2 } else { 1 };
        let mut tile = Self {
            row_quads: quads(rows),
            column_quads: quads(columns),
        };
        // Fewer columns first: rows of x are the longer operand, and are then read in larger pieces.
        if tile.count(rows, columns) < ENOUGH {
            tile.column_quads = 1;
        }
        if tile.count(rows, columns) < ENOUGH {
            tile.row_quads = 1;
        }
        tile
    }

    fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(SIDE * self.row_quads) * columns.div_ceil(SIDE * self.column_quads)
    }

    fn launch(
        self,
        (rows, columns): (usize, usize),
        tiled: Tiled,
        params: Vec<u8>,
        caps: &Caps,
    ) -> Launch {
        Launch {
            source: tiled.source,
            spec: tiled
                .spec
                .with("ROW_QUADS", self.row_quads as u32)
                .with("COLUMN_QUADS", self.column_quads as u32),
            params,
            workgroups: grid_1d(self.count(rows, columns), 1, caps),
        }
    }
}

/// The launch of a matrix product.
pub(super) fn matrix_launch(tiled: Tiled, [m, n, k]: [usize; 3], caps: &Caps) -> Launch {
    let params = tiled.params(&[m, n, tiled.words(k)].map(|size| size as u32));
    WorkgroupTile::new(m, n).launch((m, n), tiled, params, caps)
}

/// `Params` of the convolutions among `shaders/*_workgroup.wgsl` and `shaders/*_cooperative.wgsl`, as far as
/// they share them.
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
    stride: u32,
    padding: u32,
    dilation: u32,
}

/// The launch of a convolution without groups.
///
/// # Errors
/// As [`Conv::output_shape`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_launch(
    tiled: Tiled,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    let pixel = tiled.words(x[3]);
    let params = conv_params(&tiled, Variant::Workgroup, (x, w, conv), pixel)?;
    let m = n * out_height * out_width;
    Ok(WorkgroupTile::new(m, o).launch((m, o), tiled, params, caps))
}

/// The parameters of such a convolution, for pixels of `pixel` words.
///
/// # Errors
/// As [`Conv::output_shape`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_params(
    tiled: &Tiled,
    variant: Variant,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    pixel: usize,
) -> Result<Vec<u8>> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    if conv.groups != 1 {
        return Err(variant.unsupported(tiled.op));
    }
    Ok(tiled.params(&ConvParams {
        m: (n * out_height * out_width) as u32,
        n: o as u32,
        height: x[1] as u32,
        width: x[2] as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
        steps: (w[1] * w[2] * pixel) as u32,
        kernel_w: w[2] as u32,
        pixel: pixel as u32,
        stride: conv.stride as u32,
        padding: conv.padding as u32,
        dilation: conv.dilation as u32,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_large_as_enough_workgroups_allow() {
        let quads = |rows, columns| {
            let tile = WorkgroupTile::new(rows, columns);
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
}
