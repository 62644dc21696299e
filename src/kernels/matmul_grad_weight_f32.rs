//! `dw[n, k] = Σ_m dy[m, n] · x[m, k]`
//!
//! f32 throughout; the order of the sum is the device's.

use super::matmul_f32::launch_product;
use super::reference::{magnitudes, products, sum_agreement};
use super::{Agreement, Binding, Caps, Kernel, Launch};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Gradient of a linear layer by its weight. Bindings: `dy[m, n]`, `x[m, k]`, `dw[n, k]`.
#[derive(Clone, Debug)]
pub struct MatmulGradWeightF32 {
    /// Rows of `x` and `dy`.
    pub m: usize,
    /// Rows of `w`, columns of `dy`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
}

impl Kernel for MatmulGradWeightF32 {
    fn name(&self) -> &'static str {
        "matmul_grad_weight_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, [self.m, self.n]),
            Binding::read("x", DType::F32, [self.m, self.k]),
            Binding::write("dw", DType::F32, [self.n, self.k]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let text = include_str!("../../shaders/matmul_grad_weight_f32.wgsl");
        Ok(launch_product(text, [self.n, self.k, self.m], caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dw = self.product(&args[0].to_f64(), &args[1].to_f64());
        args[2].store_f64(&dw)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [dy, x] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = self.product(&dy, &x);
        let size = self.product(&magnitudes(&dy), &magnitudes(&x));
        let dw = sum_agreement(self.m, &size, &values, DType::F32, false);
        Ok(vec![Agreement::Equal, Agreement::Equal, dw])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

impl MatmulGradWeightF32 {
    fn product(&self, dy: &[f64], x: &[f64]) -> Vec<f64> {
        let (n, k) = (self.n, self.k);
        products((n, k, self.m), |i, r| dy[r * n + i], |j, r| x[r * k + j])
    }
}

/// Sizes that hurt: one, primes, tails of both tiles, a long sum.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 1), (13, 7, 11), (65, 3, 17), (500, 10, 5)]
        .into_iter()
        .map(|(m, n, k)| Box::new(MatmulGradWeightF32 { m, n, k }) as Box<dyn Kernel>)
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
        MatmulGradWeightF32 { m: 2, n: 2, k: 1 }
            .cpu(&mut args)
            .expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [5.0, 6.0]);
    }
}
