//! `dx[r, c] = dy[r, c] · gamma[c] / √(variance[c] + eps)`
//!
//! `dy`, `dx`: f32 `[rows, channels]` with `rows = n · h · w`; `gamma`, `variance ≥ 0`: f32 `[channels]`. The gradient of
//! [`super::batch_norm_f32::BatchNormF32`], whose statistics are constants. Those of `gamma` and `beta` come from
//! [`super::map::Unary::InvStd`] and [`super::batch_norm_grad_params_f32::BatchNormGradParamsF32`].

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
    store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Gradient of batch normalisation with given statistics. Bindings: `dy`, `gamma`, `variance`, `dx`.
#[derive(Clone, Debug)]
pub struct BatchNormEvalGradInputF32 {
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

impl Kernel for BatchNormEvalGradInputF32 {
    fn name(&self) -> &'static str {
        "batch_norm_eval_grad_input_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, [self.rows, self.channels]),
            Binding::read("gamma", DType::F32, [self.channels]),
            Binding::read("variance", DType::F32, [self.channels]),
            Binding::write("dx", DType::F32, [self.rows, self.channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let items = self.rows.div_ceil(ROWS) * self.channels;
        Ok(Launch {
            source: include_str!("../../shaders/batch_norm_eval_grad_input_f32.wgsl").into(),
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
        let dx = self.gradients(args);
        store(&mut args[3], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 3];
        out.push(within_f32(&self.gradients(args)));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args: Vec<Tensor> = bindings.iter().map(|b| random_tensor(b, rng)).collect();
        args[2] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

/// Rows of one invocation, all in one channel, which it prepares once.
const ROWS: usize = 8;

impl BatchNormEvalGradInputF32 {
    fn gradients(&self, args: &[Tensor]) -> Vec<Approx> {
        let [dy, gamma, variance] = [0, 1, 2].map(|i| Approx::elements(&args[i]));
        let gradient = |(i, dy): (usize, Approx)| {
            let c = i % self.channels;
            dy * (gamma[c] * (variance[c] + Approx::exact(self.eps)).inverse_sqrt())
        };
        dy.into_iter().enumerate().map(gradient).collect()
    }
}

/// One row, one channel, primes, tails of rows and channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(rows, channels)| {
        Box::new(BatchNormEvalGradInputF32 {
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
        let dy = Tensor::from_f32(&[2, 1], &[4.0, -1.0]).expect("fits");
        let mut args = [dy.clone(), channel(3.0), channel(3.0), dy];
        let kernel = BatchNormEvalGradInputF32 {
            rows: 2,
            channels: 1,
            eps: 1.0,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[3].to_f32(), [6.0, -1.5]);
    }
}
