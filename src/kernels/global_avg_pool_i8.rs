//! ```text
//! acc[n, c] = Σ_h,w x[n, h, w, c] − h·w · x_zero_point                  int32
//! y[n, c]   = clamp(requant(acc[n, c], multiplier) + zero_point, qmin, qmax)
//! ```
//!
//! `x`: i8 `[n, h, w, c]`, `y`: i8 `[n, c]`. The multiplier stands for `M = s_x / (s_y · h · w)`: the division by
//! the number of pixels is part of it.

use super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, grid_1d, out_i8, params_bytes};
use crate::base::{DType, Tensor, num_elements};
use crate::error::Result;

/// The mean over the image. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct GlobalAvgPoolI8 {
    /// `[n, h, w, c]`
    pub x: [usize; 4],
    /// The integer of `x` that stands for 0.
    pub x_zero_point: i32,
    /// [`OutI8::multiplier`] of `s_x / (s_y · h · w)`.
    pub multiplier: [u32; 2],
    /// How an accumulator becomes an output.
    pub out: OutI8,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    pixels: u32,
    channels: u32,
    c_words: u32,
    x_zero_point: i32,
    multiplier: u32,
    shift: u32,
    zero_point: i32,
    qmin: i32,
    qmax: i32,
}

impl Kernel for GlobalAvgPoolI8 {
    fn name(&self) -> &'static str {
        "global_avg_pool_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        let [n, _, _, c] = self.x;
        vec![
            Binding::read("x", DType::I8, self.x),
            Binding::write("y", DType::I8, [n, c]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let [n, h, w, c] = self.x;
        let c_words = c.div_ceil(4);
        Ok(Launch {
            source: include_str!("../../shaders/global_avg_pool_i8.wgsl").into(),
            spec: self.out.spec(),
            params: params_bytes(&Params {
                words: (n * c_words) as u32,
                pixels: (h * w) as u32,
                channels: c as u32,
                c_words: c_words as u32,
                x_zero_point: self.x_zero_point,
                multiplier: self.multiplier[0],
                shift: self.multiplier[1],
                zero_point: self.out.zero_point,
                qmin: self.out.range.qmin,
                qmax: self.out.range.qmax,
            }),
            workgroups: grid_1d(n * c_words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = self.accumulate(args)?;
        self.out.store(&acc, &self.multiplier, &mut args[1])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let acc = self.accumulate(args)?;
        Ok(vec![
            Agreement::Equal,
            self.out.agreement(&acc, &self.multiplier),
        ])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl GlobalAvgPoolI8 {
    fn accumulate(&self, args: &[Tensor]) -> Result<Vec<i32>> {
        let [n, h, w, c] = self.x;
        let x = args[0].to_i8()?;
        let mut acc = vec![0i32; n * c];
        for (i, &q) in x.iter().enumerate() {
            acc[i / (h * w * c) * c + i % c] += i32::from(q) - self.x_zero_point;
        }
        Ok(acc)
    }
}

/// Shapes that hurt: one, odd channels, many pixels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes = [[1, 1, 1, 1], [2, 7, 7, 512], [3, 5, 3, 13], [1, 31, 17, 6]];
    let kernels = shapes.into_iter().flat_map(|x| {
        out_i8::sample_outs().map(|out| GlobalAvgPoolI8 {
            x,
            x_zero_point: -3,
            multiplier: out.multiplier(7.7 / (x[1] * x[2]) as f64),
            out,
        })
    });
    kernels
        .map(|kernel| Box::new(kernel) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Range, Requant};

    #[test]
    fn by_hand() {
        let out = OutI8 {
            requant: Requant::Fixed,
            zero_point: -10,
            range: Range::affine(8),
        };
        let kernel = GlobalAvgPoolI8 {
            x: [1, 2, 2, 2],
            x_zero_point: 2,
            multiplier: out.multiplier(0.5 / 4.0),
            out,
        };
        let mut args = [
            Tensor::from_i8(&[1, 2, 2, 2], &[2, 1, 4, 2, 6, 3, 28, -30]).expect("fits"),
            Tensor::zeros(&[1, 2], DType::I8),
        ];
        kernel.cpu(&mut args).expect("i8");
        // Sums of real steps 32 and −32, of which an eighth.
        assert_eq!(args[1].to_i8().expect("i8"), [-6, -14]);
    }
}
