//! `dx[n, r, q, c] = Σ dy[n, i, j, o]·w[o, ky, kx, c]`
//!
//! f32, NHWC images, OHWI weights; stride s, dilation d, padding p, groups.

use rayon::prelude::*;

use super::{
    Agreement, Binding, Caps, Conv, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `dx[n, r, q, c] = Σ dy[n, i, j, o]·w[o, ky, kx, c]`. Bindings: `dy`, `w`, `dx`.
#[derive(Clone, Debug)]
pub struct Conv2dGradInputF32 {
    /// `[n, h, w, c]` of `x`.
    pub x: [usize; 4],
    /// `[o, kh, kw, c / groups]` of `w`.
    pub w: [usize; 4],
    /// Stride, padding, dilation, groups.
    pub conv: Conv,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    sizes: [u32; 8],
}

impl Conv2dGradInputF32 {
    /// `[n, oh, ow, o]`; the graph has checked that the shapes fit.
    fn y(&self) -> [usize; 4] {
        self.conv.output_shape(self.x, self.w).unwrap_or([0; 4])
    }

    /// Exact values, and `γ·Σ|dy||w|` of each.
    fn exact(&self, args: &[Tensor]) -> (Vec<f64>, Vec<f64>) {
        let (dy, w) = (args[0].to_f64(), args[1].to_f64());
        let [n, oh, ow, o] = self.y();
        let [_, kh, kw, cg] = self.w;
        let og = o / self.conv.groups;
        let image_len = self.x[1] * self.x[2] * self.x[3];
        let rounding = gamma(kh * kw * og);
        let images: Vec<(Vec<f64>, Vec<f64>)> = (0..n)
            .into_par_iter()
            .map(|image| {
                let (mut sums, mut sizes) = (vec![0.0; image_len], vec![0.0f64; image_len]);
                for at in 0..oh * ow * o {
                    let (ch, j, i) = (at % o, at / o % ow, at / o / ow);
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let Some(pixel) = self.conv.tap(self.x, [i, j], [ky, kx]) else {
                            continue;
                        };
                        for c in 0..cg {
                            let term = dy[image * oh * ow * o + at]
                                * w[((ch * kh + ky) * kw + kx) * cg + c];
                            sums[pixel * self.x[3] + ch / og * cg + c] += term;
                            sizes[pixel * self.x[3] + ch / og * cg + c] += term.abs();
                        }
                    }
                }
                let bounds = sums
                    .iter()
                    .zip(&sizes)
                    .map(|(sum, size)| rounding * size + ulp_f32(*sum));
                let bounds = bounds.collect();
                (sums, bounds)
            })
            .collect();
        let (sums, bounds): (Vec<_>, Vec<_>) = images.into_iter().unzip();
        (sums.concat(), bounds.concat())
    }
}

impl Kernel for Conv2dGradInputF32 {
    fn name(&self) -> &'static str {
        "conv2d_grad_input_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, self.y()),
            Binding::read("w", DType::F32, self.w),
            Binding::write("dx", DType::F32, self.x),
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
            source: include_str!("../../shaders/conv2d_grad_input_f32.wgsl").into(),
            spec: spec,
            params: params_bytes(&Params { sizes }),
            workgroups: grid_1d(n * h * w * cg.div_ceil(2) * self.conv.groups, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (values, _) = self.exact(args);
        args[2].store_f64(&values)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 2];
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
        Box::new(Conv2dGradInputF32 { x, w, conv }) as Box<dyn Kernel>
    };
    cases.into_iter().enumerate().map(make).collect()
}
