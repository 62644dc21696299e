//! ```text
//! acc[n, oy, ox, o] = bias[o] + Σ_ky,kx,c x[n, iy, ix, g·cg + c] · w[o, ky, kx, c]       int32, wrapping
//!   iy = oy·stride + ky·dilation − padding, ix likewise; g = o / og
//!   x outside the image is x_zero_point
//! y[n, oy, ox, o]   = clamp(requant(acc, multiplier[o]) + zero_point, qmin, qmax)
//! ```
//!
//! With a residual ([`ResidualI8`]), `residual[n, oy, ox, o]` (i8) joins `acc` by `residual_multiplier[o]` (i32).
//!
//! `x`: i8 `[n, h, w, c]`, `w`: i8 `[o, kh, kw, cg]`, `bias`: i32 `[o]`, `multiplier`: u32 `[o, 2]`
//! ([`OutI8::multipliers`]), `y`: i8 `[n, oh, ow, o]`. A group has `cg = c / groups` channels of `x` and
//! `og = o / groups` of `y`. The caller has put `−x_zero_point · Σ w[o]`, over all taps, into `bias`: hence the
//! padding adds `x_zero_point · w`, which is the real 0. Sums are exact and the same in any order.

use crate::base::parallel::*;

use super::conv2d_f32::{forward, with_residual};
use super::cooperative::with_cooperative_conv;
use super::reference::Geometry;
use super::subgroup;
use super::tile::{shared_source, tiling, vector_registers};
use super::tiled::{Tiled, with_words};
use super::{Agreement, Binding, Caps, Conv, Kernel, Launch, OutI8, ResidualI8, Variant};
use super::{grid_1d, out_i8, params_bytes, random_args};
use crate::base::{DType, Rng, Tensor, num_elements};
use crate::error::Result;

/// `y = out(bias + x ∗ w + residual)`. Bindings: `x`, `w`, `bias`, `multiplier`, `y`; `residual` and
/// `residual_multiplier` if there is one.
#[derive(Clone, Debug)]
pub struct Conv2dI8 {
    /// `[n, h, w, c]`
    pub x: [usize; 4],
    /// `[o, kh, kw, c / groups]`
    pub w: [usize; 4],
    /// How the filter moves.
    pub conv: Conv,
    /// The integer of `x` that stands for 0, −128 ..= 127.
    pub x_zero_point: i32,
    /// How an accumulator becomes an output.
    pub out: OutI8,
    /// What is added to the accumulator.
    pub residual: Option<ResidualI8>,
}

impl Kernel for Conv2dI8 {
    fn name(&self) -> &'static str {
        "conv2d_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        let o = self.w[0];
        let mut bindings = vec![
            Binding::read("x", DType::I8, self.x),
            Binding::read("w", DType::I8, self.w),
            Binding::read("bias", DType::I32, [o]),
            Binding::read("multiplier", DType::U32, [o, 2]),
            Binding::write("y", DType::I8, self.y()),
        ];
        if self.residual.is_some() {
            bindings.push(Binding::read("residual", DType::I8, self.y()));
            bindings.push(Binding::read("residual_multiplier", DType::I32, [o]));
        }
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let shapes = (self.x, self.w, self.conv);
        let variants = subgroup::conv_variants(shapes, caps);
        with_cooperative_conv(variants, DType::I8, shapes, caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let geometry = Geometry::new(self.x, self.w, self.conv)?;
        let [cg, og] = [self.w[3], self.w[0] / self.conv.groups];
        let whole_words = cg.is_multiple_of(4) && og.is_multiple_of(4);
        let odd_groups = self.conv.groups > 1 && !whole_words;
        let mut tiling = tiling(caps);
        let mut source = shared_source(include_str!("../../shaders/conv2d_i8.wgsl"), caps);
        let live = cg.min(4);
        if vector_registers(caps) {
            // Its compiler knows no instruction for four products.
            source = source
                .replace("common/dot_i8.wgsl", "common/subgroup_i8.wgsl")
                .into();
            tiling.unrolled /= live;
        }
        let (spec, mut params, tile) = forward(self.out.spec(), &geometry, &tiling);
        let columns = og.min(8 * tile.blocks);
        let spec = spec
            .with("LIVE", live as u32)
            .with("COLUMNS", columns as u32)
            .with("WORDS", columns.div_ceil(4) as u32)
            .with("ODD_GROUPS", odd_groups)
            .with("DEPTHWISE", cg == 1 && og == 1);
        let mut workgroups = params.workgroups as usize;
        if odd_groups {
            let pixels: usize = geometry.y[..3].iter().product();
            params.runs = pixels as u32;
            workgroups = (pixels.div_ceil(4) * self.w[0].div_ceil(4)).div_ceil(tiling.workgroup);
        }
        let mut more = vec![self.x[3].div_ceil(4) as u32, cg.div_ceil(4) as u32];
        more.extend(self.last_params());
        Ok(Launch {
            source: with_residual(source, self.residual.map(|_| "i8")),
            spec,
            params: with_words(params_bytes(&params), &more),
            workgroups: grid_1d(workgroups, 1, caps),
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/conv2d_i8_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/conv2d_i8_workgroup.wgsl"),
            Variant::Depthwise => include_str!("../../shaders/conv2d_i8_depthwise.wgsl"),
            Variant::Cooperative => include_str!("../../shaders/conv2d_i8_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::I8,
            source: with_residual(source.into(), self.residual.map(|_| "i8")),
            spec: self.out.spec(),
            more: self.last_params(),
        };
        tiled.conv(variant, (self.x, self.w, self.conv), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = self.accumulate(args)?;
        let (inputs, y) = args.split_at_mut(4);
        self.out.store(&acc, inputs[3].as_u32()?, &mut y[0])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut all = vec![Agreement::Equal; args.len()];
        all[4] = self
            .out
            .agreement(&self.accumulate(args)?, args[3].as_u32()?);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        2.0 * (num_elements(&self.y()) * self.taps()) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[3] = self.out.example_multipliers(self.w[0], self.taps(), rng);
        if self.residual.is_some() {
            args[6] = ResidualI8::example_multipliers(self.w[0], self.taps(), rng);
        }
        args
    }
}

impl Conv2dI8 {
    /// The parameters from `n_words` on, which the other variants share.
    fn last_params(&self) -> Vec<u32> {
        let OutI8 {
            zero_point, range, ..
        } = self.out;
        let residual = self.residual.map_or((0, 0), |r| (r.zero_point, r.shift));
        vec![
            self.w[0].div_ceil(4) as u32,
            u32::from_le_bytes([self.x_zero_point as u8; 4]),
            zero_point as u32,
            range.qmin as u32,
            range.qmax as u32,
            residual.0 as u32,
            residual.1,
        ]
    }

    /// Shape of `y`; without elements where the geometry is wrong, which [`Kernel::launch`] reports.
    fn y(&self) -> [usize; 4] {
        self.conv.output_shape(self.x, self.w).unwrap_or([0; 4])
    }

    /// Products of one output.
    fn taps(&self) -> usize {
        num_elements(&self.w[1..])
    }

    fn accumulate(&self, args: &[Tensor]) -> Result<Vec<i32>> {
        let [_, out_height, out_width, o] = self.conv.output_shape(self.x, self.w)?;
        let (x, w, bias) = (args[0].to_i8()?, args[1].to_i8()?, args[2].as_i32()?);
        let [n, height, width, c] = self.x;
        let [_, kernel_h, kernel_w, cg] = self.w;
        let Conv {
            stride,
            padding,
            dilation,
            groups,
        } = self.conv;
        let [top, left, ..] = padding;
        let input = |image: usize, iy: usize, ix: usize, channel: usize| {
            // `iy` and `ix` count from the first row and column of the padding.
            let inside = (top..top + height).contains(&iy) && (left..left + width).contains(&ix);
            if !inside {
                return self.x_zero_point;
            }
            let pixel = (image * height + iy - top) * width + ix - left;
            i32::from(x[pixel * c + channel])
        };
        let pixel = |p: usize| -> Vec<i32> {
            let (image, oy, ox) = (
                p / (out_height * out_width),
                p / out_width % out_height,
                p % out_width,
            );
            let output = |o_at: usize| {
                let mut acc = bias[o_at];
                for ky in 0..kernel_h {
                    for kx in 0..kernel_w {
                        let iy = oy * stride[0] + ky * dilation[0];
                        let ix = ox * stride[1] + kx * dilation[1];
                        let w_at = ((o_at * kernel_h + ky) * kernel_w + kx) * cg;
                        for ci in 0..cg {
                            let channel = o_at / (o / groups) * cg + ci;
                            let product = input(image, iy, ix, channel) * i32::from(w[w_at + ci]);
                            acc = acc.wrapping_add(product);
                        }
                    }
                }
                acc
            };
            (0..o).map(output).collect()
        };
        let pixels = n * out_height * out_width;
        let mut acc: Vec<i32> = (0..pixels).into_par_iter().flat_map_iter(pixel).collect();
        if let Some(residual) = self.residual {
            let (r, m) = (args[5].to_i8()?, args[6].as_i32()?);
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = acc.wrapping_add(residual.apply(r[i].into(), m[i % o]));
            }
        }
        Ok(acc)
    }
}

/// Shapes that hurt: one, odd channels, stride, dilation, every kind of groups; LeNet's two layers.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let conv = Conv::square;
    let cases = [
        ([1, 1, 1, 1], [1, 1, 1, 1], conv(1, 0, 1, 1)),
        ([2, 5, 7, 3], [5, 3, 3, 3], conv(1, 1, 1, 1)),
        ([1, 9, 8, 5], [7, 3, 2, 5], conv(2, 1, 2, 1)),
        ([1, 6, 5, 8], [16, 3, 3, 4], conv(1, 1, 1, 2)),
        ([1, 6, 5, 6], [10, 3, 3, 3], conv(1, 1, 1, 2)),
        ([1, 7, 7, 10], [10, 3, 3, 1], conv(2, 1, 1, 10)),
        ([1, 5, 5, 15], [6, 2, 2, 5], conv(1, 2, 1, 3)),
        ([2, 28, 28, 1], [6, 5, 5, 1], conv(1, 2, 1, 1)),
        ([2, 14, 14, 6], [16, 5, 5, 6], conv(1, 0, 1, 1)),
        ([2, 13, 19, 17], [34, 3, 3, 1], conv(2, 1, 1, 17)),
        ([1, 9, 1, 5], [15, 2, 4, 1], conv(1, 3, 2, 5)),
    ];
    let outs = out_i8::sample_outs();
    cases
        .into_iter()
        .enumerate()
        .map(|(i, (x, w, conv))| {
            let kernel = Conv2dI8 {
                x,
                w,
                conv,
                x_zero_point: [7, -128, 127][i % 3],
                out: outs[(i + 1) % outs.len()],
                residual: (i % 2 == 1).then_some(ResidualI8 {
                    zero_point: [-128, 3][i / 2 % 2],
                    shift: [10, 0][i / 2 % 2],
                }),
            };
            Box::new(kernel) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Range, Requant};

    #[test]
    fn padding_is_real_zero() {
        let out = OutI8 {
            requant: Requant::Fixed,
            zero_point: -1,
            range: Range::affine(8),
        };
        let kernel = Conv2dI8 {
            x: [1, 1, 2, 1],
            w: [1, 1, 3, 1],
            conv: Conv::square(1, 1, 1, 1),
            x_zero_point: 10,
            out,
            residual: None,
        };
        // The height is padded too: three rows of outputs, the outer two see padding alone.
        let mut args = [
            Tensor::from_i8(&[1, 1, 2, 1], &[11, 14]).expect("fits"),
            Tensor::from_i8(&[1, 1, 3, 1], &[1, 2, 3]).expect("fits"),
            Tensor::from_i32(&[1], &[-60]).expect("fits"),
            out.multipliers(&[1.0]),
            Tensor::zeros(&[1, 3, 2, 1], DType::I8),
        ];
        kernel.cpu(&mut args).expect("right types");
        // Real values 1 and 4: 2·1 + 3·4 and 1·1 + 2·4.
        assert_eq!(args[4].to_i8().expect("i8"), [-1, -1, 13, 8, -1, -1]);
    }
}
