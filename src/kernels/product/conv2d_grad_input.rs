//! `dx[n, h, w, c] = Σ_{i, j, o} dy[n, (h + p − i·d) / s, (w + p − j·d) / s, o] · w[o, i, j, c]`
//!
//! Over the taps whose quotients are whole and inside `dy`; `o` runs over the group of `c`. f32
//! throughout; the order of the sum is the device's.

use super::conv2d::{GEOMETRIES, Params};
use super::reference::{Geometry, float_agreement, magnitudes, output_or_empty};
use super::tile::{conv_tile, pairs, tiling, with_geometry, with_team};
use super::{
    Agreement, Binding, Caps, Const, Conv, Float, Kernel, Launch, Spec, grid_1d, params_bytes,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Gradient of a convolution by its input. Bindings: `dy[n, oh, ow, o]`, `w[o, kh, kw, c / groups]`,
/// `dx[n, h, w, c]`.
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    /// Shape of the input and of `dx`.
    pub x: [usize; 4],
    /// Shape of `w`.
    pub w: [usize; 4],
    /// Geometry.
    pub conv: Conv,
}

/// What a run of pixels of a row of `dx` loads of `dy`: see the shader.
struct Reach {
    apart: bool,
    span: usize,
    shift: usize,
    offset: usize,
}

/// Strides, and pixels of dy under a filter, from which on every tap loads its own.
const FAR: usize = 16;

fn reach(run: usize, kernel_w: usize, conv: &Conv) -> Reach {
    let stride = conv.stride[1];
    let back = (kernel_w - 1) * conv.dilation[1];
    let shift = back.div_ceil(stride);
    if stride > FAR || shift > kernel_w + FAR {
        return Reach {
            apart: true,
            span: run * kernel_w,
            shift: 0,
            offset: 0,
        };
    }
    let shifted = conv.padding[1] + stride * shift;
    let offset = (shifted - back) / stride;
    let last = (run - 1 + shifted) / stride;
    Reach {
        apart: false,
        span: last - offset + 1,
        shift,
        offset,
    }
}

impl Kernel for Conv2dGradInput {
    fn name(&self) -> &'static str {
        "conv2d_grad_input_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, output_or_empty(self.x, self.w, self.conv)),
            Binding::read("w", DType::F32, self.w),
            Binding::write("dx", DType::F32, self.x),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let geometry = self.geometry()?;
        let Geometry { x, w, y, conv } = geometry;
        let (kernel_w, group_c) = (w[2], w[3]);
        let tiling = tiling(caps);
        let multiple = if reach(1, kernel_w, &conv).apart {
            1
        } else {
            conv.stride[1]
        };
        let tile = conv_tile((x[2], multiple), group_c, kernel_w, &tiling, |run| {
            reach(run, kernel_w, &conv).span
        });
        let params = Params::new(
            &geometry,
            (x[0] * x[1], x[2]),
            group_c,
            tile,
            tiling.workgroup,
        );
        let reach = reach(tile.run, kernel_w, &conv);
        let channels = group_c.min(8 * tile.blocks);
        let pairs = pairs(caps);
        let halves = if pairs && group_c.is_multiple_of(2) {
            2
        } else {
            1
        };
        let whole_row = if params.runs_per_row == 1 { y[2] } else { 0 };
        let mut spec = with_geometry(with_team(Spec::new(), caps), &conv)
            .with("WORKGROUP", tiling.workgroup as u32)
            .with("RUN", tile.run as u32)
            .with("CHANNELS", channels as u32)
            .with("WORDS", (channels / halves) as u32)
            .with("KH", w[1] as u32)
            .with("KW", kernel_w as u32)
            .with("PAD_TOP", conv.padding[0] as u32)
            .with("PAD_LEFT", conv.padding[1] as u32)
            .with("APART", reach.apart)
            .with("SPAN", reach.span as u32)
            .with("SHIFT", reach.shift as u32)
            .with("OFFSET", reach.offset as u32)
            .with("LOADS", (kernel_w * channels).div_ceil(8 * halves) as u32)
            .with("ROW", whole_row as u32);
        if halves == 2 {
            spec = spec.with("Shared", Const::Type("u64")).with("HALVES", 2);
        }
        let unrolled = 2 * tile.run * channels * kernel_w;
        if pairs && (w[0] / conv.groups).is_multiple_of(2) && unrolled <= tiling.unrolled {
            spec = spec.with("Word", Const::Type("u64")).with("DY_HALVES", 2);
        }
        Ok(Launch {
            source: include_str!("../../../shaders/product/conv2d_grad_input.wgsl").into(),
            spec,
            params: params_bytes(&params),
            workgroups: grid_1d(params.workgroups as usize, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self
            .geometry()?
            .grad_input(&args[0].to_f64(), &args[1].to_f64());
        args[2].store_f64(&dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let geometry = self.geometry()?;
        let [dy, w] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = geometry.grad_input(&dy, &w);
        let size = geometry.grad_input(&magnitudes(&dy), &magnitudes(&w));
        let terms = self.w[0] / self.conv.groups * self.w[1] * self.w[2];
        let dx = float_agreement((Float::F32, None), terms, &size, &values);
        Ok(vec![Agreement::Equal, Agreement::Equal, dx])
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2dGradInput {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }
}

/// The geometries of all float convolutions.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    GEOMETRIES
        .into_iter()
        .map(|(x, w, conv)| Box::new(Conv2dGradInput { x, w, conv }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[1, 1, 2, 1], &[1.0, 2.0]).expect("fits"),
            Tensor::from_f32(&[1, 1, 3, 1], &[10.0, 5.0, 1.0]).expect("fits"),
            Tensor::zeros(&[1, 1, 5, 1], DType::F32),
        ];
        let kernel = Conv2dGradInput {
            x: [1, 1, 5, 1],
            w: [1, 1, 3, 1],
            conv: Conv::square(2, 0, 1, 1),
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [10.0, 5.0, 21.0, 10.0, 2.0]);
    }
}
