//! The host's side of `shaders/common/subgroup_tile.wgsl`: tiles that one subgroup computes.

use super::depthwise;
use super::reference::output_or_empty;
use super::tiled::Tiled;
use super::variant::{product_variants, subgroup_size};
use super::{Caps, Const, Conv, Launch, Spec, Variant, grid_1d};
use crate::base::DType;
use crate::error::Result;

/// A product of matrices, or what a convolution is as one.
#[derive(Clone, Copy, Debug)]
struct Product {
    /// Rows of the output.
    rows: usize,
    /// Columns of the output.
    columns: usize,
    /// Words of a row under one tap.
    words: usize,
    /// What the words hold.
    dtype: DType,
}

/// Rows by columns per lane, and how the operands are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SubgroupTile {
    lanes: usize,
    rows: usize,
    columns: usize,
    /// Operands are read two words at a time.
    wide: bool,
}

/// Cost of multiplying two words, where loading one costs 1: measured on a software driver.
fn multiply(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 0.020,
        DType::I8 => 0.045,
        DType::F32 | DType::I32 | DType::U32 => 0.011,
    }
}

/// Accumulators of a lane: as many as compile in a fraction of a second.
const MOST: usize = 128;

impl SubgroupTile {
    /// The tile with the least work for `product` among those that keep a few cores busy.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] naming `op` if the device has no subgroups of one size.
    fn new(op: &str, product: &Product, caps: &Caps) -> Result<Self> {
        let lanes = subgroup_size(caps).ok_or_else(|| Variant::Subgroup.unsupported(op))?;
        let mut best = Self {
            lanes,
            rows: 1,
            columns: 1,
            wide: caps.int64 && product.words.is_multiple_of(2),
        };
        let mut least = f64::INFINITY;
        // 28 divides the pixels of the usual image sizes: 56², 28², 14², and nearly 7².
        for rows in [1, 4, 8, 16, 24, 28, 32] {
            for columns in [1, 2, 4, 8] {
                let tile = Self {
                    rows,
                    columns,
                    ..best
                };
                let cost = tile.cost(product);
                if rows * columns <= MOST && cost < least {
                    (best, least) = (tile, cost);
                }
            }
        }
        Ok(best)
    }

    fn cost(self, product: &Product) -> f64 {
        let loads = self.own() + self.columns;
        let loads = loads as f64 / if self.wide { 1.8 } else { 1.0 };
        let each = loads + multiply(product.dtype) * (self.rows * self.columns) as f64;
        // Eight workgroups at once; fewer leave cores idle.
        self.tiles(product).max(8) as f64 * each
    }

    fn own(self) -> usize {
        self.rows.div_ceil(self.lanes)
    }

    fn tiles(self, product: &Product) -> usize {
        product.rows.div_ceil(self.rows) * product.columns.div_ceil(self.lanes * self.columns)
    }

    /// Loads that a row of `words` words takes.
    fn steps(self, words: usize) -> usize {
        if self.wide { words / 2 } else { words }
    }

    /// Adds the constants of the shader.
    fn spec(self, spec: Spec) -> Spec {
        let spec = spec
            .with("LANES", self.lanes as u32)
            .with("ROWS", self.rows as u32)
            .with("OWN", self.own() as u32)
            .with("COLUMNS", self.columns as u32);
        if self.wide {
            return spec.with("Word", Const::Type("u64")).with("HALVES", 2);
        }
        spec
    }

    /// One workgroup per tile.
    fn launch(self, product: &Product, tiled: Tiled, params: Vec<u8>, caps: &Caps) -> Launch {
        Launch {
            source: tiled.source,
            spec: self.spec(tiled.spec),
            params,
            workgroups: grid_1d(self.tiles(product), 1, caps),
        }
    }
}

/// `Params` of the convolutions among `shaders/*_subgroup.wgsl`, as far as they share them.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct ConvParams {
    m: u32,
    n: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    lines: u32,
    steps: u32,
    kernel_w: u32,
    pixel: u32,
    stride: u32,
    padding: u32,
}

/// The variants of a convolution, the better first; with groups there are the plain one and that for single channels.
///
/// Those in float with few channels run faster as [`Variant::Plain`] where subgroups are small: it keeps the
/// pixels that the next tap needs again.
pub(super) fn conv_variants(
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    float: bool,
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
    if conv.dilation != 1 {
        variants.retain(|&variant| variant != Variant::Subgroup);
    }
    if float && channels < 32 && variants[0] == Variant::Subgroup {
        variants.swap(0, 1);
    }
    variants
}

/// The launch of a matrix product.
///
/// # Errors
/// As [`SubgroupTile::new`].
pub(super) fn matrix_launch(tiled: Tiled, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
    let product = Product {
        rows: m,
        columns: n,
        words: tiled.words(k),
        dtype: tiled.dtype,
    };
    let tile = SubgroupTile::new(tiled.op, &product, caps)?;
    // A row is one line.
    let steps = tile.steps(product.words);
    let params = tiled.params(&[m, n, 1, steps].map(|size| size as u32));
    Ok(tile.launch(&product, tiled, params, caps))
}

/// The launch of a convolution without groups or dilation.
///
/// # Errors
/// As [`Conv::output_shape`] and [`SubgroupTile::new`]; [`crate::Error::Unsupported`] for others.
pub(super) fn conv_launch(
    tiled: Tiled,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let [n, out_height, out_width, o] = conv.output_shape(x, w)?;
    // One group, and taps side by side.
    if conv.groups != 1 || conv.dilation != 1 {
        return Err(Variant::Subgroup.unsupported(tiled.op));
    }
    let product = Product {
        rows: n * out_height * out_width,
        columns: o,
        words: tiled.words(x[3]),
        dtype: tiled.dtype,
    };
    let tile = SubgroupTile::new(tiled.op, &product, caps)?;
    let params = tiled.params(&ConvParams {
        m: product.rows as u32,
        n: o as u32,
        height: x[1] as u32,
        width: x[2] as u32,
        out_height: out_height as u32,
        out_width: out_width as u32,
        lines: w[1] as u32,
        steps: tile.steps(product.words * w[2]) as u32,
        kernel_w: w[2] as u32,
        pixel: tile.steps(product.words) as u32,
        stride: conv.stride as u32,
        padding: conv.padding as u32,
    });
    Ok(tile.launch(&product, tiled, params, caps))
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
            rows,
            columns,
            words,
            dtype: DType::I8,
        }
    }

    #[test]
    fn tiles_fit_the_shape() {
        let tile = |product| SubgroupTile::new("t", &product, &caps(true)).expect("subgroups of 8");
        let one_row = tile(product(1, 1000, 128));
        assert_eq!(one_row.rows, 1, "a single row wastes no others");
        let layer = tile(product(56 * 56, 64, 16));
        assert!(layer.rows >= 24 && layer.rows * layer.columns <= MOST);
        let narrow = tile(product(4096, 6, 2));
        assert_eq!(narrow.columns, 1, "eight lanes hold six columns");
    }

    #[test]
    fn two_words_at_a_time_only_where_rows_and_the_device_allow_it() {
        let steps = |words, int64| {
            let tile = SubgroupTile::new("t", &product(64, 64, words), &caps(int64));
            tile.expect("subgroups of 8").steps(words)
        };
        assert_eq!(steps(6, true), 3);
        assert_eq!(steps(6, false), 6);
        assert_eq!(steps(5, true), 5);
    }

    #[test]
    fn what_it_cannot_run_is_refused() {
        let error = SubgroupTile::new("t", &product(1, 1, 1), &Caps::portable());
        let message = error.expect_err("no subgroups").to_string();
        assert!(message.contains("variant `subgroup`"), "{message}");
        let conv = |groups, dilation| Conv {
            stride: 1,
            padding: 0,
            dilation,
            groups,
        };
        let offered = |groups, dilation| {
            let shapes = ([1, 9, 9, 8], [64, 3, 3, 8 / groups], conv(groups, dilation));
            conv_variants(shapes, true, &caps(true)).contains(&Variant::Subgroup)
        };
        assert!(offered(1, 1));
        assert!(!offered(2, 1) && !offered(1, 2));
    }
}
