//! ```text
//! y[n, oh, ow, o] = relu?(bias[o] + Σ_{i, j, c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o, i, j, c]
//!                         + residual[n, oh, ow, o])
//! ```
//!
//! The residual is optional. Stride `s`, padding `p` with zeros, dilation `d`; with groups, `c` counts the
//! channels of the group of `o`. f32 throughout; the order of the sum is the device's.

use std::borrow::Cow;

use super::cooperative::with_cooperative_conv;
use super::reference::{Geometry, add_bias, magnitudes, output_or_empty, sum_agreement};
use super::subgroup;
use super::tile::{ConvTile, Tiling, conv_tile, shared_source, tiling, window, with_geometry};
use super::tiled::Tiled;
use super::{Agreement, Binding, Caps, Conv, Kernel, Launch, Spec, Variant, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// A 2-D convolution. Bindings: `x[n, h, w, c]`, `w[o, kh, kw, c / groups]`, `bias[o]`, `y[n, oh, ow, o]`,
/// and `residual[n, oh, ow, o]` if there is one.
#[derive(Clone, Debug)]
pub struct Conv2dF32 {
    /// Shape of `x`.
    pub x: [usize; 4],
    /// Shape of `w`.
    pub w: [usize; 4],
    /// Geometry.
    pub conv: Conv,
    /// Rectifies the result.
    pub relu: bool,
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

/// `spec` and the constants, the parameters and the tile of a forward convolution.
pub(super) fn forward(
    spec: Spec,
    geometry: &Geometry,
    tiling: &Tiling,
) -> (Spec, Params, ConvTile) {
    let Geometry { x, w, y, conv } = *geometry;
    let (kernel_w, group_o) = (w[2], w[0] / conv.groups);
    let tile = conv_tile((y[2], 1), group_o, kernel_w, tiling, |run| {
        window(run, kernel_w, &conv).span
    });
    let params = Params::new(
        geometry,
        (y[0] * y[1], y[2]),
        group_o,
        tile,
        tiling.workgroup,
    );
    let window = window(tile.run, kernel_w, &conv);
    let whole_row = if params.runs_per_row == 1 { x[2] } else { 0 };
    let spec = with_geometry(spec, &conv)
        .with("WORKGROUP", tiling.workgroup as u32)
        .with("RUN", tile.run as u32)
        .with("BLOCKS", tile.blocks as u32)
        .with("KH", w[1] as u32)
        .with("KW", kernel_w as u32)
        .with("SPAN", window.span as u32)
        .with("GROUP", window.group as u32)
        .with("STEP", window.step as u32)
        .with("PIXEL", window.pixel as u32)
        .with("TAP", window.tap as u32)
        .with("ROW", whole_row as u32);
    (spec, params, tile)
}

impl Kernel for Conv2dF32 {
    fn name(&self) -> &'static str {
        "conv2d_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let y = output_or_empty(self.x, self.w, self.conv);
        let mut bindings = vec![
            Binding::read("x", DType::F32, self.x),
            Binding::read("w", DType::F32, self.w),
            Binding::read("bias", DType::F32, [self.w[0]]),
            Binding::write("y", DType::F32, y),
        ];
        if self.residual {
            bindings.push(Binding::read("residual", DType::F32, y));
        }
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let shapes = (self.x, self.w, self.conv);
        let variants = subgroup::conv_variants(shapes, caps);
        with_cooperative_conv(variants, DType::F32, shapes, caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let spec = Spec::new().with("RELU", self.relu);
        let (spec, params, _) = forward(spec, &self.geometry()?, &tiling(caps));
        Ok(Launch {
            source: with_residual(
                shared_source(include_str!("../../shaders/conv2d_f32.wgsl"), caps),
                self.residual.then_some("f32"),
            ),
            spec,
            params: params_bytes(&params),
            workgroups: grid_1d(params.workgroups as usize, 1, caps),
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/conv2d_f32_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/conv2d_f32_workgroup.wgsl"),
            Variant::Depthwise => include_str!("../../shaders/conv2d_f32_depthwise.wgsl"),
            Variant::Cooperative => include_str!("../../shaders/conv2d_f32_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::F32,
            source: with_residual(source.into(), self.residual.then_some("f32")),
            spec: Spec::new().with("RELU", self.relu),
            more: Vec::new(),
        };
        tiled.conv(variant, (self.x, self.w, self.conv), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = forward_of(&self.geometry()?, args, self.relu, |tensor| tensor.to_f64());
        args[3].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut all = vec![Agreement::Equal; args.len()];
        all[3] = forward_agreement(&self.geometry()?, args, self.relu, DType::F32, false);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2dF32 {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }
}

/// The shader text with a residual of this type, or as it is.
pub(super) fn with_residual(source: Cow<'static, str>, dtype: Option<&str>) -> Cow<'static, str> {
    let Some(dtype) = dtype else { return source };
    let file = format!("common/residual_{dtype}.wgsl");
    Cow::Owned(source.replace("common/residual_none.wgsl", &file))
}

/// `relu?(x ∗ w + bias + residual)` in f64 of the arguments `x, w, bias, y, residual?`, seen through `of`.
pub(super) fn forward_of(
    geometry: &Geometry,
    args: &[Tensor],
    relu: bool,
    of: impl Fn(&Tensor) -> Vec<f64>,
) -> Vec<f64> {
    let [x, w, bias] = [&args[0], &args[1], &args[2]].map(&of);
    let mut y = geometry.forward(&x, &w);
    if let Some(residual) = args.get(4) {
        for (y, residual) in y.iter_mut().zip(of(residual)) {
            *y += residual;
        }
    }
    add_bias(&mut y, &bias, relu);
    y
}

/// Agreement on `y` for the arguments `x, w, bias, y, residual?`.
pub(super) fn forward_agreement(
    geometry: &Geometry,
    args: &[Tensor],
    relu: bool,
    output: DType,
    native: bool,
) -> Agreement {
    let values = forward_of(geometry, args, relu, Tensor::to_f64);
    let size = forward_of(geometry, args, relu, |tensor| magnitudes(&tensor.to_f64()));
    let terms = geometry.w[1..].iter().product::<usize>() + args.len().saturating_sub(4);
    sum_agreement(terms, &size, &values, output, native)
}

/// Geometries that hurt, shared by all float convolutions: `(x, w, [stride, padding, dilation, groups])`.
pub(super) const GEOMETRIES: [([usize; 4], [usize; 4], [usize; 4]); 9] = [
    ([1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1]),
    ([2, 7, 13, 3], [5, 3, 3, 3], [1, 1, 1, 1]),
    ([1, 11, 9, 4], [17, 3, 2, 4], [2, 1, 1, 1]),
    ([1, 10, 11, 6], [4, 3, 3, 3], [1, 2, 2, 2]),
    ([1, 5, 6, 5], [5, 3, 3, 1], [1, 1, 1, 5]),
    ([2, 6, 5, 7], [3, 1, 1, 7], [2, 0, 1, 1]),
    ([1, 12, 8, 3], [9, 5, 4, 1], [3, 2, 2, 3]),
    ([2, 13, 19, 17], [34, 3, 3, 1], [2, 1, 1, 17]),
    ([1, 9, 1, 5], [5, 2, 4, 1], [1, 3, 2, 5]),
];

/// [`Conv`] from `[stride, padding, dilation, groups]`.
pub(super) fn conv_of([stride, padding, dilation, groups]: [usize; 4]) -> Conv {
    Conv::square(stride, padding, dilation, groups)
}

/// The geometries of all float convolutions.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    GEOMETRIES
        .into_iter()
        .map(|(x, w, conv)| {
            Box::new(Conv2dF32 {
                x,
                w,
                conv: conv_of(conv),
                relu: w[0] == 5,
                residual: x[0] == 2,
            }) as Box<dyn Kernel>
        })
        .collect()
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
        let kernel = Conv2dF32 {
            x: [1, 2, 2, 1],
            w: [1, 1, 2, 1],
            conv: conv_of([1, 1, 1, 1]),
            relu: false,
            residual: false,
        };
        kernel.cpu(&mut args).expect("f32");
        let (zero, first, second) = ([0.5; 3], [1.5, 12.5, 20.5], [3.5, 34.5, 40.5]);
        let want = [zero, first, second, zero].concat();
        assert_eq!(args[3].as_f32().expect("f32"), want);
    }

    #[test]
    fn wrong_geometry_is_an_error() {
        let kernel = Conv2dF32 {
            x: [1, 2, 2, 1],
            w: [1, 3, 3, 1],
            conv: conv_of([1, 0, 1, 1]),
            relu: false,
            residual: false,
        };
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
