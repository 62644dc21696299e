//! The host's side of `shaders/product/cooperative.wgsl`: tiles in the cooperative matrices of subgroups.
//!
//! Products of f16 are exact, their sums f32. In which order a device adds the products of one matrix, and whether
//! it rounds or cuts off every sum, is its own; only matrices whose sums are f32 are used. WGSL names square ones
//! of 8 or 16 rows, of floats alone. int8 is multiplied as f16: its sums stay whole numbers that f32 holds
//! (`shaders/common/product/cooperative_i8.wgsl`). No specification promises that a device adds those exactly; an H100 does,
//! and [`crate::graph::tune`] looks before it takes the variant.

use super::parts::Parts;
use super::reference::output_or_empty;
use super::workgroup::{ENOUGH, ROWS_CONV, conv_params};
use super::{Caps, Const, Conv, Launch, Spec, Variant, grid_1d};
use crate::base::DType;
use crate::error::Result;
use crate::kernels::variant::FEW;

/// Bytes of every row and column that a step multiplies: many, for loads take long whatever they bring. A processor
/// runs a matrix as a long stretch of code: the fewer of them, the sooner it is compiled.
const STEP: usize = 128;
const SOFTWARE_STEP: usize = 64;

/// Bytes that keep neighbouring rows apart.
const APART: usize = 16;

/// Products of int8 whose sum f32 holds exactly: each is at most 2¹⁴.
const EXACT: usize = 1 << 10;

/// Rows or columns of a block: one large matrix, or two small ones.
const BLOCK: usize = 16;

/// Subgroups of a workgroup, down and across, and blocks of each, down and across, from small to large: wide ones load
/// less for every product.
const TILES: [[[usize; 2]; 2]; 5] = [
    [[2, 2], [1, 1]],
    [[2, 2], [2, 1]],
    [[2, 2], [2, 2]],
    [[4, 2], [2, 2]],
    [[4, 2], [2, 4]],
];

/// What a workgroup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CooperativeTile {
    dtype: DType,
    /// Rows and columns of a matrix: 8 or 16.
    side: usize,
    /// Invocations of a subgroup: the most and the fewest there can be.
    lanes: usize,
    fewest: usize,
    /// Of [`TILES`].
    parts: [usize; 2],
    blocks: [usize; 2],
    /// Bytes of every row and column in a step.
    step: usize,
}

impl CooperativeTile {
    /// The largest tile for `rows` by `columns` outputs that fits and leaves enough workgroups; else the smallest.
    /// `None` where the device has no such matrices, or no room for the operands.
    fn new(dtype: DType, (rows, columns): (usize, usize), caps: &Caps) -> Option<Self> {
        let side = match dtype {
            DType::F16 => caps.cooperative_f16,
            // Metal loads matrices from single elements only, which these are not stored as.
            DType::I8 if caps.backend != "metal" => caps.cooperative_f16,
            DType::F32 => caps.cooperative_f32,
            _ => None,
        }?;
        let (lanes, fewest) = lanes(caps)?;
        let tiles = TILES.map(|[parts, blocks]| Self {
            dtype,
            side: side as usize,
            lanes,
            fewest,
            parts,
            blocks,
            step: if caps.software { SOFTWARE_STEP } else { STEP },
        });
        let mut fitting = tiles.into_iter().filter(|tile| tile.fits(caps));
        let smallest = fitting.next()?;
        if caps.software {
            return Some(smallest);
        }
        // No more blocks than there is something to fill them with.
        let filled = |tile: &Self| {
            let (tile_rows, tile_columns) = tile.size();
            let room = |size: usize| size.next_multiple_of(2 * BLOCK);
            tile_rows <= room(rows) && tile_columns <= room(columns)
        };
        let mut larger = fitting.filter(|tile| filled(tile) && tile.count(rows, columns) >= ENOUGH);
        Some(larger.next_back().unwrap_or(smallest))
    }

    /// Rows and columns of the workgroup.
    fn size(self) -> (usize, usize) {
        let side = |i| self.parts[i] * self.blocks[i] * BLOCK;
        (side(0), side(1))
    }

    fn invocations(self) -> usize {
        self.parts[0] * self.parts[1] * self.lanes
    }

    fn count(self, rows: usize, columns: usize) -> usize {
        let (tile_rows, tile_columns) = self.size();
        rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns)
    }

    /// Whether a workgroup may have so many invocations, and so much memory: the operands of a step, and a matrix of
    /// every subgroup and one of zeros.
    fn fits(self, caps: &Caps) -> bool {
        let (rows, columns) = self.size();
        let operands = (rows + columns) * (self.step + APART);
        let sums = 4 * (self.parts[0] * self.parts[1] + 1) * self.side * self.side;
        self.invocations() <= caps.max_invocations as usize
            && operands + sums <= caps.max_workgroup_memory as usize
    }

    /// Elements of a row in a step.
    fn depth(self) -> usize {
        let bytes = if self.dtype == DType::F32 { 4 } else { 2 };
        self.step / bytes
    }

    /// Elements of a `Word`, for rows of `row` elements that lie side by side: 8 bytes of storage, or 4 where those
    /// would not end with the row.
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
        spec: Spec,
        params: Vec<u8>,
        caps: &Caps,
    ) -> Launch {
        let depth = self.depth() / word;
        let (tile_rows, tile_columns) = self.size();
        let along = |i: usize| (self.blocks[i] * BLOCK / self.side) as u32;
        let loads = |lines: usize| (lines * depth / self.invocations()) as u32;
        let [x, w, y] = matrices(self.dtype, self.side);
        // Metal loads matrices from single elements only.
        let apart = caps.backend == "metal" && word > 1;
        let cells = match self.dtype {
            DType::I8 => word / 4,
            _ if apart => word,
            _ => 1,
        };
        let memory = match self.dtype {
            DType::I8 => "common/product/cooperative_halves.wgsl",
            _ if apart => "common/product/cooperative_elements.wgsl",
            _ => "common/product/cooperative_words.wgsl",
        };
        let spec = spec
            .part("memory", memory)
            .with("Word", Const::Type(word_type(self.dtype, word)))
            .with("XMatrix", Const::Type(x))
            .with("WMatrix", Const::Type(w))
            .with("YMatrix", Const::Type(y))
            .with("CELLS", cells as u32)
            .with("SIDE", self.side as u32)
            .with("MATRICES", (depth * word / self.side) as u32)
            .with("PART_ROWS", self.parts[0] as u32)
            .with("PART_COLUMNS", self.parts[1] as u32)
            .with("ROW_BLOCKS", along(0))
            .with("COLUMN_BLOCKS", along(1))
            .with("INVOCATIONS", self.invocations() as u32)
            .with("DEPTH", depth as u32)
            .with("STRIDE", (depth * (self.step + APART) / self.step) as u32)
            .with("GATHER_STEPS", (EXACT / self.depth()) as u32)
            .with(
                "QUADS",
                (self.side * self.side).div_ceil(4 * self.fewest) as u32,
            )
            .with("ROW_LOADS", loads(tile_rows))
            .with("COLUMN_LOADS", loads(tile_columns));
        Launch {
            source: include_str!("../../../shaders/product/cooperative.wgsl").into(),
            spec,
            params,
            workgroups: grid_1d(self.count(rows, columns), 1, caps),
        }
    }
}

/// Invocations of a subgroup: the most and the fewest there can be. If they are not the most, some subgroups only load.
fn lanes(caps: &Caps) -> Option<(usize, usize)> {
    let (min, max) = caps.subgroups?;
    // Of Metal wgpu says 4 to 64; GPUs with matrices have 32.
    let max = if caps.backend == "metal" { 32 } else { max };
    let fits = max.is_power_of_two() && (4..=64).contains(&max);
    fits.then_some((max as usize, (min as usize).clamp(4, max as usize)))
}

fn word_type(dtype: DType, word: usize) -> &'static str {
    match (dtype, word) {
        (DType::F16, 4) => "vec4<f16>",
        (DType::F16, _) => "vec2<f16>",
        (DType::I8, 8) => "vec2<u32>",
        (DType::I8, _) => "u32",
        (_, 2) => "vec2<f32>",
        (_, _) => "f32",
    }
}

/// The types of the matrices of x, w and y.
fn matrices(dtype: DType, side: usize) -> [&'static str; 3] {
    match (dtype, side) {
        (DType::F16 | DType::I8, 8) => [
            "coop_mat8x8<f16, A>",
            "coop_mat8x8<f16, B>",
            "coop_mat8x8<f32, C>",
        ],
        (DType::F16 | DType::I8, _) => [
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
/// `columns` outputs: first, unless the outputs would not fill the matrices, a processor imitates them, or they are
/// int8.
pub(super) fn with_cooperative(
    mut variants: Vec<Variant>,
    dtype: DType,
    (rows, columns): (usize, usize),
    caps: &Caps,
) -> Vec<Variant> {
    if CooperativeTile::new(dtype, (rows, columns), caps).is_some() {
        let last = caps.software || rows.min(columns) < FEW || dtype == DType::I8;
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
pub(super) fn matrix_launch(parts: &Parts, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
    let tile = CooperativeTile::new(parts.dtype, (m, n), caps)
        .ok_or_else(|| Variant::Cooperative.unsupported(parts.op))?;
    let stored = parts.words(k) * parts.dtype.lanes();
    let word = tile.word(stored);
    let params = parts.params(&[m, n, stored / word].map(|size| size as u32));
    Ok(tile.launch((m, n), word, parts.matrices(), params, caps))
}

/// The launch of a convolution without groups.
///
/// # Errors
/// As [`Conv::output_shape`] and [`matrix_launch`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_launch(
    parts: &Parts,
    shapes: ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let (x, w, conv) = shapes;
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    let size = (n * out_height * out_width, o);
    let tile = CooperativeTile::new(parts.dtype, size, caps)
        .ok_or_else(|| Variant::Cooperative.unsupported(parts.op))?;
    let stored = parts.words(x[3]) * parts.dtype.lanes();
    let word = tile.word(stored);
    let params = conv_params(parts, Variant::Cooperative, shapes, stored / word)?;
    let spec = parts.matrices().part("rows", ROWS_CONV);
    Ok(tile.launch(size, word, spec, params, caps))
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
        assert_eq!(of(DType::F32, (64, 64), &caps()), [Plain]);
        assert_eq!(of(DType::I8, (64, 64), &caps()), [Plain, Cooperative]);
        let apple = Caps {
            cooperative_f32: Some(8),
            ..caps()
        };
        assert_eq!(of(DType::F32, (64, 64), &apple), [Cooperative, Plain]);
        assert_eq!(of(DType::F16, (64, 64), &Caps::portable()), [Plain]);
        let grouped = |groups| {
            let conv = Conv::square(1, 0, 1, groups);
            let shapes = ([1, 8, 8, 32], [32, 1, 1, 32 / groups], conv);
            with_cooperative_conv(vec![Plain], DType::F16, shapes, &caps())
        };
        assert_eq!(grouped(1), [Cooperative, Plain]);
        assert_eq!(grouped(2), [Plain]);
    }

    #[test]
    fn tiles_are_as_large_as_memory_and_enough_workgroups_allow() {
        let size = |size, caps: &Caps| {
            CooperativeTile::new(DType::F16, size, caps).map(CooperativeTile::size)
        };
        assert_eq!(size((4096, 4096), &caps()), Some((128, 128)));
        assert_eq!(size((1 << 20, 64), &caps()), Some((128, 64)));
        assert_eq!(size((128 * 255, 64), &caps()), Some((64, 64)));
        assert_eq!(size((64 * 256, 32), &caps()), Some((64, 32)));
        assert_eq!(size((64 * 4096, 32), &caps()), Some((64, 32)));
        assert_eq!(size((32, 64 * 4096), &caps()), Some((32, 32)));
        assert_eq!(size((196, 256), &caps()), Some((32, 32)));
        let room = |bytes| Caps {
            max_workgroup_memory: bytes,
            ..caps()
        };
        assert_eq!(size((4096, 4096), &room(48 << 10)), Some((128, 128)));
        assert_eq!(size((4096, 4096), &room(32 << 10)), Some((64, 64)));
        assert_eq!(size((4096, 4096), &room(16 << 10)), Some((32, 32)));
        assert_eq!(size((4096, 4096), &room(12 << 10)), None);
        let few = Caps {
            max_invocations: 128,
            ..caps()
        };
        assert_eq!(size((4096, 4096), &few), Some((64, 64)));
        let software = Caps {
            software: true,
            ..caps()
        };
        assert_eq!(size((4096, 4096), &software), Some((32, 32)));
    }

    #[test]
    fn workgroups_have_four_subgroups_of_the_largest_size() {
        let invocations = |subgroups, backend: &str| {
            let caps = Caps {
                subgroups,
                backend: backend.into(),
                ..caps()
            };
            CooperativeTile::new(DType::F16, (64, 64), &caps).map(CooperativeTile::invocations)
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

    #[test]
    fn steps_are_whole_matrices() {
        for software in [false, true] {
            for side in [8, 16] {
                let caps = Caps {
                    cooperative_f16: Some(side),
                    cooperative_f32: Some(side),
                    software,
                    ..caps()
                };
                for dtype in [DType::F16, DType::F32, DType::I8] {
                    let tile = CooperativeTile::new(dtype, (4096, 4096), &caps).expect("fits");
                    assert!(tile.depth() > 0 && tile.depth().is_multiple_of(side as usize));
                    let (rows, columns) = tile.size();
                    for row in [12, 16] {
                        let depth = tile.depth() / tile.word(row);
                        let whole =
                            |lines: usize| (lines * depth).is_multiple_of(tile.invocations());
                        assert!(
                            whole(rows) && whole(columns),
                            "{tile:?}: every invocation loads as many"
                        );
                    }
                    assert_eq!(EXACT % tile.depth(), 0);
                }
            }
        }
    }
}
