//! `dx[m, k] = Σ_n dy[m, n]·w[n, k]`
//!
//! f32 storage and accumulation. `dy` is `[m, n]`, `w` is `[n, k]`, `dx` is `[m, k]`.

use rayon::prelude::*;

use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `dx[m, k] = Σ_n dy[m, n]·w[n, k]`. Bindings: `dy`, `w`, `dx`.
#[derive(Clone, Debug)]
pub struct MatmulGradInputF32 {
    /// Rows of the batch.
    pub m: usize,
    /// Outputs of the layer.
    pub n: usize,
    /// Inputs of the layer.
    pub k: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles: u32,
}

impl MatmulGradInputF32 {
    /// Exact values, and `γ·Σ|a||b|` of each.
    fn exact(&self, args: &[Tensor]) -> (Vec<f64>, Vec<f64>) {
        let (a, b) = (args[0].to_f64(), args[1].to_f64());

        let rounding = gamma(self.n + 1);
        (0..self.m * self.k)
            .into_par_iter()
            .map(|i| {
                let (r, c) = (i / self.k, i % self.k);
                let terms = (0..self.n).map(|t| a[r * self.n + t] * b[t * self.k + c]);
                let (mut sum, mut size) =
                    terms.fold((0.0, 0.0), |(s, z), x: f64| (s + x, z + x.abs()));
                sum += 0.0;
                size += 0.0;
                (sum, rounding * size + ulp_f32(sum))
            })
            .unzip()
    }
}

impl Kernel for MatmulGradInputF32 {
    fn name(&self) -> &'static str {
        "matmul_grad_input_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, [self.m, self.n]),
            Binding::read("w", DType::F32, [self.n, self.k]),
            Binding::write("dx", DType::F32, [self.m, self.k]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let tiles = self.k.div_ceil(4);
        let params = Params {
            m: self.m as u32,
            n: self.n as u32,
            k: self.k as u32,
            tiles: tiles as u32,
        };
        Ok(Launch {
            source: include_str!("../../shaders/matmul_grad_input_f32.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&params),
            workgroups: grid_1d(self.m.div_ceil(4) * tiles, 64, caps),
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
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

/// One, primes, tails.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 1), (7, 5, 13), (33, 10, 84), (4, 17, 64)]
        .into_iter()
        .map(|(m, n, k)| Box::new(MatmulGradInputF32 { m, n, k }) as Box<dyn Kernel>)
        .collect()
}
