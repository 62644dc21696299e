//! Statistics of a batch, and the running ones, as PyTorch's `BatchNorm2d` in training:
//!
//! ```text
//! mean[c]             = 1 / rows · Σ x[r, c]
//! variance            = 1 / rows · Σ (x[r, c] − mean[c])²
//! inv_std[c]          = 1 / √(variance + eps)
//! running_mean[c]     = (1 − momentum) · running_mean[c]     + momentum · mean[c]
//! running_variance[c] = (1 − momentum) · running_variance[c] + momentum · variance · rows / (rows − 1)
//! ```
//!
//! `x`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`. Biased variance to normalise with,
//! unbiased in the running one (with a single row, for which PyTorch refuses, the variance is 0). Two
//! passes over `x`: the mean is subtracted before squaring.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
    store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Mean and inverse standard deviation of every channel. Bindings: `x`, `running_mean` (updated),
/// `running_variance` (updated), `mean`, `inv_std`.
#[derive(Clone, Debug)]
pub struct BatchNormStatsF32 {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Share of the batch in the running statistics.
    pub momentum: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    channels: u32,
    inv_rows: f32,
    inv_rows_less_one: f32,
    keep: f32,
    momentum: f32,
    eps: f32,
}

impl Kernel for BatchNormStatsF32 {
    fn name(&self) -> &'static str {
        "batch_norm_stats_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.rows, self.channels]),
            Binding::update("running_mean", DType::F32, [self.channels]),
            Binding::update("running_variance", DType::F32, [self.channels]),
            Binding::write("mean", DType::F32, [self.channels]),
            Binding::write("inv_std", DType::F32, [self.channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let groups = grid_1d(self.channels, CHANNELS, caps);
        Ok(Launch {
            source: include_str!("../../shaders/batch_norm_stats_f32.wgsl").into(),
            spec: Spec::new()
                .with("CHANNELS", CHANNELS as u32)
                .with("LANES", LANES),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                channels: self.channels as u32,
                inv_rows: (1.0 / self.rows as f64) as f32,
                inv_rows_less_one: self.inv_rows_less_one() as f32,
                keep: self.keep() as f32,
                momentum: self.momentum,
                eps: self.eps,
            }),
            workgroups: groups,
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let statistics = self.statistics(args);
        for (arg, values) in args[1..].iter_mut().zip(statistics) {
            store(arg, &values)?;
        }
        Ok(())
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal];
        out.extend(self.statistics(args).iter().map(|x| within_f32(x)));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args: Vec<Tensor> = bindings.iter().map(|b| random_tensor(b, rng)).collect();
        args[2] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

/// Channels of one workgroup: neighbours in memory, 32 bytes.
const CHANNELS: usize = 8;
/// Invocations that share the rows of a channel.
const LANES: u32 = 32;

impl BatchNormStatsF32 {
    fn keep(&self) -> f64 {
        1.0 - f64::from(self.momentum)
    }

    fn inv_rows_less_one(&self) -> f64 {
        1.0 / self.rows.saturating_sub(1).max(1) as f64
    }

    /// Running mean, running variance, mean, inverse standard deviation.
    fn statistics(&self, args: &[Tensor]) -> [Vec<Approx>; 4] {
        let [x, running_mean, running_variance] = [0, 1, 2].map(|i| Approx::elements(&args[i]));
        let inv_rows = Approx::rounded(1.0 / self.rows as f64);
        let inv_rows_less_one = Approx::rounded(self.inv_rows_less_one());
        let (keep, momentum) = (Approx::rounded(self.keep()), Approx::exact(self.momentum));
        let mut out = [const { Vec::new() }; 4];
        for c in 0..self.channels {
            let column = || x.iter().skip(c).step_by(self.channels).copied();
            let mean = Approx::sum(column()) * inv_rows;
            let squares = Approx::sum(column().map(|x| (x - mean) * (x - mean)));
            let variance = squares * inv_rows;
            let inv_std = (variance + Approx::exact(self.eps)).inverse_sqrt();
            let new_mean = keep * running_mean[c] + momentum * mean;
            let new_variance =
                keep * running_variance[c] + momentum * (squares * inv_rows_less_one);
            for (out, x) in out.iter_mut().zip([new_mean, new_variance, mean, inv_std]) {
                out.push(x);
            }
        }
        out
    }
}

/// One row, one channel, primes, tails of rows and channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(rows, channels)| {
        Box::new(BatchNormStatsF32 {
            rows,
            channels,
            eps: 1e-5,
            momentum: 0.1,
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
        let mut args = [x, channel(1.0), channel(2.0), channel(0.0), channel(0.0)];
        let kernel = BatchNormStatsF32 {
            rows: 2,
            channels: 1,
            eps: 0.0,
            momentum: 0.25,
        };
        kernel.cpu(&mut args).expect("f32");
        // Mean 3, variance 4 biased and 8 unbiased.
        let got = [1, 2, 3, 4].map(|i: usize| args[i].to_f32()[0]);
        assert_eq!(got, [1.5, 3.5, 3.0, 0.5]);
    }
}
