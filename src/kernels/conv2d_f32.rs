//! `y[n, i, j, o] = relu?(bias[o] + Σ x[n, i·s + ky·d − p, j·s + kx·d − p, c]·w[o, ky, kx, c])`
//!
//! f32, NHWC images, OHWI weights; stride s, dilation d, padding p, groups.

use rayon::prelude::*;

use super::{
    Agreement, Binding, Caps, Conv, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `y[n, i, j, o] = relu?(bias[o] + Σ x[n, i·s + ky·d − p, j·s + kx·d − p, c]·w[o, ky, kx, c])`. Bindings: `x`, `w`, `bias`, `y`.
#[derive(Clone, Debug)]
pub struct Conv2dF32 {
    /// `[n, h, w, c]` of `x`.
    pub x: [usize; 4],
    /// `[o, kh, kw, c / groups]` of `w`.
    pub w: [usize; 4],
    /// Stride, padding, dilation, groups.
    pub conv: Conv,
    /// Fuse `max(0, ·)`.
    pub relu: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    sizes: [u32; 8],
}

impl Conv2dF32 {
    /// `[n, oh, ow, o]`; the graph has checked that the shapes fit.
    fn y(&self) -> [usize; 4] {
        self.conv.output_shape(self.x, self.w).unwrap_or([0; 4])
    }

    /// Exact values, and `γ·Σ|x||w|` of each.
    fn exact(&self, args: &[Tensor]) -> (Vec<f64>, Vec<f64>) {
        let (x, w, bias) = (args[0].to_f64(), args[1].to_f64(), args[2].to_f64());
        let [n, oh, ow, o] = self.y();
        let [_, kh, kw, cg] = self.w;
        let rounding = gamma(kh * kw * cg + 1);
        (0..n * oh * ow * o)
            .into_par_iter()
            .map(|at| {
                let (ch, j, i, image) = (at % o, at / o % ow, at / o / ow % oh, at / o / ow / oh);
                let (mut sum, mut size) = (bias[ch], bias[ch].abs());
                for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                    let Some(pixel) = self.conv.tap(self.x, [i, j], [ky, kx]) else {
                        continue;
                    };
                    let first = (image * self.x[1] * self.x[2] + pixel) * self.x[3]
                        + ch / (o / self.conv.groups) * cg;
                    for c in 0..cg {
                        let term = x[first + c] * w[((ch * kh + ky) * kw + kx) * cg + c];
                        sum += term;
                        size += term.abs();
                    }
                }
                let value = if self.relu { sum.max(0.0) } else { sum };
                (value, rounding * size + ulp_f32(value))
            })
            .unzip()
    }
}

impl Kernel for Conv2dF32 {
    fn name(&self) -> &'static str {
        "conv2d_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.x),
            Binding::read("w", DType::F32, self.w),
            Binding::read("bias", DType::F32, [self.w[0]]),
            Binding::write("y", DType::F32, self.y()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let [n, oh, ow, o] = self.conv.output_shape(self.x, self.w)?;
        let [_, h, w, c] = self.x;
        let [_, kh, kw, cg] = self.w;
        let og = o / self.conv.groups;
        let sizes = [n, h, w, c, oh, ow, o, og].map(|size| size as u32);
        let spec = [
            ("KH", kh),
            ("KW", kw),
            ("CG", cg),
            ("STRIDE", self.conv.stride),
        ]
        .into_iter()
        .chain([
            ("PADDING", self.conv.padding),
            ("DILATION", self.conv.dilation),
        ])
        .fold(Spec::new(), |spec, (name, value)| {
            spec.with(name, value as u32)
        });
        Ok(Launch {
            source: include_str!("../../shaders/conv2d_f32.wgsl").into(),
            spec: spec.with("RELU", self.relu),
            params: params_bytes(&Params { sizes }),
            workgroups: grid_1d(n * oh * ow * og.div_ceil(4) * self.conv.groups, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (values, _) = self.exact(args);
        args[3].store_f64(&values)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 3];
        out.push(Agreement::Within(self.exact(args).1));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        let [n, oh, ow, _] = self.y();
        2.0 * (n * oh * ow) as f64 * self.w.iter().product::<usize>() as f64
    }
}

/// Odd channels, stride, padding, dilation, groups, depthwise, one pixel.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let conv = |stride, padding, dilation, groups| Conv {
        stride,
        padding,
        dilation,
        groups,
    };
    let cases = [
        ([1, 1, 1, 1], [1, 1, 1, 1], conv(1, 0, 1, 1)),
        ([2, 7, 5, 3], [5, 3, 3, 3], conv(1, 1, 1, 1)),
        ([2, 9, 8, 1], [6, 5, 5, 1], conv(1, 2, 1, 1)),
        ([1, 11, 11, 4], [6, 3, 3, 2], conv(2, 1, 1, 2)),
        ([1, 9, 9, 5], [5, 3, 3, 1], conv(1, 2, 2, 5)),
        ([3, 10, 10, 6], [16, 5, 5, 6], conv(3, 2, 1, 1)),
    ];
    let make = |(i, (x, w, conv)): (usize, _)| {
        let _ = i;
        Box::new(Conv2dF32 {
            x,
            w,
            conv,
            relu: i % 2 == 1,
        }) as Box<dyn Kernel>
    };
    cases.into_iter().enumerate().map(make).collect()
}
