//! `y[m, n] = relu?(Σ_k x[m, k]·w[n, k] + bias[n])`
//!
//! f32 storage and accumulation. `x` is `[m, k]`, `w` is `[n, k]`, `y` is `[m, n]`.

use rayon::prelude::*;

use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `y[m, n] = relu?(Σ_k x[m, k]·w[n, k] + bias[n])`. Bindings: `x`, `w`, `bias`, `y`.
#[derive(Clone, Debug)]
pub struct MatmulF32 {
    /// Rows of the batch.
    pub m: usize,
    /// Outputs of the layer.
    pub n: usize,
    /// Inputs of the layer.
    pub k: usize,
    /// Fuse `max(0, ·)`.
    pub relu: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles: u32,
}

impl MatmulF32 {
    /// Exact values, and `γ·Σ|a||b|` of each.
    fn exact(&self, args: &[Tensor]) -> (Vec<f64>, Vec<f64>) {
        let (a, b) = (args[0].to_f64(), args[1].to_f64());
        let bias = args[2].to_f64();
        let rounding = gamma(self.k + 1);
        (0..self.m * self.n)
            .into_par_iter()
            .map(|i| {
                let (r, c) = (i / self.n, i % self.n);
                let terms = (0..self.k).map(|t| a[r * self.k + t] * b[c * self.k + t]);
                let (mut sum, mut size) =
                    terms.fold((0.0, 0.0), |(s, z), x: f64| (s + x, z + x.abs()));
                sum += bias[c];
                size += bias[c].abs();
                if self.relu {
                    sum = f64::max(sum, 0.0);
                }
                (sum, rounding * size + ulp_f32(sum))
            })
            .unzip()
    }
}

impl Kernel for MatmulF32 {
    fn name(&self) -> &'static str {
        "matmul_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.m, self.k]),
            Binding::read("w", DType::F32, [self.n, self.k]),
            Binding::read("bias", DType::F32, [self.n]),
            Binding::write("y", DType::F32, [self.m, self.n]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let tiles = self.n.div_ceil(4);
        let params = Params {
            m: self.m as u32,
            n: self.n as u32,
            k: self.k as u32,
            tiles: tiles as u32,
        };
        Ok(Launch {
            source: include_str!("../../shaders/matmul_f32.wgsl").into(),
            spec: Spec::new().with("RELU", self.relu),
            params: params_bytes(&params),
            workgroups: grid_1d(self.m.div_ceil(4) * tiles, 64, caps),
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
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

/// One, primes, tails.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 1), (7, 5, 13), (33, 10, 84), (4, 17, 64)]
        .into_iter()
        .map(|(m, n, k)| {
            Box::new(MatmulF32 {
                m,
                n,
                k,
                relu: m % 2 == 1,
            }) as Box<dyn Kernel>
        })
        .collect()
}
