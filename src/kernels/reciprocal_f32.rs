//! `y[i] = 1 / x[i]`
//!
//! `x`, `y`: f32 `[len]`; `2⁻¹²⁶ ≤ |x| ≤ 2¹²⁶`. Within 2.5 ULP, the accuracy that WGSL gives a division:
//! for learned scales inside training only. Whatever is stored or deployed takes its reciprocals from
//! the host, which rounds once.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// `y = 1 / x`. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ReciprocalF32 {
    /// Elements of `x` and `y`.
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
}

impl Kernel for ReciprocalF32 {
    fn name(&self) -> &'static str {
        "reciprocal_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.len]),
            Binding::write("y", DType::F32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&Params {
            len: self.len as u32,
        });
        let source = include_str!("../../shaders/reciprocal_f32.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = quotients(args);
        store(&mut args[1], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal, within_f32(&quotients(args))])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let x = uniform(&[self.len], 1e-4, 3.0, rng);
        vec![x, Tensor::zeros(&[self.len], DType::F32)]
    }
}

fn quotients(args: &[Tensor]) -> Vec<Approx> {
    let x = Approx::elements(&args[0]).into_iter();
    x.map(|x| Approx::exact(1.0) / x).collect()
}

/// Lengths that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 13, 257, 1031]
        .into_iter()
        .map(|len| Box::new(ReciprocalF32 { len }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2], &[-4.0, 0.5]).expect("fits"),
            Tensor::zeros(&[2], DType::F32),
        ];
        ReciprocalF32 { len: 2 }.cpu(&mut args).expect("f32");
        assert_eq!(args[1].as_f32().expect("f32"), [-0.25, 2.0]);
    }
}
