//! `y[n, c] = 1 / (h · w) · Σ x[n, h, w, c]`
//!
//! `x`: f16 `[n, h, w, c]`, packed, `y`: f16 `[n, c]`, packed. Summed in f32, multiplied by a host-computed `1 / (h · w)`.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, store,
    within_f16,
};
use crate::base::{DType, Tensor, num_elements};
use crate::error::Result;

/// The mean of each channel of each image. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct GlobalAvgPoolF16 {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    pixels: u32,
    channel_words: u32,
    inv_pixels: f32,
}

impl Kernel for GlobalAvgPoolF16 {
    fn name(&self) -> &'static str {
        "global_avg_pool_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        let [n, _, _, c] = self.x;
        vec![
            Binding::read("x", DType::F16, self.x),
            Binding::write("y", DType::F16, [n, c]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let [n, h, w, c] = self.x;
        let channel_words = c.div_ceil(2);
        Ok(Launch {
            source: include_str!("../../shaders/global_avg_pool_f16.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&Params {
                words: (n * channel_words) as u32,
                pixels: (h * w) as u32,
                channel_words: channel_words as u32,
                inv_pixels: (1.0 / (h * w) as f64) as f32,
            }),
            workgroups: grid_1d(n * channel_words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.means(args);
        store(&mut args[1], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal, within_f16(&self.means(args))])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl GlobalAvgPoolF16 {
    fn means(&self, args: &[Tensor]) -> Vec<Approx> {
        let [n, h, w, c] = self.x;
        let x = Approx::elements(&args[0]);
        let inv_pixels = Approx::rounded(1.0 / (h * w) as f64);
        let mean = |i: usize| {
            let (image, channel) = (i / c, i % c);
            let pixels = image * h * w..(image + 1) * h * w;
            Approx::sum(pixels.map(|pixel| x[pixel * c + channel])) * inv_pixels
        };
        (0..n * c).map(mean).collect()
    }
}

/// One pixel, primes, odd channels, more channels than a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [
        [1, 1, 1, 1],
        [2, 7, 7, 5],
        [3, 5, 3, 65],
        [1, 13, 11, 2],
        [5, 2, 2, 130],
    ]
    .into_iter()
    .map(|x| Box::new(GlobalAvgPoolF16 { x }) as Box<dyn Kernel>)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let x = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 6.0, 60.0];
        let mut args = [
            Tensor::from_f32_as_f16(&[1, 2, 2, 2], &x).expect("fits"),
            Tensor::zeros(&[1, 2], DType::F16),
        ];
        GlobalAvgPoolF16 { x: [1, 2, 2, 2] }
            .cpu(&mut args)
            .expect("f16");
        assert_eq!(args[1].to_f32(), [3.0, 30.0]);
    }
}
