//! `inv_std[i] = 1 / √(variance[i] + eps)`
//!
//! `variance` (not negative), `inv_std`: f32 `[len]`. What the batch-norm gradients want, from running
//! statistics.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// `inv_std = 1 / √(variance + eps)`. Bindings: `variance`, `inv_std`.
#[derive(Clone, Debug)]
pub struct InvStdF32 {
    /// Elements of `variance` and `inv_std`.
    pub len: usize,
    /// Added to the variance.
    pub eps: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    eps: f32,
}

impl Kernel for InvStdF32 {
    fn name(&self) -> &'static str {
        "inv_std_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("variance", DType::F32, [self.len]),
            Binding::write("inv_std", DType::F32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&Params {
            len: self.len as u32,
            eps: self.eps,
        });
        let source = include_str!("../../shaders/inv_std_f32.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let inv_std = self.roots(args);
        store(&mut args[1], &inv_std)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal, within_f32(&self.roots(args))])
    }

    fn operations(&self) -> f64 {
        2.0 * self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let variance = uniform(&[self.len], 0.0, 3.0, rng);
        vec![variance, Tensor::zeros(&[self.len], DType::F32)]
    }
}

impl InvStdF32 {
    fn roots(&self, args: &[Tensor]) -> Vec<Approx> {
        let variance = Approx::elements(&args[0]).into_iter();
        variance
            .map(|v| (v + Approx::exact(self.eps)).inverse_sqrt())
            .collect()
    }
}

/// Lengths that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 13, 257, 1031]
        .into_iter()
        .map(|len| Box::new(InvStdF32 { len, eps: 1e-5 }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2], &[3.75, 0.0]).expect("fits"),
            Tensor::zeros(&[2], DType::F32),
        ];
        InvStdF32 { len: 2, eps: 0.25 }.cpu(&mut args).expect("f32");
        assert_eq!(args[1].as_f32().expect("f32"), [0.5, 2.0]);
    }
}
