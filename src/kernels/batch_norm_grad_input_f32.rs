//! ```text
//! x̂[r, c]  = (x[r, c] − mean[c]) · inv_std[c]
//! dx[r, c] = gamma[c] · inv_std[c] · (dy[r, c] − dbeta[c] / rows − x̂[r, c] · dgamma[c] / rows)
//! ```
//!
//! `x`, `dy`, `dx`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`: the batch's statistics and the
//! gradients from [`super::batch_norm_grad_params_f32::BatchNormGradParamsF32`].

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
    store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Gradient of batch normalisation with the batch's own statistics. Bindings: `x`, `dy`, `gamma`, `mean`,
/// `inv_std`, `dgamma`, `dbeta`, `dx`.
#[derive(Clone, Debug)]
pub struct BatchNormGradInputF32 {
    /// Rows: `n · h · w`.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    channels: u32,
    inv_rows: f32,
}

impl Kernel for BatchNormGradInputF32 {
    fn name(&self) -> &'static str {
        "batch_norm_grad_input_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.rows, self.channels]),
            Binding::read("dy", DType::F32, [self.rows, self.channels]),
            Binding::read("gamma", DType::F32, [self.channels]),
            Binding::read("mean", DType::F32, [self.channels]),
            Binding::read("inv_std", DType::F32, [self.channels]),
            Binding::read("dgamma", DType::F32, [self.channels]),
            Binding::read("dbeta", DType::F32, [self.channels]),
            Binding::write("dx", DType::F32, [self.rows, self.channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let items = self.rows.div_ceil(ROWS) * self.channels;
        Ok(Launch {
            source: include_str!("../../shaders/batch_norm_grad_input_f32.wgsl").into(),
            spec: Spec::new().with("ROWS", ROWS as u32),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                channels: self.channels as u32,
                inv_rows: (1.0 / self.rows as f64) as f32,
            }),
            workgroups: grid_1d(items, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args);
        store(&mut args[7], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 7];
        out.push(within_f32(&self.gradients(args)));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        5.0 * (self.rows * self.channels) as f64
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

impl BatchNormGradInputF32 {
    fn gradients(&self, args: &[Tensor]) -> Vec<Approx> {
        let [x, dy, gamma, mean, inv_std, dgamma, dbeta] =
            [0, 1, 2, 3, 4, 5, 6].map(|i| Approx::elements(&args[i]));
        let inv_rows = Approx::rounded(1.0 / self.rows as f64);
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

/// One row, one channel, primes, tails of rows and channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel =
        |(rows, channels)| Box::new(BatchNormGradInputF32 { rows, channels }) as Box<dyn Kernel>;
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
        let dy = Tensor::from_f32(&[2, 1], &[4.0, -1.0]).expect("fits");
        let [gamma, mean, inv_std, dgamma, dbeta] = [3.0, 1.0, 0.5, 2.0, 6.0].map(channel);
        let mut args = [x.clone(), dy, gamma, mean, inv_std, dgamma, dbeta, x];
        let kernel = BatchNormGradInputF32 {
            rows: 2,
            channels: 1,
        };
        kernel.cpu(&mut args).expect("f32");
        // 1.5 · (4 − 3 − 2 · 1), 1.5 · (−1 − 3 − 0)
        assert_eq!(args[7].to_f32(), [-1.5, -6.0]);
    }
}
