//! `dw[part, o, i, j, c] = Σ_{n, oh, ow} dy[n, oh, ow, o] · x[n, oh·s + i·d − p, ow·s + j·d − p, c]`, `n ≡ part`
//! modulo `parts`
//!
//! With groups, `c` counts the channels of the group of `o`. f32 throughout; the order of the sum is
//! fixed for a device, so that results are reproducible there. Small filters over many images would leave most
//! of a device idle: [`parts_for`] cuts the images into parts, whose sums `column_sum_f32` adds up.

use super::conv2d::GEOMETRIES;
use super::reference::{Geometry, float_agreement, magnitudes, output_or_empty};
use super::tile::{Tiling, pairs, tiling, window, with_geometry, with_team};
use super::{
    Agreement, Binding, Caps, Const, Conv, Float, Kernel, Launch, Spec, grid_1d, params_bytes,
};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// Gradient of a convolution by its weights. Bindings: `dy[n, oh, ow, o]`, `x[n, h, w, c]`,
/// `dw[o, kh, kw, c / groups]`, or `dw[parts, o, kh, kw, c / groups]` if there are several.
#[derive(Clone, Debug)]
pub struct Conv2dGradWeight {
    /// Shape of `x`.
    pub x: [usize; 4],
    /// Shape of the weights.
    pub w: [usize; 4],
    /// Geometry.
    pub conv: Conv,
    /// Parts of the sum, at most as many as images.
    pub parts: usize,
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
    n: u32,
    strips_per_image: u32,
    o_tiles: u32,
    c_tiles: u32,
    tiles: u32,
    parts: u32,
}

/// As many parts as keep a device with these capabilities busy.
pub fn parts_for(x: [usize; 4], w: [usize; 4], caps: &Caps) -> usize {
    let tiles = w[0].div_ceil(8) * w[3].div_ceil(8);
    (4 * tiling(caps).busy)
        .div_ceil(tiles.max(1))
        .clamp(1, x[0].clamp(1, 64))
}

/// What one workgroup owns, and how it walks: see the shader.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    lanes: usize,
    run: usize,
    channels: usize,
    taps_h: usize,
    /// Words that one load of `x` and of `dy` brings.
    halves: [usize; 2],
    kept: usize,
    warm: usize,
    loads: usize,
    o_tiles: usize,
    tiles: usize,
}

/// Multiply-adds that one step of the walk writes out at most.
const UNROLLED: usize = 640;

impl Walk {
    fn new(geometry: &Geometry, int64: bool, run: usize, channels: usize, taps_h: usize) -> Self {
        let Geometry { x, w, conv, .. } = *geometry;
        let [stride_h, stride_w] = conv.stride;
        let keeps = conv.dilation[0] == 1 && stride_h < taps_h;
        let kept = if keeps { taps_h - stride_h } else { 0 };
        let group_o = w[0] / conv.groups;
        let window = window(run, w[2], &conv);
        // Two channels at a time, or two neighbouring pixels of an only channel.
        let channel_pairs = channels.is_multiple_of(2) && w[3].is_multiple_of(2);
        let pixel_pairs = x[3] == 1
            && window.group == 1
            && [x[2], conv.padding[1], run * stride_w]
                .iter()
                .all(|size| size.is_multiple_of(2));
        let pairs = |pairs: bool| if int64 && pairs { 2 } else { 1 };
        let halves = [
            pairs(channel_pairs || pixel_pairs),
            pairs(group_o.is_multiple_of(2)),
        ];
        let lanes = (group_o / halves[1]).next_power_of_two().min(8);
        let o_tiles = conv.groups * group_o.div_ceil(lanes * halves[1]);
        let words = window.span * channels;
        Self {
            lanes,
            run,
            channels,
            taps_h,
            halves,
            kept,
            warm: kept.div_ceil(stride_h),
            loads: words.div_ceil(lanes * halves[0]),
            o_tiles,
            tiles: o_tiles * w[3].div_ceil(channels) * w[1].div_ceil(taps_h),
        }
    }

    /// Sums of a lane.
    fn sums(&self, kernel_w: usize) -> usize {
        self.taps_h * kernel_w * self.channels * self.halves[1]
    }

    /// Relative time: rounds of workgroups, the steps of one, loads (dear) and multiply-adds of a step.
    fn time(&self, geometry: &Geometry, tiling: &Tiling, parts: usize) -> usize {
        let [n, out_h, out_w, _] = geometry.y;
        let steps = n.div_ceil(parts) * out_w.div_ceil(self.run) * (out_h + self.warm) * self.lanes;
        let loads = self.run + (self.taps_h - self.kept) * self.loads;
        let step = 32 * loads + self.run * self.sums(geometry.w[2]);
        (self.tiles * parts).div_ceil(tiling.busy) * steps * step
    }

    fn best(geometry: &Geometry, tiling: &Tiling, parts: usize, int64: bool) -> Self {
        let [_, kernel_h, kernel_w, group_c] = geometry.w;
        let mut best = Self::new(geometry, int64, 1, 1, 1);
        for taps_h in 1..=kernel_h {
            for channels in 1..=group_c.min(8) {
                for run in 1..=geometry.y[2].min(16) {
                    let walk = Self::new(geometry, int64, run, channels, taps_h);
                    let fits = run * walk.sums(kernel_w) <= UNROLLED
                        && walk.sums(kernel_w) <= tiling.accumulators
                        && walk.loads * walk.lanes * walk.halves[0] * taps_h
                            <= 2 * tiling.accumulators;
                    if fits
                        && walk.time(geometry, tiling, parts) < best.time(geometry, tiling, parts)
                    {
                        best = walk;
                    }
                }
            }
        }
        best
    }
}

impl Kernel for Conv2dGradWeight {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, output_or_empty(self.x, self.w, self.conv)),
            Binding::read("x", DType::F32, self.x),
            Binding::write("dw", DType::F32, self.result()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let geometry = self.geometry()?;
        let tiling = tiling(caps);
        let int64 = pairs(caps);
        let walk = Walk::best(&geometry, &tiling, self.parts, int64);
        let conv = self.conv;
        let [n, h, w, c] = geometry.x.map(|size| size as u32);
        let [_, oh, ow, o] = geometry.y.map(|size| size as u32);
        let [_, kernel_h, kernel_w, group_c] = geometry.w.map(|size| size as u32);
        let params = Params {
            h,
            w,
            c,
            group_c,
            oh,
            ow,
            o,
            group_o: o / conv.groups as u32,
            n,
            strips_per_image: ow.div_ceil(walk.run as u32),
            o_tiles: (walk.o_tiles / conv.groups) as u32,
            c_tiles: group_c.div_ceil(walk.channels as u32),
            tiles: walk.tiles as u32,
            parts: self.parts as u32,
        };
        let window = window(walk.run, self.w[2], &conv);
        let mut spec = with_geometry(with_team(Spec::new(), caps), &conv)
            .with("WORKGROUP", tiling.workgroup as u32)
            .with("LANES", walk.lanes as u32)
            .with("RUN", walk.run as u32)
            .with("CHANNELS", walk.channels as u32)
            .with("TAPS_H", walk.taps_h as u32)
            .with("KH", kernel_h)
            .with("KW", kernel_w)
            .with("KEPT", walk.kept as u32)
            .with("LOADED", (walk.taps_h - walk.kept) as u32)
            .with("WARM", walk.warm as u32)
            .with("LOADS", walk.loads as u32)
            .with("GROUP", window.group as u32)
            .with("STEP", window.step as u32)
            .with("PIXEL", window.pixel as u32)
            .with("TAP", window.tap as u32);
        if walk.halves[0] == 2 {
            spec = spec.with("Shared", Const::Type("u64")).with("HALVES", 2);
        }
        if walk.halves[1] == 2 {
            spec = spec.with("Word", Const::Type("u64")).with("DY_HALVES", 2);
        }
        Ok(Launch {
            source: include_str!("../../../shaders/product/conv2d_grad_weight.wgsl").into(),
            spec,
            params: params_bytes(&params),
            workgroups: grid_1d(walk.tiles * self.parts, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dw = self.sums(&args[0].to_f64(), &args[1].to_f64())?;
        args[2].store_f64(&dw)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [dy, x] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = self.sums(&dy, &x)?;
        let size = self.sums(&magnitudes(&dy), &magnitudes(&x))?;
        let [n, out_h, out_w, _] = self.geometry()?.y;
        let terms = n.div_ceil(self.parts) * out_h * out_w;
        let dw = float_agreement((Float::F32, None), terms, &size, &values);
        Ok(vec![Agreement::Equal, Agreement::Equal, dw])
    }

    fn operations(&self) -> f64 {
        self.geometry()
            .map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }
}

impl Conv2dGradWeight {
    fn geometry(&self) -> Result<Geometry> {
        Geometry::new(self.x, self.w, self.conv)
    }

    fn result(&self) -> Shape {
        let parts = if self.parts == 1 {
            None
        } else {
            Some(self.parts)
        };
        parts.into_iter().chain(self.w).collect()
    }

    /// The gradient of every part.
    fn sums(&self, dy: &[f64], x: &[f64]) -> Result<Vec<f64>> {
        let [n, height, width, channels] = self.x;
        let image = Geometry::new([1, height, width, channels], self.w, self.conv)?;
        let (len, own_dy, own_x) = (
            num_elements(&self.w),
            num_elements(&image.y),
            num_elements(&image.x),
        );
        let mut dw = vec![0.0; self.parts * len];
        for i in 0..n {
            let of_image = image.grad_weight(&dy[i * own_dy..][..own_dy], &x[i * own_x..][..own_x]);
            let part = &mut dw[i % self.parts * len..][..len];
            part.iter_mut()
                .zip(of_image)
                .for_each(|(sum, term)| *sum += term);
        }
        Ok(dw)
    }
}

/// The geometries of all float convolutions, and parts that do not divide the images.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    GEOMETRIES
        .into_iter()
        .map(|(x, w, conv)| {
            let parts = x[0].min(3);
            Box::new(Conv2dGradWeight { x, w, conv, parts }) as Box<dyn Kernel>
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
        let kernel = Conv2dGradWeight {
            x: [1, 1, 5, 1],
            w: [1, 1, 3, 1],
            conv: Conv::square(2, 0, 1, 1),
            parts: 1,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [7.0, 10.0, 13.0]);
    }
}
