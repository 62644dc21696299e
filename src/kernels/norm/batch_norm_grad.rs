//! Gradients of batch normalisation. With running statistics, which are constants:
//!
//! ```text
//! dx[r, c] = dy[r, c] · gamma[c] / √(variance[c] + eps)
//! ```
//!
//! through the statistics of the batch:
//!
//! ```text
//! x̂[r, c]  = (x[r, c] − mean[c]) · inv_std[c]
//! dx[r, c] = gamma[c] · inv_std[c] · (dy[r, c] − dbeta[c] / rows − x̂[r, c] · dgamma[c] / rows)
//! ```
//!
//! and of scale and shift, with whatever statistics the forward pass normalised with:
//!
//! ```text
//! dgamma[c] = inv_std[c] · Σ dy[r, c] · (x[r, c] − mean[c])        dbeta[c] = Σ dy[r, c]
//! ```
//!
//! `x`, `dy`, `dx`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`.

use super::super::frame::{boxed, inverse, reads, store_all, within_all, writes};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, random_args, uniform};
use super::{CASES, by_channels, by_rows, column};
use crate::base::{Rng, Tensor};
use crate::error::Result;

/// Gradient of batch normalisation with given statistics. Bindings: `dy`, `gamma`, `variance`, `dx`.
#[derive(Clone, Debug)]
pub struct BatchNormEvalGrad {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
}

impl Kernel for BatchNormEvalGrad {
    fn name(&self) -> &'static str {
        "batch_norm_eval_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (x, c) = ([self.rows, self.channels], [self.channels]);
        let parameters = reads(&c, ["gamma", "variance"]);
        [reads(&x, ["dy"]), parameters, writes(&x, ["dx"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/norm/batch_norm_eval_grad.wgsl");
        let shape = [self.rows, self.channels];
        let words = [self.rows.into(), self.channels.into(), self.eps.into()];
        by_rows((self.name(), source), Spec::new(), shape, words, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args);
        store_all(args, vec![(3, dx)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(3, self.gradients(args))])
    }

    fn operations(&self) -> f64 {
        (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[2] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

impl BatchNormEvalGrad {
    fn gradients(&self, args: &[Tensor]) -> Vec<Approx> {
        let [dy, gamma, variance] = [0, 1, 2].map(|i| Approx::elements(&args[i]));
        let gradient = |(i, dy): (usize, Approx)| {
            let c = i % self.channels;
            dy * (gamma[c] * (variance[c] + Approx::exact(self.eps)).inverse_sqrt())
        };
        dy.into_iter().enumerate().map(gradient).collect()
    }
}

/// Gradient of batch normalisation with the batch's own statistics. Bindings: `x`, `dy`, `gamma`, `mean`,
/// `inv_std`, `dgamma`, `dbeta` (of [`BatchNormGradParams`]), `dx`.
#[derive(Clone, Debug)]
pub struct BatchNormGrad {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
}

impl Kernel for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (x, c) = ([self.rows, self.channels], [self.channels]);
        let parameters = reads(&c, ["gamma", "mean", "inv_std", "dgamma", "dbeta"]);
        [reads(&x, ["x", "dy"]), parameters, writes(&x, ["dx"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/norm/batch_norm_grad.wgsl");
        let (rows, channels) = (self.rows, self.channels);
        let words = [rows.into(), channels.into(), inverse(rows).0.into()];
        let shader = (self.name(), source);
        by_rows(shader, Spec::new(), [rows, channels], words, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args);
        store_all(args, vec![(7, dx)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(7, self.gradients(args))])
    }

    fn operations(&self) -> f64 {
        5.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[4] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

impl BatchNormGrad {
    fn gradients(&self, args: &[Tensor]) -> Vec<Approx> {
        let [x, dy, gamma, mean, inv_std, dgamma, dbeta] =
            [0, 1, 2, 3, 4, 5, 6].map(|i| Approx::elements(&args[i]));
        let (_, inv_rows) = inverse(self.rows);
        let gradient = |(i, (x, dy)): (usize, (Approx, Approx))| {
            let c = i % self.channels;
            let slope = dgamma[c] * inv_rows * inv_std[c];
            let through_mean = -(dbeta[c] * inv_rows);
            let through_variance = -((x - mean[c]) * slope);
            gamma[c] * inv_std[c] * Approx::sum([dy, through_mean, through_variance])
        };
        x.into_iter().zip(dy).enumerate().map(gradient).collect()
    }
}

/// Gradients of batch normalisation's scale and shift. Bindings: `x`, `dy`, `mean`, `inv_std`, `dgamma`, `dbeta`.
#[derive(Clone, Debug)]
pub struct BatchNormGradParams {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
}

impl Kernel for BatchNormGradParams {
    fn name(&self) -> &'static str {
        "batch_norm_grad_params_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let (x, c) = ([self.rows, self.channels], [self.channels]);
        let statistics = reads(&c, ["mean", "inv_std"]);
        [
            reads(&x, ["x", "dy"]),
            statistics,
            writes(&c, ["dgamma", "dbeta"]),
        ]
        .concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = include_str!("../../../shaders/norm/batch_norm_grad_params.wgsl");
        let words = [self.rows.into(), self.channels.into()];
        by_channels((self.name(), source), self.channels, words, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let gradients = self.gradients(args);
        store_all(args, (4..).zip(gradients).collect())
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &(4..).zip(self.gradients(args)).collect())
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[3] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

impl BatchNormGradParams {
    fn gradients(&self, args: &[Tensor]) -> [Vec<Approx>; 2] {
        let [x, dy, mean, inv_std] = [0, 1, 2, 3].map(|i| Approx::elements(&args[i]));
        let dgamma = |c: usize| {
            let pairs = column(&dy, c, self.channels).zip(column(&x, c, self.channels));
            Approx::sum(pairs.map(|(dy, x)| dy * (x - mean[c]))) * inv_std[c]
        };
        let dbeta = |c: usize| Approx::sum(column(&dy, c, self.channels));
        let channels = 0..self.channels;
        [
            channels.clone().map(dgamma).collect(),
            channels.map(dbeta).collect(),
        ]
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let eps = 1e-5;
    let eval = CASES.map(|[rows, channels]| BatchNormEvalGrad {
        rows,
        channels,
        eps,
    });
    let inputs = CASES.map(|[rows, channels]| BatchNormGrad { rows, channels });
    let params = CASES.map(|[rows, channels]| BatchNormGradParams { rows, channels });
    boxed(eval)
        .into_iter()
        .chain(boxed(inputs))
        .chain(boxed(params))
        .collect()
}
