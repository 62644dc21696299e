//! ```text
//! dgamma[c] = inv_std[c] · Σ dy[r, c] · (x[r, c] − mean[c])
//! dbeta[c]  = Σ dy[r, c]
//! ```
//!
//! `x`, `dy`: f32 `[rows, channels]` with `rows = n · h · w`; the rest f32 `[channels]`: the statistics that the forward
//! pass normalised with, be they the batch's or the running ones.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
    store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Gradients of batch normalisation's scale and shift. Bindings: `x`, `dy`, `mean`, `inv_std`, `dgamma`, `dbeta`.
#[derive(Clone, Debug)]
pub struct BatchNormGradParamsF32 {
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
}

impl Kernel for BatchNormGradParamsF32 {
    fn name(&self) -> &'static str {
        "batch_norm_grad_params_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.rows, self.channels]),
            Binding::read("dy", DType::F32, [self.rows, self.channels]),
            Binding::read("mean", DType::F32, [self.channels]),
            Binding::read("inv_std", DType::F32, [self.channels]),
            Binding::write("dgamma", DType::F32, [self.channels]),
            Binding::write("dbeta", DType::F32, [self.channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let groups = grid_1d(self.channels, CHANNELS, caps);
        Ok(Launch {
            source: include_str!("../../shaders/batch_norm_grad_params_f32.wgsl").into(),
            spec: Spec::new()
                .with("CHANNELS", CHANNELS as u32)
                .with("LANES", LANES),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                channels: self.channels as u32,
            }),
            workgroups: groups,
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let [dgamma, dbeta] = self.gradients(args);
        store(&mut args[4], &dgamma)?;
        store(&mut args[5], &dbeta)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut out = vec![Agreement::Equal; 4];
        out.extend(self.gradients(args).iter().map(|x| within_f32(x)));
        Ok(out)
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.channels) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args: Vec<Tensor> = bindings.iter().map(|b| random_tensor(b, rng)).collect();
        args[3] = uniform(&[self.channels], 0.1, 2.0, rng);
        args
    }
}

/// Channels of one workgroup: neighbours in memory, 32 bytes.
const CHANNELS: usize = 8;
/// Invocations that share the rows of a channel.
const LANES: u32 = 32;

impl BatchNormGradParamsF32 {
    fn gradients(&self, args: &[Tensor]) -> [Vec<Approx>; 2] {
        let [x, dy, mean, inv_std] = [0, 1, 2, 3].map(|i| Approx::elements(&args[i]));
        let column = |values: &[Approx], c: usize| -> Vec<Approx> {
            values
                .iter()
                .skip(c)
                .step_by(self.channels)
                .copied()
                .collect()
        };
        let dgamma = |c: usize| {
            let pairs = column(&dy, c).into_iter().zip(column(&x, c));
            Approx::sum(pairs.map(|(dy, x)| dy * (x - mean[c]))) * inv_std[c]
        };
        let dbeta = |c: usize| Approx::sum(column(&dy, c));
        let channels = 0..self.channels;
        [
            channels.clone().map(dgamma).collect(),
            channels.map(dbeta).collect(),
        ]
    }
}

/// One row, one channel, primes, tails of rows and channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel =
        |(rows, channels)| Box::new(BatchNormGradParamsF32 { rows, channels }) as Box<dyn Kernel>;
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
        let x = Tensor::from_f32(&[2, 1], &[5.0, 2.0]).expect("fits");
        let dy = Tensor::from_f32(&[2, 1], &[4.0, -1.0]).expect("fits");
        let mut args = [
            x,
            dy,
            channel(1.0),
            channel(0.5),
            channel(0.0),
            channel(0.0),
        ];
        let kernel = BatchNormGradParamsF32 {
            rows: 2,
            channels: 1,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!((args[4].to_f32()[0], args[5].to_f32()[0]), (7.5, 3.0));
    }
}
