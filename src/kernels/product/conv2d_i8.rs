//! ```text
//! acc[n, oy, ox, o] = bias[o] + Σ_ky,kx,c x[n, iy, ix, g·cg + c] · w[o, ky, kx, c]       int32, wrapping
//!   iy = oy·stride + ky·dilation − padding, ix likewise; g = o / og
//!   x outside the image is x_zero_point
//! y[n, oy, ox, o]   = clamp(requant(acc, multiplier[o]) + zero_point, qmin, qmax), or acc
//! ```
//!
//! With a residual ([`ResidualI8`]), `residual[n, oy, ox, o]` (i8) joins `acc` by `residual_multiplier[o]` (i32).
//!
//! `x`: i8 `[n, h, w, c]`, `w`: i8 `[o, kh, kw, cg]`, `bias`: i32 `[o]`, `multiplier`: u32 `[o, 2]`
//! ([`OutI8::multipliers`]), `y`: i8 `[n, oh, ow, o]`, or i32. A group has `cg = c / groups` channels of `x` and
//! `og = o / groups` of `y`. The caller has put `−x_zero_point · Σ w[o]`, over all taps, into `bias`: hence the
//! padding adds `x_zero_point · w`, which is the real 0. Sums are exact and the same in any order.

use crate::base::parallel::*;

use super::conv2d::GEOMETRIES;
use super::cooperative::with_cooperative_conv;
use super::parts::Parts;
use super::random_args;
use super::reference::{Geometry, int8_agreement, int8_bindings, int8_store, output_or_empty};
use super::subgroup::conv_variants;
use super::{Agreement, Binding, Caps, Conv, Kernel, Launch, OutI8, ResidualI8, Variant};
use crate::base::{DType, Rng, Tensor, num_elements};
use crate::error::Result;
use crate::kernels::out_i8::sample_outs;

/// `y = out(bias + x ∗ w + residual)`. Bindings: `x`, `w`, `bias`, `multiplier` unless the sums are the output, `y`;
/// `residual` and `residual_multiplier` if there is one.
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
    /// How an accumulator becomes an output; without, `y` holds the accumulators.
    pub out: Option<OutI8>,
    /// What is added to the accumulator; only with `out`.
    pub residual: Option<ResidualI8>,
}

impl Kernel for Conv2dI8 {
    fn name(&self) -> &'static str {
        match self.out {
            Some(_) => "conv2d_i8",
            None => "conv2d_i8_i32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let (o, y) = (self.w[0], output_or_empty(self.x, self.w, self.conv));
        let x = Binding::read("x", DType::I8, self.x);
        let w = Binding::read("w", DType::I8, self.w);
        let mut bindings = int8_bindings(x, w, o, y.to_vec(), self.out);
        if self.residual.is_some() {
            bindings.push(Binding::read("residual", DType::I8, y));
            bindings.push(Binding::read("residual_multiplier", DType::I32, [o]));
        }
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let shapes = (self.x, self.w, self.conv);
        with_cooperative_conv(conv_variants(shapes, caps), DType::I8, shapes, caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.launch_as(caps, Variant::Plain)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let end = (self.out, self.residual);
        let parts = Parts::int8(self.name(), self.x_zero_point, end.0, end.1, self.w[0])?;
        parts.conv(variant, (self.x, self.w, self.conv), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = self.accumulate(args)?;
        int8_store(self.out, &acc, args)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        int8_agreement(self.out, &self.accumulate(args)?, args)
    }

    fn operations(&self) -> f64 {
        let geometry = Geometry::new(self.x, self.w, self.conv);
        geometry.map_or(0.0, |geometry| 2.0 * geometry.multiply_adds())
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let (o, taps) = (self.w[0], num_elements(&self.w[1..]));
        if let Some(out) = self.out {
            args[3] = out.example_multipliers(o, taps, rng);
        }
        if self.residual.is_some() {
            args[6] = ResidualI8::example_multipliers(o, taps, rng);
        }
        args
    }
}

impl Conv2dI8 {
    fn accumulate(&self, args: &[Tensor]) -> Result<Vec<i32>> {
        let [_, out_height, out_width, o] = self.conv.output_shape(self.x, self.w)?;
        let (x, w, bias) = (args[0].to_i8()?, args[1].to_i8()?, args[2].as_i32()?);
        let [n, height, width, c] = self.x;
        let [_, kernel_h, kernel_w, cg] = self.w;
        let Conv {
            stride,
            padding: [top, left, ..],
            dilation,
            groups,
        } = self.conv;
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

/// The geometries of all convolutions, and some that only words of four make hard.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let [float, fixed, relu] = sample_outs();
    let outs = [Some(float), Some(fixed), None, Some(relu)];
    let own = [
        ([1, 6, 5, 8], [16, 3, 3, 4], Conv::square(1, 1, 1, 2)),
        ([1, 5, 5, 15], [6, 2, 2, 5], Conv::square(1, 2, 1, 3)),
        ([2, 14, 14, 6], [16, 5, 5, 6], Conv::square(1, 0, 1, 1)),
        ([2, 28, 28, 1], [6, 5, 5, 1], Conv::square(1, 2, 1, 1)),
    ];
    GEOMETRIES
        .into_iter()
        .chain(own)
        .enumerate()
        .map(|(i, (x, w, conv))| {
            let out = outs[i % 4];
            let residual = ResidualI8 {
                zero_point: [-128, 3][i / 4 % 2],
                shift: [10, 0][i / 4 % 2],
            };
            Box::new(Conv2dI8 {
                x,
                w,
                conv,
                x_zero_point: [7, -128, 127][i % 3],
                out,
                residual: (i % 2 == 1 && out.is_some()).then_some(residual),
            }) as Box<dyn Kernel>
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
        let mut kernel = Conv2dI8 {
            x: [1, 1, 2, 1],
            w: [1, 1, 3, 1],
            conv: Conv::square(1, 1, 1, 1),
            x_zero_point: 10,
            out: Some(out),
            residual: None,
        };
        // The height is padded too: three rows of outputs, the outer two see padding alone.
        let mut args = vec![
            Tensor::from_i8(&[1, 1, 2, 1], &[11, 14]).expect("fits"),
            Tensor::from_i8(&[1, 1, 3, 1], &[1, 2, 3]).expect("fits"),
            Tensor::from_i32(&[1], &[-60]).expect("fits"),
            out.multipliers(&[1.0]),
            Tensor::zeros(&[1, 3, 2, 1], DType::I8),
        ];
        kernel.cpu(&mut args).expect("right types");
        // Real values 1 and 4: 2·1 + 3·4 and 1·1 + 2·4.
        assert_eq!(args[4].to_i8().expect("i8"), [-1, -1, 13, 8, -1, -1]);
        kernel.out = None;
        args.remove(3);
        args[3] = Tensor::zeros(&[1, 3, 2, 1], DType::I32);
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(args[3].as_i32().expect("i32"), [0, 0, 14, 9, 0, 0]);
        kernel.residual = Some(ResidualI8 {
            zero_point: 0,
            shift: 0,
        });
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
