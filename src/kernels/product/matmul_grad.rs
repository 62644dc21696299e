//! ```text
//! dx[m, k] = Σ_n dy[m, n] · w[n, k]        by the input
//! dw[n, k] = Σ_m dy[m, n] · x[m, k]        by the weights
//! ```
//!
//! f32 throughout; the order of the sum is the device's.

use super::matmul::{check_sizes, gemm, sizes_alone};
use super::reference::{float_agreement, magnitudes, products};
use super::{Agreement, Binding, Caps, Float, Kernel, Launch, Spec};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// What a gradient is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The input: `dx`.
    Input,
    /// The weights: `dw`.
    Weight,
}

/// Gradient of a linear layer. Bindings: `dy[m, n]`, `w[n, k]`, `dx[m, k]`, or `dy[m, n]`, `x[m, k]`, `dw[n, k]`.
#[derive(Clone, Debug)]
pub struct MatmulGrad {
    /// Rows of `x` and `dy`.
    pub m: usize,
    /// Rows of `w`, columns of `dy`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// Which of the two.
    pub by: By,
}

impl Kernel for MatmulGrad {
    fn name(&self) -> &'static str {
        match self.by {
            By::Input => "matmul_grad_input_f32",
            By::Weight => "matmul_grad_weight_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let (x, w) = ([self.m, self.k], [self.n, self.k]);
        let ((other, given), (grad, result)) = match self.by {
            By::Input => (("w", w), ("dx", x)),
            By::Weight => (("x", x), ("dw", w)),
        };
        vec![
            Binding::read("dy", DType::F32, [self.m, self.n]),
            Binding::read(other, DType::F32, given),
            Binding::write(grad, DType::F32, result),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_sizes(self.name(), [self.m, self.n, self.k])?;
        let (program, sizes) = match self.by {
            By::Input => (
                include_str!("../../../shaders/product/matmul_grad_input.wgsl"),
                [self.m, self.k, self.n],
            ),
            By::Weight => (
                include_str!("../../../shaders/product/matmul_grad_weight.wgsl"),
                [self.n, self.k, self.m],
            ),
        };
        Ok(gemm(program, (Spec::new(), sizes_alone), sizes, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let grad = self.sums(&args[0].to_f64(), &args[1].to_f64());
        args[2].store_f64(&grad)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [dy, other] = [&args[0], &args[1]].map(Tensor::to_f64);
        let values = self.sums(&dy, &other);
        let size = self.sums(&magnitudes(&dy), &magnitudes(&other));
        let terms = match self.by {
            By::Input => self.n,
            By::Weight => self.m,
        };
        let grad = float_agreement((Float::F32, None), terms, &size, &values);
        Ok(vec![Agreement::Equal, Agreement::Equal, grad])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

impl MatmulGrad {
    fn sums(&self, dy: &[f64], other: &[f64]) -> Vec<f64> {
        let (m, n, k) = (self.m, self.n, self.k);
        let right = |j: usize, r: usize| other[r * k + j];
        match self.by {
            By::Input => products((m, k, n), |i, r| dy[i * n + r], right),
            By::Weight => products((n, k, m), |i, r| dy[r * n + i], right),
        }
    }
}

/// Sizes that hurt: one, primes, tails of both tiles, a long sum.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let sizes = [(1, 1, 1), (13, 7, 11), (65, 3, 17), (5, 500, 10)];
    let kernels = [By::Input, By::Weight].into_iter().flat_map(|by| {
        sizes.map(|(m, n, k)| Box::new(MatmulGrad { m, n, k, by }) as Box<dyn Kernel>)
    });
    kernels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let tensor =
            |shape: [usize; 2], data: &[f32]| Tensor::from_f32(&shape, data).expect("fits");
        for (by, result) in [(By::Input, [-5.0, 13.5]), (By::Weight, [5.0, 6.0])] {
            let mut args = [
                tensor([2, 2], &[1.0, -2.0, 0.5, 3.0]),
                tensor([2, 1], &[3.0, 4.0]),
                tensor([2, 1], &[0.0; 2]),
            ];
            let kernel = MatmulGrad {
                m: 2,
                n: 2,
                k: 1,
                by,
            };
            kernel.cpu(&mut args).expect("f32");
            assert_eq!(args[2].as_f32().expect("f32"), result);
        }
    }
}
