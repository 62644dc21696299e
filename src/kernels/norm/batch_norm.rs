//! ```text
//! y[r, c] = gamma[c] · (x[r, c] − mean[c]) · inv_std[c] + beta[c]
//! ```
//!
//! with running statistics (`inv_std = 1 / √(variance + eps)`), or those of the batch, as PyTorch's `BatchNorm2d` takes
//! them in training:
//!
//! ```text
//! mean[c]             = 1 / rows · Σ x[r, c]
//! variance            = 1 / rows · Σ (x[r, c] − mean[c])²
//! running_mean[c]     = (1 − momentum) · running_mean[c]     + momentum · mean[c]
//! running_variance[c] = (1 − momentum) · running_variance[c] + momentum · variance · rows / (rows − 1)
//! ```
//!
//! `x`, `y`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`, variances not negative. Biased
//! variance to normalise with, unbiased in the running one (with a single row, for which PyTorch refuses, the variance
//! is 0). Two passes over `x`: the mean is subtracted before squaring.

use super::super::frame::{boxed, inverse, reads, store_all, updates, within_all, writes};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, random_args, uniform};
use super::{CASES, by_channels, by_rows, column};
use crate::base::{Rng, Tensor};
use crate::error::Result;

/// Where the statistics come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// Running ones: `spread` is the variance.
    Running {
        /// Added to the variance.
        eps: f32,
    },
    /// The batch's, as [`BatchNormStats`] makes them: `spread` is the inverse standard deviation.
    Batch,
}

/// Batch normalisation with given statistics. Bindings: `x`, `gamma`, `beta`, `mean`, `spread`, `y`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// What `mean` and `spread` hold.
    pub statistics: Statistics,
}

impl Kernel for BatchNorm {
    fn name(&self) -> &'static str {
        match self.statistics {
            Statistics::Running { .. } => "batch_norm_f32",
            Statistics::Batch => "batch_norm_train_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let (x, c) = ([self.rows, self.channels], [self.channels]);
        let parameters = reads(&c, ["gamma", "beta", "mean", "spread"]);
        [reads(&x, ["x"]), parameters, writes(&x, ["y"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let (variance, eps) = match self.statistics {
            Statistics::Running { eps } => (true, eps),
            Statistics::Batch => (false, 0.0),
        };
        let source = include_str!("../../../shaders/norm/batch_norm.wgsl");
        let spec = Spec::new().with("VARIANCE", variance);
        let (rows, channels) = (self.rows, self.channels);
        let words = [rows.into(), channels.into(), eps.into()];
        by_rows((self.name(), source), spec, [rows, channels], words, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.normalised(args);
        store_all(args, vec![(5, y)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(5, self.normalised(args))])
    }

    fn operations(&self) -> f64 {
        3.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[4] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

impl BatchNorm {
    fn normalised(&self, args: &[Tensor]) -> Vec<Approx> {
        let [x, gamma, beta, mean, spread] = [0, 1, 2, 3, 4].map(|i| Approx::elements(&args[i]));
        let normalise = |(i, x): (usize, Approx)| {
            let c = i % self.channels;
            let inv_std = match self.statistics {
                Statistics::Running { eps } => (spread[c] + Approx::exact(eps)).inverse_sqrt(),
                Statistics::Batch => spread[c],
            };
            (x - mean[c]) * (gamma[c] * inv_std) + beta[c]
        };
        x.into_iter().enumerate().map(normalise).collect()
    }
}

/// Mean and inverse standard deviation of every channel. Bindings: `x`, `running_mean` (updated),
/// `running_variance` (updated), `mean`, `inv_std`.
#[derive(Clone, Debug)]
pub struct BatchNormStats {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Share of the batch in the running statistics.
    pub momentum: f32,
}

impl Kernel for BatchNormStats {
    fn name(&self) -> &'static str {
        "batch_norm_stats_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = [self.channels];
        let running = updates(&c, ["running_mean", "running_variance"]);
        let x = reads(&[self.rows, self.channels], ["x"]);
        [x, running, writes(&c, ["mean", "inv_std"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/norm/batch_norm_stats.wgsl");
        let words = [
            self.rows.into(),
            self.channels.into(),
            inverse(self.rows).0.into(),
            inverse(self.rows_less_one()).0.into(),
            (self.keep() as f32).into(),
            self.momentum.into(),
            self.eps.into(),
        ];
        by_channels((self.name(), source), self.channels, words, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let statistics = self.statistics(args);
        store_all(args, (1..).zip(statistics).collect())
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &(1..).zip(self.statistics(args)).collect())
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[2] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

impl BatchNormStats {
    fn keep(&self) -> f64 {
        1.0 - f64::from(self.momentum)
    }

    fn rows_less_one(&self) -> usize {
        self.rows.saturating_sub(1).max(1)
    }

    /// Running mean, running variance, mean, inverse standard deviation.
    fn statistics(&self, args: &[Tensor]) -> [Vec<Approx>; 4] {
        let [x, running_mean, running_variance] = [0, 1, 2].map(|i| Approx::elements(&args[i]));
        let (_, inv_rows) = inverse(self.rows);
        let (_, inv_rows_less_one) = inverse(self.rows_less_one());
        let (keep, momentum) = (Approx::rounded(self.keep()), Approx::exact(self.momentum));
        let mut out = [const { Vec::new() }; 4];
        for c in 0..self.channels {
            let column = || column(&x, c, self.channels);
            let mean = Approx::sum(column()) * inv_rows;
            let squares = Approx::sum(column().map(|x| (x - mean) * (x - mean)));
            let inv_std = (squares * inv_rows + Approx::exact(self.eps)).inverse_sqrt();
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

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let (eps, momentum) = (1e-5, 0.1);
    let apply = |statistics| {
        CASES.map(|[rows, channels]| BatchNorm {
            rows,
            channels,
            statistics,
        })
    };
    let both = [Statistics::Running { eps }, Statistics::Batch];
    let mut samples = boxed(both.into_iter().flat_map(apply));
    samples.extend(boxed(CASES.map(|[rows, channels]| BatchNormStats {
        rows,
        channels,
        eps,
        momentum,
    })));
    samples
}
