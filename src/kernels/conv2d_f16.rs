//! ```text
//! y[n, oh, ow, o] = relu?(bias[o] + Σ_{i, j, c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o, i, j, c]
//!                         + residual[n, oh, ow, o])                              on f16; the residual is optional
//! ```
//!
//! `x`, `w`, `y`: f16, two to a word along the channels; `bias` and every sum: f32. `native` multiplies
//! in f16, so that a product is rounded to f16 (and must not exceed 65504) before it enters the sum.

use super::conv2d_f32::{
    GEOMETRIES, conv_of, forward, forward_agreement, forward_of, with_residual,
};
use super::cooperative::with_cooperative_conv;
use super::matmul_f16::with_factor;
use super::reference::{Geometry, output_or_empty};
use super::subgroup;
use super::tile::{shared_source, tiling};
use super::tiled::Tiled;
use super::{Agreement, Binding, Caps, Conv, Kernel, Launch, Spec, Variant, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// A 2-D convolution in f16. Bindings: `x[n, h, w, c]`, `w[o, kh, kw, c / groups]`, `bias[o]`,
/// `y[n, oh, ow, o]`, and `residual[n, oh, ow, o]` if there is one.
#[derive(Clone, Debug)]
pub struct Conv2dF16 {
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
    /// Multiplies in native f16; needs [`Caps::f16`].
    pub native: bool,
}

impl Kernel for Conv2dF16 {
    fn name(&self) -> &'static str {
        "conv2d_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        let y = output_or_empty(self.x, self.w, self.conv);
        let mut bindings = vec![
            Binding::read("x", DType::F16, self.x),
            Binding::read("w", DType::F16, self.w),
            Binding::read("bias", DType::F32, [self.w[0]]),
            Binding::write("y", DType::F16, y),
        ];
        if self.residual {
            bindings.push(Binding::read("residual", DType::F16, y));
        }
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let shapes = (self.x, self.w, self.conv);
        let variants = subgroup::conv_variants(shapes, caps);
        with_cooperative_conv(variants, DType::F16, shapes, caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let geometry = self.geometry()?;
        let spec = Spec::new().with("RELU", self.relu);
        let (spec, mut params, _) = forward(spec, &geometry, &tiling(caps));
        let mut workgroups = grid_1d(params.workgroups as usize, 1, caps);
        let groups = self.conv.groups;
        let split = groups > 1 && !(self.w[0] / groups).is_multiple_of(2);
        let mut spec = spec
            .with("LIVE", self.w[3].min(2) as u32)
            .with("ALIGNED", groups == 1 || self.w[3].is_multiple_of(2))
            .with("SPLIT", split);
        if split {
            let pixels: usize = geometry.y[..3].iter().product();
            params.runs = pixels as u32;
            spec = spec.with("WORKGROUP", 64);
            workgroups = grid_1d(pixels * geometry.y[3].div_ceil(2), 64, caps);
        }
        Ok(Launch {
            source: with_residual(
                shared_source(include_str!("../../shaders/conv2d_f16.wgsl"), caps),
                self.residual.then_some("f16"),
            ),
            spec: with_factor(spec, self.name(), self.native, caps)?,
            params: params_bytes(&params),
            workgroups,
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/conv2d_f16_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/conv2d_f16_workgroup.wgsl"),
            Variant::Depthwise => include_str!("../../shaders/conv2d_f16_depthwise.wgsl"),
            Variant::Cooperative => include_str!("../../shaders/conv2d_f16_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::F16,
            source: with_residual(source.into(), self.residual.then_some("f16")),
            spec: with_factor(
                Spec::new().with("RELU", self.relu),
                self.name(),
                self.native,
                caps,
            )?,
            more: vec![self.w[0].div_ceil(2) as u32],
        };
        tiled.conv(variant, (self.x, self.w, self.conv), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = forward_of(&self.geometry()?, args, self.relu, |tensor| tensor.to_f64());
        args[3].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut all = vec![Agreement::Equal; args.len()];
        all[3] = forward_agreement(&self.geometry()?, args, self.relu, DType::F16, self.native);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2dF16 {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }
}

/// The geometries of all float convolutions. Packed only: native f16 is not everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    GEOMETRIES
        .into_iter()
        .map(|(x, w, conv)| {
            Box::new(Conv2dF16 {
                x,
                w,
                conv: conv_of(conv),
                relu: w[0] == 5,
                residual: x[0] == 2,
                native: false,
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
            Tensor::from_f32_as_f16(&[1, 1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("fits"),
            Tensor::from_f32_as_f16(&[1, 1, 1, 3], &[1.0, 0.5, -1.0]).expect("fits"),
            Tensor::from_f32(&[1], &[0.5]).expect("fits"),
            Tensor::zeros(&[1, 1, 2, 1], DType::F16),
        ];
        let kernel = Conv2dF16 {
            x: [1, 1, 2, 3],
            w: [1, 1, 1, 3],
            conv: conv_of([1, 0, 1, 1]),
            relu: true,
            residual: false,
            native: false,
        };
        kernel.cpu(&mut args).expect("f16");
        assert_eq!(args[3].to_f32(), [0.0, 1.0]);
    }
}
