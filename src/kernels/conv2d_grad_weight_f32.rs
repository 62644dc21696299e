//! `dw[o, i, j, c] = Σ_{n, oh, ow} dy[n, oh, ow, o] · x[n, oh·s + i·d − p, ow·s + j·d − p, c]`
//!
//! With groups, `c` counts the channels of the group of `o`. f32 throughout; the order of the sum is
//! fixed for a device, so that results are reproducible there.

use super::conv2d_f32::{GEOMETRIES, conv_of};
use super::reference::{Geometry, magnitudes, output_or_empty, sum_agreement};
use super::tile::{Tiling, shared_source, tiling, window};
use super::{Agreement, Binding, Caps, Const, Conv, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Gradient of a convolution by its weights. Bindings: `dy[n, oh, ow, o]`, `x[n, h, w, c]`,
/// `dw[o, kh, kw, c / groups]`.
#[derive(Clone, Debug)]
pub struct Conv2dGradWeightF32 {
    /// Shape of `x`.
    pub x: [usize; 4],
    /// Shape of `dw`.
    pub w: [usize; 4],
    /// Geometry.
    pub conv: Conv,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    h: u32,
    w: u32,
    c: u32,
    group_c: u32,
    oh: u32,
    ow: u32,
    o: u32,
    group_o: u32,
    strips_per_image: u32,
    strips: u32,
    o_tiles: u32,
    c_tiles: u32,
    workgroups: u32,
}

/// What one workgroup owns, and how it walks: see the shader.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    run: usize,
    channels: usize,
    taps_h: usize,
    kept: usize,
    warm: usize,
    eights: usize,
    workgroups: usize,
}

/// Multiply-adds that one step of the walk writes out at most.
const UNROLLED: usize = 384;

impl Walk {
    fn new(geometry: &Geometry, run: usize, channels: usize, taps_h: usize) -> Self {
        let Geometry { w, conv, .. } = *geometry;
        let keeps = conv.dilation == 1 && conv.stride < taps_h;
        let kept = if keeps { taps_h - conv.stride } else { 0 };
        let group_o = w[0] / conv.groups;
        let o_tiles = conv.groups * group_o.div_ceil(8);
        Self {
            run,
            channels,
            taps_h,
            kept,
            warm: kept.div_ceil(conv.stride),
            eights: (window(run, w[2], &conv).span * channels).div_ceil(8),
            workgroups: o_tiles * w[3].div_ceil(channels) * w[1].div_ceil(taps_h),
        }
    }

    fn multiply_adds(&self, kernel_w: usize) -> usize {
        self.run * self.taps_h * kernel_w * self.channels
    }

    /// Relative time: rounds of workgroups, the steps of one, loads (dear) and multiply-adds of a step.
    fn time(&self, geometry: &Geometry, tiling: &Tiling) -> usize {
        let [n, out_h, out_w, _] = geometry.y;
        let steps = n * out_w.div_ceil(self.run) * (out_h + self.warm);
        let loads = self.run + (self.taps_h - self.kept) * self.eights;
        let step = 64 * loads + self.multiply_adds(geometry.w[2]);
        self.workgroups.div_ceil(tiling.busy) * steps * step
    }

    fn best(geometry: &Geometry, tiling: &Tiling) -> Self {
        let [_, kernel_h, kernel_w, group_c] = geometry.w;
        let mut best = Self::new(geometry, 1, 1, 1);
        for taps_h in 1..=kernel_h {
            for channels in 1..=group_c.min(8) {
                for run in 1..=geometry.y[2].min(16) {
                    let walk = Self::new(geometry, run, channels, taps_h);
                    let fits = walk.multiply_adds(kernel_w) <= UNROLLED
                        && walk.multiply_adds(kernel_w) / run <= tiling.accumulators
                        && 8 * walk.eights * taps_h <= 2 * tiling.accumulators;
                    if fits && walk.time(geometry, tiling) < best.time(geometry, tiling) {
                        best = walk;
                    }
                }
            }
        }
        best
    }
}

impl Kernel for Conv2dGradWeightF32 {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, output_or_empty(self.x, self.w, self.conv)),
            Binding::read("x", DType::F32, self.x),
            Binding::write("dw", DType::F32, self.w),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let geometry = self.geometry()?;
        let tiling = tiling(caps);
        let walk = Walk::best(&geometry, &tiling);
        let conv = self.conv;
        let [n, h, w, c] = geometry.x.map(|size| size as u32);
        let [_, oh, ow, o] = geometry.y.map(|size| size as u32);
        let [_, kernel_h, kernel_w, group_c] = geometry.w.map(|size| size as u32);
        let group_o = o / conv.groups as u32;
        let strips_per_image = ow.div_ceil(walk.run as u32);
        let params = Params {
            h,
            w,
            c,
            group_c,
            oh,
            ow,
            o,
            group_o,
            strips_per_image,
            strips: n * strips_per_image,
            o_tiles: group_o.div_ceil(8),
            c_tiles: group_c.div_ceil(walk.channels as u32),
            workgroups: walk.workgroups as u32,
        };
        let window = window(walk.run, self.w[2], &conv);
        let spec = Spec::new()
            .with("WORKGROUP", tiling.workgroup.max(32) as u32)
            .with("RUN", walk.run as u32)
            .with("CHANNELS", walk.channels as u32)
            .with("TAPS_H", walk.taps_h as u32)
            .with("KH", kernel_h)
            .with("KW", kernel_w)
            .with("STRIDE", conv.stride as u32)
            .with("PADDING", Const::I32(conv.padding as i32))
            .with("DILATION", conv.dilation as u32)
            .with("KEPT", walk.kept as u32)
            .with("LOADED", (walk.taps_h - walk.kept) as u32)
            .with("WARM", walk.warm as u32)
            .with("EIGHTS", walk.eights as u32)
            .with("STEP", window.step as u32)
            .with("PIXEL", window.pixel as u32)
            .with("TAP", window.tap as u32);
        Ok(Launch {
            source: shared_source(
                include_str!("../../shaders/conv2d_grad_weight_f32.wgsl"),
                caps,
            ),
            spec,
            params: params_bytes(&params),
            workgroups: grid_1d(walk.workgroups, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dw = self
            .geometry()?
            .grad_weight(&args[0].to_f64(), &args[1].to_f64());
        args[2].store_f64(&dw)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let geometry = self.geometry()?;
        let [dy, x] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = geometry.grad_weight(&dy, &x);
        let size = geometry.grad_weight(&magnitudes(&dy), &magnitudes(&x));
        let terms = geometry.y[..3].iter().product();
        let dw = sum_agreement(terms, &size, &values, DType::F32, false);
        Ok(vec![Agreement::Equal, Agreement::Equal, dw])
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2dGradWeightF32 {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }
}

/// The geometries of all float convolutions.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    GEOMETRIES
        .into_iter()
        .map(|(x, w, conv)| {
            let conv = conv_of(conv);
            Box::new(Conv2dGradWeightF32 { x, w, conv }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[1, 1, 2, 1], &[1.0, 2.0]).expect("fits"),
            Tensor::from_f32(&[1, 1, 5, 1], &[1.0, 2.0, 3.0, 4.0, 5.0]).expect("fits"),
            Tensor::zeros(&[1, 1, 3, 1], DType::F32),
        ];
        let kernel = Conv2dGradWeightF32 {
            x: [1, 1, 5, 1],
            w: [1, 1, 3, 1],
            conv: conv_of([2, 0, 1, 1]),
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [7.0, 10.0, 13.0]);
    }
}
