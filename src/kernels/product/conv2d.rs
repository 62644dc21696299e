//! ```text
//! y[n, oh, ow, o] = act(bias[o] + Σ_{i, j, c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o, i, j, c]
//!                       + residual[n, oh, ow, o])
//! ```
//!
//! The residual is optional. Strides `s`, padding `p` with zeros, dilations `d`, each along both axes; with groups, `c`
//! counts the channels of the group of `o`. `x`, `w`, `residual` and `y` are f32 or f16, `bias` and every sum f32; the
//! order of the sum is the device's.

use super::cooperative::with_cooperative_conv;
use super::parts::Parts;
use super::reference::{Geometry, add_bias, float_agreement, magnitudes, output_or_empty};
use super::subgroup::conv_variants;
use super::tile::{
    ConvTile, conv_tile, tiling, vector_registers, window, with_eight, with_geometry,
};
use super::{Agreement, Binding, Caps, Conv, Float, Kernel, Launch, Variant, grid_1d};
use crate::base::{DType, Tensor};
use crate::error::Result;
use crate::kernels::map::Unary;

/// A 2-D convolution. Bindings: `x[n, h, w, c]`, `w[o, kh, kw, c / groups]`, `bias[o]`, `y[n, oh, ow, o]`,
/// and `residual[n, oh, ow, o]` if there is one.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// Shape of `x`.
    pub x: [usize; 4],
    /// Shape of `w`.
    pub w: [usize; 4],
    /// Geometry.
    pub conv: Conv,
    /// What is multiplied.
    pub float: Float,
    /// What the result goes through.
    pub act: Option<Unary>,
    /// Adds a residual before that.
    pub residual: bool,
}

/// Sizes of a convolution and of the grid over its tiles.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
pub(super) struct Params {
    pub h: u32,
    pub w: u32,
    pub c: u32,
    pub group_c: u32,
    pub oh: u32,
    pub ow: u32,
    pub o: u32,
    pub group_o: u32,
    pub runs_per_row: u32,
    pub runs: u32,
    pub tiles_per_group: u32,
    pub tiles: u32,
    pub workgroups: u32,
}

impl Params {
    /// `rows` rows of `width` pixels in runs, `channels` of each group in blocks of eight.
    pub fn new(
        geometry: &Geometry,
        (rows, width): (usize, usize),
        channels: usize,
        tile: ConvTile,
        workgroup: usize,
    ) -> Self {
        let groups = geometry.conv.groups;
        let [_, h, w, c] = geometry.x.map(|size| size as u32);
        let [_, oh, ow, o] = geometry.y.map(|size| size as u32);
        let runs_per_row = width.div_ceil(tile.run);
        let runs = rows * runs_per_row;
        let tiles_per_group = channels.div_ceil(8 * tile.blocks);
        let tiles = tiles_per_group * groups;
        Self {
            h,
            w,
            c,
            group_c: geometry.w[3] as u32,
            oh,
            ow,
            o,
            group_o: o / groups as u32,
            runs_per_row: runs_per_row as u32,
            runs: runs as u32,
            tiles_per_group: tiles_per_group as u32,
            tiles: tiles as u32,
            workgroups: (tiles * runs.div_ceil(workgroup)) as u32,
        }
    }
}

/// The parameters of the forward program, as far as they are not every product's.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Forward {
    sizes: Params,
    x_words: u32,
    w_words: u32,
}

/// The plain launch, of floats and of int8.
///
/// # Errors
/// As [`Conv::output_shape`].
pub(super) fn launch(
    parts: &Parts,
    (x, w, conv): ([usize; 4], [usize; 4], Conv),
    caps: &Caps,
) -> Result<Launch> {
    let geometry = Geometry::new(x, w, conv)?;
    let (y, lanes) = (geometry.y, parts.dtype.lanes());
    let (kernel_w, [cg, og]) = (w[2], [w[3], w[0] / conv.groups]);
    let whole_words = cg.is_multiple_of(lanes) && og.is_multiple_of(lanes);
    let odd_groups = conv.groups > 1 && !whole_words;
    let live = cg.min(lanes);
    let mut tiling = tiling(caps);
    if vector_registers(caps) {
        // Every element of a word is a multiplication there.
        tiling.unrolled /= live;
    }
    let tile = conv_tile((y[2], 1), og, kernel_w, &tiling, |run| {
        window(run, kernel_w, &conv).span
    });
    let rows = (y[0] * y[1], y[2]);
    let mut sizes = Params::new(&geometry, rows, og, tile, tiling.workgroup);
    let window = window(tile.run, kernel_w, &conv);
    let whole_row = if sizes.runs_per_row == 1 { x[2] } else { 0 };
    let columns = og.min(8 * tile.blocks);
    let mut workgroups = sizes.workgroups as usize;
    // The compilers of processors know no instruction for four products.
    let mut spec = parts.scalars(odd_groups || !vector_registers(caps));
    if odd_groups {
        let pixels: usize = y[..3].iter().product();
        let (file, own) = match parts.dtype {
            DType::I8 => ("common/product/odd_groups_i8.wgsl", 4),
            _ => ("common/product/odd_groups_f16.wgsl", 1),
        };
        spec = spec.part("odd_groups", file);
        sizes.runs = pixels as u32;
        workgroups = (pixels.div_ceil(own) * parts.words(y[3])).div_ceil(tiling.workgroup);
    }
    let spec = with_geometry(with_eight(spec, caps), &conv)
        .with("WORKGROUP", tiling.workgroup as u32)
        .with("RUN", tile.run as u32)
        .with("BLOCKS", tile.blocks as u32)
        .with("COLUMNS", columns as u32)
        .with("WORDS", columns.div_ceil(4) as u32)
        .with("LIVE", live as u32)
        .with("ODD_GROUPS", odd_groups)
        .with("DEPTHWISE", cg == 1 && og == 1)
        .with("KH", w[1] as u32)
        .with("KW", kernel_w as u32)
        .with("SPAN", window.span as u32)
        .with("GROUP", window.group as u32)
        .with("STEP", window.step as u32)
        .with("PIXEL", window.pixel as u32)
        .with("TAP", window.tap as u32)
        .with("ROW", whole_row as u32);
    Ok(Launch {
        source: include_str!("../../../shaders/product/conv2d.wgsl").into(),
        spec,
        params: parts.params(&Forward {
            sizes,
            x_words: parts.words(x[3]) as u32,
            w_words: parts.words(cg) as u32,
        }),
        workgroups: grid_1d(workgroups, 1, caps),
    })
}

impl Kernel for Conv2d {
    fn name(&self) -> &'static str {
        match self.float {
            Float::F32 => "conv2d_f32",
            Float::F16 | Float::NativeF16 => "conv2d_f16",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let (y, dtype) = (
            output_or_empty(self.x, self.w, self.conv),
            self.float.dtype(),
        );
        let mut bindings = vec![
            Binding::read("x", dtype, self.x),
            Binding::read("w", dtype, self.w),
            Binding::read("bias", DType::F32, [self.w[0]]),
            Binding::write("y", dtype, y),
        ];
        if self.residual {
            bindings.push(Binding::read("residual", dtype, y));
        }
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let shapes = (self.x, self.w, self.conv);
        let variants = conv_variants(shapes, caps);
        with_cooperative_conv(variants, self.float.dtype(), shapes, caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.launch_as(caps, Variant::Plain)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let end = (self.act, self.residual);
        let parts = Parts::float(self.name(), self.float, end, self.w[0], caps)?;
        parts.conv(variant, (self.x, self.w, self.conv), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let sums = self.sums(&self.geometry()?, args, |tensor| tensor.to_f64());
        let y: Vec<f64> = match self.act {
            None => sums,
            Some(act) => sums.into_iter().map(|sum| act.f64(sum)).collect(),
        };
        args[3].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let geometry = self.geometry()?;
        let values = self.sums(&geometry, args, Tensor::to_f64);
        let size = self.sums(&geometry, args, |tensor| magnitudes(&tensor.to_f64()));
        let terms = self.w[1..].iter().product::<usize>() + usize::from(self.residual);
        let mut all = vec![Agreement::Equal; args.len()];
        all[3] = float_agreement((self.float, self.act), terms, &size, &values);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2d {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }

    /// `x ∗ w + bias + residual` in f64 of the arguments as `of` sees them.
    fn sums(
        &self,
        geometry: &Geometry,
        args: &[Tensor],
        of: impl Fn(&Tensor) -> Vec<f64>,
    ) -> Vec<f64> {
        let [x, w, bias] = [&args[0], &args[1], &args[2]].map(&of);
        let mut y = geometry.forward(&x, &w);
        if let Some(residual) = args.get(4) {
            for (y, residual) in y.iter_mut().zip(of(residual)) {
                *y += residual;
            }
        }
        add_bias(&mut y, &bias);
        y
    }
}

/// Geometries that hurt, shared by all convolutions: one, odd channels, stride, dilation, every kind of groups, axes
/// that differ.
pub(super) const GEOMETRIES: [([usize; 4], [usize; 4], Conv); 9] = [
    ([1, 1, 1, 1], [1, 1, 1, 1], Conv::square(1, 0, 1, 1)),
    ([2, 7, 13, 3], [5, 3, 3, 3], Conv::square(1, 1, 1, 1)),
    ([1, 11, 9, 4], [17, 3, 2, 4], Conv::square(2, 1, 1, 1)),
    ([1, 10, 11, 6], [4, 3, 3, 3], Conv::square(1, 2, 2, 2)),
    ([1, 5, 6, 5], [5, 3, 3, 1], Conv::square(1, 1, 1, 5)),
    ([2, 6, 5, 7], [3, 1, 1, 7], Conv::square(2, 0, 1, 1)),
    ([1, 12, 8, 3], [9, 5, 4, 1], Conv::square(3, 2, 2, 3)),
    ([2, 13, 19, 17], [34, 3, 3, 1], Conv::square(2, 1, 1, 17)),
    (
        [1, 9, 5, 8],
        [8, 2, 3, 4],
        Conv {
            stride: [1, 2],
            padding: [1, 0, 2, 3],
            dilation: [2, 1],
            groups: 2,
        },
    ),
];

/// Packed f16 only: native f16 is not everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let acts = [None, Some(Unary::Relu), Some(Unary::HardSwish)];
    let floats = [Float::F32, Float::F16].into_iter();
    let kernels = floats.flat_map(|float| {
        GEOMETRIES
            .into_iter()
            .zip(acts.into_iter().cycle())
            .map(move |((x, w, conv), act)| {
                Box::new(Conv2d {
                    x,
                    w,
                    conv,
                    float,
                    act,
                    residual: x[0] == 2,
                }) as Box<dyn Kernel>
            })
    });
    kernels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[1, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0]).expect("fits"),
            Tensor::from_f32(&[1, 1, 2, 1], &[10.0, 1.0]).expect("fits"),
            Tensor::from_f32(&[1], &[0.5]).expect("fits"),
            Tensor::zeros(&[1, 4, 3, 1], DType::F32),
        ];
        let mut kernel = Conv2d {
            x: [1, 2, 2, 1],
            w: [1, 1, 2, 1],
            conv: Conv::square(1, 1, 1, 1),
            float: Float::F32,
            act: None,
            residual: false,
        };
        kernel.cpu(&mut args).expect("f32");
        let (zero, first, second) = ([0.5; 3], [1.5, 12.5, 20.5], [3.5, 34.5, 40.5]);
        let want = [zero, first, second, zero].concat();
        assert_eq!(args[3].as_f32().expect("f32"), want);
        kernel.act = Some(Unary::RELU6);
        kernel.cpu(&mut args).expect("f32");
        let clipped: Vec<f32> = want.iter().map(|&y| y.min(6.0)).collect();
        assert_eq!(args[3].as_f32().expect("f32"), clipped);
        kernel.w = [1, 5, 3, 1];
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
