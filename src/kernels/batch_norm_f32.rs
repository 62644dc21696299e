//! `y[r, c] = gamma[c] · (x[r, c] − mean[c]) / √(variance[c] + eps) + beta[c]`
//!
//! `x`, `y`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`, running statistics with
//! `variance ≥ 0`. The root is one `inverseSqrt` (2 ULP) per channel and eight rows.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
    store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Batch normalisation with given statistics. Bindings: `x`, `gamma`, `beta`, `mean`, `variance`, `y`.
#[derive(Clone, Debug)]
pub struct BatchNormF32 {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    channels: u32,
    eps: f32,
}

impl Kernel for BatchNormF32 {
    fn name(&self) -> &'static str {
        "batch_norm_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.rows, self.channels]),
            Binding::read("gamma", DType::F32, [self.channels]),
            Binding::read("beta", DType::F32, [self.channels]),
            Binding::read("mean", DType::F32, [self.channels]),
            Binding::read("variance", DType::F32, [self.channels]),
            Binding::write("y", DType::F32, [self.rows, self.channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let items = self.rows.div_ceil(ROWS) * self.channels;
        Ok(Launch {
            source: include_str!("../../shaders/batch_norm_f32.wgsl").into(),
            spec: Spec::new().with("ROWS", ROWS as u32),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                channels: self.channels as u32,
                eps: self.eps,
            }),
            workgroups: grid_1d(items, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.normalised(args);
        store(&mut args[5], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 5];
        out.push(within_f32(&self.normalised(args)));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        3.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args: Vec<Tensor> = bindings.iter().map(|b| random_tensor(b, rng)).collect();
        args[4] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

/// Rows of one invocation, all in one channel, which it prepares once.
const ROWS: usize = 8;

impl BatchNormF32 {
    fn normalised(&self, args: &[Tensor]) -> Vec<Approx> {
        let [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| Approx::elements(&args[i]));
        let normalise = |(i, x): (usize, Approx)| {
            let c = i % self.channels;
            let inv_std = (variance[c] + Approx::exact(self.eps)).inverse_sqrt();
            (x - mean[c]) * (gamma[c] * inv_std) + beta[c]
        };
        x.into_iter().enumerate().map(normalise).collect()
    }
}

/// One row, one channel, primes, tails of rows and channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(rows, channels)| {
        Box::new(BatchNormF32 {
            rows,
            channels,
            eps: 1e-5,
        }) as Box<dyn Kernel>
    };
    [(1, 1), (7, 3), (49, 65), (131, 8), (1031, 2)]
        .into_iter()
        .map(kernel)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let channel = |x| Tensor::from_f32(&[1], &[x]).expect("fits");
        let x = Tensor::from_f32(&[2, 1], &[5.0, 1.0]).expect("fits");
        let [gamma, beta, mean, variance] = [3.0, 10.0, 1.0, 3.0].map(channel);
        let mut args = [x.clone(), gamma, beta, mean, variance, x];
        let kernel = BatchNormF32 {
            rows: 2,
            channels: 1,
            eps: 1.0,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[5].to_f32(), [16.0, 10.0]);
    }
}
