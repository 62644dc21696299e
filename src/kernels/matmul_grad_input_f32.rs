//! `dx[m, k] = Σ_n dy[m, n] · w[n, k]`
//!
//! f32 throughout; the order of the sum is the device's.

use super::matmul_f32::launch_product;
use super::reference::{magnitudes, products, sum_agreement};
use super::{Agreement, Binding, Caps, Kernel, Launch};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Gradient of a linear layer by its input. Bindings: `dy[m, n]`, `w[n, k]`, `dx[m, k]`.
#[derive(Clone, Debug)]
pub struct MatmulGradInputF32 {
    /// Rows of `x` and `dy`.
    pub m: usize,
    /// Rows of `w`, columns of `dy`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
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
        let text = include_str!("../../shaders/matmul_grad_input_f32.wgsl");
        Ok(launch_product(text, [self.m, self.k, self.n], caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.product(&args[0].to_f64(), &args[1].to_f64());
        args[2].store_f64(&dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [dy, w] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = self.product(&dy, &w);
        let size = self.product(&magnitudes(&dy), &magnitudes(&w));
        let dx = sum_agreement(self.n, &size, &values, DType::F32, false);
        Ok(vec![Agreement::Equal, Agreement::Equal, dx])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

impl MatmulGradInputF32 {
    fn product(&self, dy: &[f64], w: &[f64]) -> Vec<f64> {
        let (n, k) = (self.n, self.k);
        products((self.m, k, n), |i, r| dy[i * n + r], |j, r| w[r * k + j])
    }
}

/// Sizes that hurt: one, primes, tails of both tiles, a long sum.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 1), (13, 7, 11), (65, 3, 17), (5, 500, 10)]
        .into_iter()
        .map(|(m, n, k)| Box::new(MatmulGradInputF32 { m, n, k }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2, 2], &[1.0, -2.0, 0.5, 3.0]).expect("fits"),
            Tensor::from_f32(&[2, 1], &[3.0, 4.0]).expect("fits"),
            Tensor::zeros(&[2, 1], DType::F32),
        ];
        MatmulGradInputF32 { m: 2, n: 2, k: 1 }
            .cpu(&mut args)
            .expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [-5.0, 13.5]);
    }
}
