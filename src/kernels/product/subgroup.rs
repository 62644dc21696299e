//! The host's side of `shaders/product/subgroup.wgsl`: tiles that one subgroup computes.

use super::depthwise;
use super::parts::{Parts, geometry_words};
use super::reference::output_or_empty;
use super::{Caps, Const, Conv, Launch, Spec, Variant, grid_1d};
use crate::base::DType;
use crate::error::Result;
use crate::kernels::variant::{product_variants, subgroup_size};

/// A product of matrices, or what a convolution is as one.
#[derive(Clone, Copy, Debug)]
struct Product {
    /// Lines of the output, whose rows are neighbours. A matrix product has one.
    lines: usize,
    /// Rows of a line.
    width: usize,
    /// Columns of the output.
    columns: usize,
    /// Taps side by side in x: those of a line of a filter.
    taps: usize,
    /// Taps of a filter.
    filter_taps: usize,
    /// Pixels of x from one row to the next.
    stride: usize,
    /// Words of a row of x and w under one tap.
    words: usize,
    /// Elements of a word that are multiplied: of rows of a single word, those that they have.
    live: usize,
    /// What the words hold.
    dtype: DType,
}

/// Rows by columns per lane, and how the operands are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SubgroupTile {
    lanes: usize,
    /// Lines, and neighbouring rows of each.
    lines: usize,
    run: usize,
    columns: usize,
    /// Taps that share what is loaded of x: all of a line, or each alone.
    taps: usize,
    /// Rows from one to the next, in what is loaded.
    stride: usize,
    /// Operands are read two words at a time.
    wide: bool,
}

/// What the parts of a step take, where loading a word takes 1. Software drivers (lavapipe) load lane by lane. These
/// were fitted to timings on one processor, then loads made three times as dear for one where they are: the tiles it
/// changes cost the first next to nothing. Other devices have other figures and the same order.
mod time {
    use crate::base::DType;

    /// Loading two words at once, as one u64: drivers load the parts of a vector one after another.
    pub const LOAD_WIDE: f64 = 1.3;
    /// Loading a word of w, if all of w is larger than a core's cache.
    pub const LOAD_FAR: f64 = 2.5;
    /// Showing a value to all lanes.
    pub const SHOW: f64 = 0.027;
    /// Keeping an accumulator from one step to the next.
    pub const KEEP: f64 = 0.02;

    /// Finding where a pixel lies under a tap, once for all its words.
    pub const PLACE: f64 = 1.0;

    /// A multiplication and an addition: one instruction for integers of 16 bits, two for floats.
    pub fn multiply(dtype: DType) -> f64 {
        if dtype == DType::I8 { 0.0083 } else { 0.015 }
    }
}

/// Values of a row that stay in registers; more are loaded again for every column.
const IN_REGISTERS: usize = 16;

/// Words of w that a core's cache holds.
const NEAR: usize = 1 << 18;

/// Accumulators of a lane.
const MOST: usize = 256;

/// Multiplications written out for one step: as many as a software driver compiles in half a second. Halves are
/// also unpacked; of a multiplication and an addition of bytes, compilers make one instruction, late. A matrix
/// product may take longer: networks have few of them, and many convolutions.
fn most_written(product: &Product) -> usize {
    let matrix = product.lines == 1;
    match product.dtype {
        DType::I8 if matrix => 1344,
        DType::I8 => 896,
        DType::F16 if !matrix => 448,
        _ => 672,
    }
}

/// Rows of a tile that lie side by side, its lines and its columns per lane. There are few of them: each tile that
/// a network uses is compiled. 7 and 8 divide the widths of the usual images.
const RUNS: [usize; 4] = [1, 4, 7, 8];
const LINES: [usize; 3] = [1, 2, 4];
const COLUMNS: [usize; 4] = [1, 2, 4, 8];

/// The same for rows of one line, as those of a matrix product.
const RUNS_OF_ONE_LINE: [usize; 6] = [1, 4, 8, 16, 28, 32];

impl SubgroupTile {
    /// The tile with the least work for `product` among those that keep a few cores busy.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] naming `op` if the device has no subgroups of one size.
    fn new(op: &str, product: &Product, caps: &Caps) -> Result<Self> {
        let lanes = subgroup_size(caps).ok_or_else(|| Variant::Subgroup.unsupported(op))?;
        let mut best = Self {
            lanes,
            lines: 1,
            run: 1,
            columns: 1,
            taps: 1,
            stride: 1,
            wide: caps.int64 && product.words.is_multiple_of(2),
        };
        let mut least = f64::INFINITY;
        let one_line = product.lines == 1;
        let (runs, lines): (&[usize], &[usize]) = if one_line {
            (&RUNS_OF_ONE_LINE, &[1])
        } else {
            (&RUNS, &LINES)
        };
        let shared = (product.taps > 1).then_some((product.taps, product.stride));
        let widths = [false, true].into_iter().filter(|&wide| best.wide || !wide);
        let ways: Vec<_> = widths
            .flat_map(|wide| [Some((1, 1)), shared].map(|taps| taps.map(|taps| (wide, taps))))
            .flatten()
            .collect();
        for &run in runs {
            for &lines in lines {
                for columns in COLUMNS {
                    for &(wide, (taps, stride)) in &ways {
                        let tile = Self {
                            lanes,
                            lines,
                            run,
                            columns,
                            taps,
                            stride,
                            wide,
                        };
                        let cost = tile.cost(product);
                        let small = tile.accumulators() <= MOST
                            && tile.multiplications(product) <= most_written(product);
                        if small && cost < least {
                            (best, least) = (tile, cost);
                        }
                    }
                }
            }
        }
        Ok(best)
    }

    fn cost(&self, product: &Product) -> f64 {
        let filter = product.filter_taps * product.words;
        let far = if product.columns * filter > NEAR {
            time::LOAD_FAR
        } else {
            1.0
        };
        let loads = self.own() as f64 + far * (self.taps * self.columns) as f64;
        let values = self.taps * self.halves() * product.live;
        let again = if values > IN_REGISTERS { 2.0 } else { 1.0 };
        let shown = self.lines * self.span() * self.halves() * product.live;
        let each = loads * if self.wide { time::LOAD_WIDE } else { 1.0 }
            + time::SHOW * shown as f64
            + time::multiply(product.dtype) * again * self.multiplications(product) as f64
            + time::KEEP * self.accumulators() as f64;
        let group = time::PLACE * self.own() as f64 + time::KEEP * self.accumulators() as f64;
        let each = each + group / self.steps(product.words).max(1) as f64;
        // Eight workgroups at once; fewer leave cores idle.
        let tiles = self.tiles(product) * product.columns.div_ceil(self.lanes * self.columns);
        tiles.max(8) as f64 * each / (self.taps * self.halves()) as f64
    }

    fn accumulators(&self) -> usize {
        self.lines * self.run * self.columns
    }

    /// Multiplications of a step.
    fn multiplications(&self, product: &Product) -> usize {
        self.accumulators() * self.taps * self.halves() * product.live
    }

    fn halves(&self) -> usize {
        if self.wide { 2 } else { 1 }
    }

    /// Pixels of x for one line.
    fn span(&self) -> usize {
        (self.run - 1) * self.stride + self.taps
    }

    /// Pixels that a lane loads.
    fn own(&self) -> usize {
        (self.lines * self.span()).div_ceil(self.lanes)
    }

    /// Runs of a line.
    fn runs(&self, product: &Product) -> usize {
        product.width.div_ceil(self.run)
    }

    /// Tiles of rows.
    fn tiles(&self, product: &Product) -> usize {
        product.lines.div_ceil(self.lines) * self.runs(product)
    }

    /// Loads that a row of `words` words takes.
    fn steps(&self, words: usize) -> usize {
        words / self.halves()
    }

    /// Adds the constants of the shader.
    fn spec(&self, product: &Product, spec: Spec) -> Spec {
        // Neighbouring columns of a lane make a word without asking other lanes.
        let lanes = product.dtype.lanes();
        let whole = self.columns.is_multiple_of(lanes);
        let spec = spec
            .with("PACK", if whole { lanes as u32 } else { 1 })
            .with("LIVE", product.live as u32)
            .with("LANES", self.lanes as u32)
            .with("RUN", self.run as u32)
            .with("ROWS", (self.lines * self.run) as u32)
            .with("TAPS", self.taps as u32)
            .with("STRIDE", self.stride as u32)
            .with("SPAN", self.span() as u32)
            .with("OWN", self.own() as u32)
            .with("COLUMNS", self.columns as u32);
        if self.wide {
            return spec.with("Word", Const::Type("u64")).with("HALVES", 2);
        }
        spec
    }

    /// One workgroup per tile.
    fn launch(&self, product: &Product, spec: Spec, params: Vec<u8>, caps: &Caps) -> Launch {
        let columns = product.columns.div_ceil(self.lanes * self.columns);
        Launch {
            source: include_str!("../../../shaders/product/subgroup.wgsl").into(),
            spec: self.spec(product, spec),
            params,
            workgroups: grid_1d(self.tiles(product) * columns, 1, caps),
        }
    }
}

/// `Params` of `subgroup_conv.wgsl`, but those that all programs end with.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct ConvParams {
    m: u32,
    n: u32,
    tiles: u32,
    groups: u32,
    steps: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    lines: u32,
    runs: u32,
    groups_x: u32,
    pixel_step: u32,
    geometry: [u32; 6],
}

/// The variants of a convolution, the better first; with groups there are the plain one and that for single channels.
///
/// Those with few channels on either side run faster as [`Variant::Plain`] where subgroups are small: it keeps the
/// pixels that the next tap needs again.
pub(super) fn conv_variants(
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Vec<Variant> {
    if depthwise::takes(x, w, conv) {
        return vec![Variant::Depthwise, Variant::Plain];
    }
    if conv.groups != 1 {
        return vec![Variant::Plain];
    }
    let [n, height, width, channels] = output_or_empty(x, w, conv);
    let mut variants = product_variants(n * height * width, channels, caps);
    if (channels < 32 || x[3] <= 4) && variants[0] == Variant::Subgroup {
        variants.swap(0, 1);
    }
    variants
}

/// Elements of a word that are multiplied, where a row has `elements`.
fn live(dtype: DType, elements: usize) -> usize {
    dtype.lanes().min(elements)
}

/// The launch of a matrix product.
///
/// # Errors
/// As [`SubgroupTile::new`].
pub(super) fn matrix_launch(parts: &Parts, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
    let product = Product {
        lines: 1,
        width: m,
        columns: n,
        taps: 1,
        filter_taps: 1,
        stride: 1,
        words: parts.words(k),
        live: live(parts.dtype, k),
        dtype: parts.dtype,
    };
    let tile = SubgroupTile::new(parts.op, &product, caps)?;
    let params = [m, n, tile.tiles(&product), 1, tile.steps(product.words)];
    let params = parts.params(&params.map(|size| size as u32));
    Ok(tile.launch(&product, parts.lanes(), params, caps))
}

/// The launch of a convolution without groups.
///
/// # Errors
/// As [`Conv::output_shape`] and [`SubgroupTile::new`]; [`crate::Error::Unsupported`] for one with groups.
pub(super) fn conv_launch(
    parts: &Parts,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    if conv.groups != 1 {
        return Err(Variant::Subgroup.unsupported(parts.op));
    }
    let product = Product {
        lines: n * out_height,
        width: out_width,
        columns: o,
        // Only neighbours share.
        taps: if conv.dilation[1] == 1 { w[2] } else { 1 },
        filter_taps: w[1] * w[2],
        stride: conv.stride[1],
        words: parts.words(x[3]),
        live: live(parts.dtype, x[3]),
        dtype: parts.dtype,
    };
    let tile = SubgroupTile::new(parts.op, &product, caps)?;
    let groups_x = w[2] / tile.taps;
    let pixel_step = if tile.taps == 1 { conv.stride[1] } else { 1 };
    let params = parts.params(&ConvParams {
        m: (product.lines * out_width) as u32,
        n: o as u32,
        tiles: tile.tiles(&product) as u32,
        groups: (w[1] * groups_x) as u32,
        steps: tile.steps(product.words) as u32,
        height: x[1] as u32,
        width: x[2] as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
        lines: product.lines as u32,
        runs: tile.runs(&product) as u32,
        groups_x: groups_x as u32,
        pixel_step: pixel_step as u32,
        geometry: geometry_words(&conv),
    });
    let spec = parts.lanes();
    let spec = spec.part("rows", "common/product/subgroup_conv.wgsl");
    Ok(tile.launch(&product, spec, params, caps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(int64: bool) -> Caps {
        Caps {
            int64,
            subgroups: Some((8, 8)),
            ..Caps::portable()
        }
    }

    fn product(rows: usize, columns: usize, words: usize) -> Product {
        Product {
            lines: 1,
            width: rows,
            columns,
            taps: 1,
            filter_taps: 1,
            stride: 1,
            words,
            live: 4,
            dtype: DType::I8,
        }
    }

    #[test]
    fn tiles_fit_the_shape() {
        let tile = |product| SubgroupTile::new("t", &product, &caps(true)).expect("subgroups of 8");
        let one_row = tile(product(1, 1000, 128));
        assert_eq!(
            one_row.run * one_row.lines,
            1,
            "a single row wastes no others"
        );
        let layer = tile(product(56 * 56, 64, 16));
        assert!(layer.run >= 16 && layer.accumulators() <= MOST);
        let narrow = tile(product(4096, 6, 2));
        assert_eq!(narrow.columns, 1, "eight lanes hold six columns");
    }

    #[test]
    fn taps_share_what_is_loaded_where_loads_are_what_it_costs() {
        let product = Product {
            lines: 28,
            width: 28,
            columns: 128,
            taps: 3,
            filter_taps: 9,
            stride: 1,
            words: 128,
            live: 1,
            dtype: DType::F32,
        };
        let tile = SubgroupTile::new("t", &product, &caps(true)).expect("subgroups of 8");
        assert_eq!((tile.taps, tile.span()), (3, tile.run + 2));
        assert!(tile.multiplications(&product) <= most_written(&product));
        assert!(tile.own() * 8 >= tile.lines * tile.span());
    }

    #[test]
    fn two_words_at_a_time_only_where_rows_and_the_device_allow_it() {
        let wide = |words, int64| {
            let tile = SubgroupTile::new("t", &product(64, 64, words), &caps(int64));
            tile.expect("subgroups of 8").wide
        };
        assert!(wide(6, true));
        assert!(!wide(6, false) && !wide(5, true));
    }

    #[test]
    fn what_it_cannot_run_is_refused() {
        let error = SubgroupTile::new("t", &product(1, 1, 1), &Caps::portable());
        let message = error.expect_err("no subgroups").to_string();
        assert!(message.contains("variant `subgroup`"), "{message}");
        let conv = |groups, dilation| Conv::square(1, 0, dilation, groups);
        let offered = |groups, dilation| {
            let shapes = ([1, 9, 9, 8], [64, 3, 3, 8 / groups], conv(groups, dilation));
            conv_variants(shapes, &caps(true)).contains(&Variant::Subgroup)
        };
        assert!(offered(1, 1) && offered(1, 2));
        assert!(!offered(2, 1));
    }
}
