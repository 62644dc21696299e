//! `dx[n, h, w, c] = dy[n, c] / (h · w)`
//!
//! `dy`: f32 `[n, c]`, `dx`: f32 `[n, h, w, c]`. A multiplication by a host-computed `1 / (h · w)`.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f32,
};
use crate::base::{DType, Tensor, num_elements};
use crate::error::Result;

/// Gradient of [`super::global_avg_pool_f32::GlobalAvgPoolF32`]. Bindings: `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct GlobalAvgPoolGradF32 {
    /// Shape of `dx`: `[n, h, w, c]`.
    pub x: [usize; 4],
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    inv_pixels: f32,
}

impl Kernel for GlobalAvgPoolGradF32 {
    fn name(&self) -> &'static str {
        "global_avg_pool_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let [n, _, _, c] = self.x;
        vec![
            Binding::read("dy", DType::F32, [n, c]),
            Binding::write("dx", DType::F32, self.x),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let [_, h, w, c] = self.x;
        let len = num_elements(&self.x);
        let params = params_bytes(&Params {
            len: len as u32,
            inv_pixels: (1.0 / (h * w) as f64) as f32,
        });
        let spec = Spec::new()
            .with("PIXELS", (h * w) as u32)
            .with("CHANNELS", c as u32);
        let source = include_str!("../../shaders/global_avg_pool_grad_f32.wgsl");
        Ok(elementwise::launch(source, spec, params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.shares(args);
        store(&mut args[1], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal, within_f32(&self.shares(args))])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl GlobalAvgPoolGradF32 {
    fn shares(&self, args: &[Tensor]) -> Vec<Approx> {
        let [n, h, w, c] = self.x;
        let dy = Approx::elements(&args[0]);
        let inv_pixels = Approx::rounded(1.0 / (h * w) as f64);
        let share = |i: usize| dy[i / (h * w * c) * c + i % c] * inv_pixels;
        (0..n * h * w * c).map(share).collect()
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
    .map(|x| Box::new(GlobalAvgPoolGradF32 { x }) as Box<dyn Kernel>)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[1, 2], &[4.0, -2.0]).expect("fits"),
            Tensor::zeros(&[1, 1, 2, 2], DType::F32),
        ];
        let kernel = GlobalAvgPoolGradF32 { x: [1, 1, 2, 2] };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[1].to_f32(), [2.0, -1.0, 2.0, -1.0]);
    }
}
