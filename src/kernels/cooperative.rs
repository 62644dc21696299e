//! The host's side of `shaders/common/cooperative_tile.wgsl`: tiles in the cooperative matrices of subgroups.
//!
//! Products of f16 are exact, their sums f32. In which order a device adds the products of one matrix, and whether
//! it rounds or cuts off every sum, is its own; only matrices whose sums are f32 are used. WGSL names square ones
//! of 8 or 16 rows, of floats alone.

use std::borrow::Cow;

use super::reference::output_or_empty;
use super::tiled::Tiled;
use super::variant::FEW;
use super::workgroup::{ENOUGH, conv_params};
use super::{Caps, Const, Conv, Launch, Variant, grid_1d};
use crate::base::DType;
use crate::error::Result;

/// Subgroups along each side of a workgroup's tile.
const PARTS: usize = 2;

/// Bytes of every row and column that a step loads, and those that keep neighbouring rows apart.
const STEP: usize = 64;
const APART: usize = 16;

/// Rows or columns of the smallest block of a subgroup: one large matrix, or two small ones.
const BLOCK: usize = 16;

/// What a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CooperativeTile {
    dtype: DType,
    /// Rows and columns of a matrix: 8 or 16.
    side: usize,
    invocations: usize,
    /// Blocks of a subgroup.
    row_blocks: usize,
    column_blocks: usize,
}

impl CooperativeTile {
    /// The largest tile for `rows` by `columns` outputs that fits and leaves enough workgroups; else the smallest.
    /// `None` where the device has no such matrices, or no room for the operands.
    fn new(dtype: DType, (rows, columns): (usize, usize), caps: &Caps) -> Option<Self> {
        let side = match dtype {
            DType::F16 => caps.cooperative_f16,
            DType::F32 => caps.cooperative_f32,
            _ => None,
        }?;
        let mut tile = Self {
            dtype,
            side: side as usize,
            invocations: PARTS * PARTS * lanes(caps)?,
            row_blocks: 1,
            column_blocks: 1,
        };
        if tile.invocations > caps.max_invocations as usize || !tile.fits(caps) {
            return None;
        }
        // A processor runs a matrix as a long stretch of code: the fewer of them, the sooner it is compiled.
        if caps.software {
            return Some(tile);
        }
        // Rows first: rows of x are the longer operand. No more blocks than there is something to fill them with.
        let most = (
            rows.div_ceil(PARTS * BLOCK),
            columns.div_ceil(PARTS * BLOCK),
        );
        for (row_blocks, column_blocks) in [(2, 1), (2, 2), (4, 2)] {
            let larger = Self {
                row_blocks,
                column_blocks,
                ..tile
            };
            let filled = row_blocks <= most.0 && column_blocks <= most.1;
            if filled && larger.fits(caps) && larger.count(rows, columns) >= ENOUGH {
                tile = larger;
            }
        }
        Some(tile)
    }

    /// Rows and columns of the workgroup.
    fn size(self) -> (usize, usize) {
        let side = PARTS * BLOCK;
        (side * self.row_blocks, side * self.column_blocks)
    }

    fn count(self, rows: usize, columns: usize) -> usize {
        let (tile_rows, tile_columns) = self.size();
        rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns)
    }

    /// Whether the operands, twice, and a row of matrices of every subgroup fit into workgroup memory.
    fn fits(self, caps: &Caps) -> bool {
        let (rows, columns) = self.size();
        let operands = 2 * (rows + columns) * (STEP + APART);
        let sums = 4 * PARTS * self.side * columns;
        operands + sums <= caps.max_workgroup_memory as usize
    }

    /// Elements of a `Word`, for rows of `row` elements that lie side by side: 8 bytes, or 4 where those would not
    /// end with the row.
    fn word(self, row: usize) -> usize {
        let most = 2 * self.dtype.lanes();
        if row.is_multiple_of(most) {
            most
        } else {
            most / 2
        }
    }

    fn launch(
        self,
        (rows, columns): (usize, usize),
        word: usize,
        tiled: Tiled,
        params: Vec<u8>,
        caps: &Caps,
    ) -> Launch {
        let bytes = word * 4 / self.dtype.lanes();
        let depth = STEP / bytes;
        let (tile_rows, tile_columns) = self.size();
        let [x, w, y] = matrices(self.dtype, self.side);
        // Metal loads matrices from single elements only.
        let apart = caps.backend == "metal" && word > 1;
        let source = if apart {
            let file = "common/cooperative_elements.wgsl";
            Cow::Owned(tiled.source.replace("common/cooperative_words.wgsl", file))
        } else {
            tiled.source
        };
        let spec = tiled
            .spec
            .with("Word", Const::Type(word_type(self.dtype, word)))
            .with("XMatrix", Const::Type(x))
            .with("WMatrix", Const::Type(w))
            .with("YMatrix", Const::Type(y))
            .with("CELLS", if apart { word as u32 } else { 1 })
            .with("SIDE", self.side as u32)
            .with("SIDE_WORDS", (self.side / word) as u32)
            .with("ROW_BLOCKS", (self.row_blocks * BLOCK / self.side) as u32)
            .with(
                "COLUMN_BLOCKS",
                (self.column_blocks * BLOCK / self.side) as u32,
            )
            .with("INVOCATIONS", self.invocations as u32)
            .with("DEPTH", depth as u32)
            .with("STRIDE", ((STEP + APART) / bytes) as u32)
            .with("ROW_LOADS", (tile_rows * depth / self.invocations) as u32)
            .with(
                "COLUMN_LOADS",
                (tile_columns * depth / self.invocations) as u32,
            );
        Launch {
            source,
            spec,
            params,
            workgroups: grid_1d(self.count(rows, columns), 1, caps),
        }
    }
}

/// Invocations of a subgroup: the most there can be. If they are fewer, some subgroups only load.
fn lanes(caps: &Caps) -> Option<usize> {
    let (_, max) = caps.subgroups?;
    // Of Metal wgpu says 4 to 64; GPUs with matrices have 32.
    let lanes = if caps.backend == "metal" { 32 } else { max };
    let fits = lanes.is_power_of_two() && (4..=64).contains(&lanes);
    fits.then_some(lanes as usize)
}

fn word_type(dtype: DType, word: usize) -> &'static str {
    match (dtype, word) {
        (DType::F16, 4) => "vec4<f16>",
        (DType::F16, _) => "vec2<f16>",
        (_, 2) => "vec2<f32>",
        (_, _) => "f32",
    }
}

/// The types of the matrices of x, w and y.
fn matrices(dtype: DType, side: usize) -> [&'static str; 3] {
    match (dtype, side) {
        (DType::F16, 8) => [
            "coop_mat8x8<f16, A>",
            "coop_mat8x8<f16, B>",
            "coop_mat8x8<f32, C>",
        ],
        (DType::F16, _) => [
            "coop_mat16x16<f16, A>",
            "coop_mat16x16<f16, B>",
            "coop_mat16x16<f32, C>",
        ],
        (_, 8) => [
            "coop_mat8x8<f32, A>",
            "coop_mat8x8<f32, B>",
            "coop_mat8x8<f32, C>",
        ],
        (_, _) => [
            "coop_mat16x16<f32, A>",
            "coop_mat16x16<f32, B>",
            "coop_mat16x16<f32, C>",
        ],
    }
}

/// `variants`, and [`Variant::Cooperative`] where the device has it for products of this type with `rows` by
/// `columns` outputs: first, unless the outputs would not fill the matrices or a processor imitates them.
pub(super) fn with_cooperative(
    mut variants: Vec<Variant>,
    dtype: DType,
    (rows, columns): (usize, usize),
    caps: &Caps,
) -> Vec<Variant> {
    if CooperativeTile::new(dtype, (rows, columns), caps).is_some() {
        let last = caps.software || rows.min(columns) < FEW;
        let at = if last { variants.len() } else { 0 };
        variants.insert(at, Variant::Cooperative);
    }
    variants
}

/// The same for a convolution; one with groups does not have it.
pub(super) fn with_cooperative_conv(
    variants: Vec<Variant>,
    dtype: DType,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Vec<Variant> {
    if conv.groups != 1 {
        return variants;
    }
    let [n, height, width, channels] = output_or_empty(x, w, conv);
    with_cooperative(variants, dtype, (n * height * width, channels), caps)
}

/// The launch of a matrix product.
///
/// # Errors
/// [`crate::Error::Unsupported`] if the device does not have the variant.
pub(super) fn matrix_launch(tiled: Tiled, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
    let tile = CooperativeTile::new(tiled.dtype, (m, n), caps)
        .ok_or_else(|| Variant::Cooperative.unsupported(tiled.op))?;
    let stored = tiled.words(k) * tiled.dtype.lanes();
    let word = tile.word(stored);
    let params = tiled.params(&[m, n, stored / word].map(|size| size as u32));
    Ok(tile.launch((m, n), word, tiled, params, caps))
}

/// The launch of a convolution without groups.
///
/// # Errors
/// As [`Conv::output_shape`] and [`matrix_launch`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_launch(
    tiled: Tiled,
    shapes: ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let (x, w, conv) = shapes;
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    let size = (n * out_height * out_width, o);
    let tile = CooperativeTile::new(tiled.dtype, size, caps)
        .ok_or_else(|| Variant::Cooperative.unsupported(tiled.op))?;
    let stored = tiled.words(x[3]) * tiled.dtype.lanes();
    let word = tile.word(stored);
    let params = conv_params(&tiled, Variant::Cooperative, shapes, stored / word)?;
    Ok(tile.launch(size, word, tiled, params, caps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Caps {
        Caps {
            f16: true,
            subgroups: Some((32, 32)),
            cooperative_f16: Some(16),
            max_workgroup_memory: 48 << 10,
            ..Caps::portable()
        }
    }

    #[test]
    fn first_where_it_fills_the_units_that_it_is_made_for() {
        use Variant::{Cooperative, Plain};
        let of = |dtype, size, caps: &Caps| with_cooperative(vec![Plain], dtype, size, caps);
        assert_eq!(of(DType::F16, (16, 16), &caps()), [Cooperative, Plain]);
        assert_eq!(of(DType::F16, (4096, 15), &caps()), [Plain, Cooperative]);
        let software = Caps {
            software: true,
            ..caps()
        };
        assert_eq!(of(DType::F16, (64, 64), &software), [Plain, Cooperative]);
        for dtype in [DType::F32, DType::I8] {
            assert_eq!(of(dtype, (64, 64), &caps()), [Plain]);
        }
        let apple = Caps {
            cooperative_f32: Some(8),
            ..caps()
        };
        assert_eq!(of(DType::F32, (64, 64), &apple), [Cooperative, Plain]);
        assert_eq!(of(DType::F16, (64, 64), &Caps::portable()), [Plain]);
        let grouped = |groups| {
            let conv = Conv {
                stride: 1,
                padding: 0,
                dilation: 1,
                groups,
            };
            let shapes = ([1, 8, 8, 32], [32, 1, 1, 32 / groups], conv);
            with_cooperative_conv(vec![Plain], DType::F16, shapes, &caps())
        };
        assert_eq!(grouped(1), [Cooperative, Plain]);
        assert_eq!(grouped(2), [Plain]);
    }

    #[test]
    fn tiles_are_as_large_as_memory_and_enough_workgroups_allow() {
        let blocks = |size, caps: &Caps| {
            CooperativeTile::new(DType::F16, size, caps)
                .map(|tile| (tile.row_blocks, tile.column_blocks))
        };
        assert_eq!(blocks((4096, 4096), &caps()), Some((4, 2)));
        assert_eq!(blocks((128 * 255, 64), &caps()), Some((2, 2)));
        assert_eq!(blocks((64 * 256, 32), &caps()), Some((2, 1)));
        assert_eq!(blocks((64 * 4096, 32), &caps()), Some((2, 1)));
        assert_eq!(blocks((32, 64 * 4096), &caps()), Some((1, 1)));
        assert_eq!(blocks((196, 256), &caps()), Some((1, 1)));
        let room = |bytes| Caps {
            max_workgroup_memory: bytes,
            ..caps()
        };
        assert_eq!(blocks((4096, 4096), &room(32 << 10)), Some((2, 2)));
        assert_eq!(blocks((4096, 4096), &room(16 << 10)), Some((1, 1)));
        assert_eq!(blocks((4096, 4096), &room(12 << 10)), None);
        let software = Caps {
            software: true,
            ..caps()
        };
        assert_eq!(blocks((4096, 4096), &software), Some((1, 1)));
    }

    #[test]
    fn workgroups_have_four_subgroups_of_the_largest_size() {
        let invocations = |subgroups, backend: &str| {
            let caps = Caps {
                subgroups,
                backend: backend.into(),
                ..caps()
            };
            CooperativeTile::new(DType::F16, (64, 64), &caps).map(|tile| tile.invocations)
        };
        assert_eq!(invocations(Some((32, 32)), "vulkan"), Some(128));
        assert_eq!(invocations(Some((32, 64)), "vulkan"), Some(256));
        assert_eq!(invocations(Some((4, 64)), "metal"), Some(128));
        assert_eq!(invocations(Some((8, 128)), "vulkan"), None);
        assert_eq!(invocations(None, "vulkan"), None);
    }

    #[test]
    fn words_end_with_the_row() {
        let tile = CooperativeTile::new(DType::F16, (64, 64), &caps()).expect("fits");
        let f32 = CooperativeTile {
            dtype: DType::F32,
            ..tile
        };
        assert_eq!([2, 4, 6, 8].map(|row| tile.word(row)), [2, 4, 2, 4]);
        assert_eq!([1, 2, 3].map(|row| f32.word(row)), [1, 2, 1]);
    }
}
