//! `acc[i] += x[i]`
//!
//! `acc` (updated), `x`: f32 `[len]`. One rounding.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `acc += x`. Bindings: `acc` (updated), `x`.
#[derive(Clone, Debug)]
pub struct AccumulateF32 {
    /// Elements of `acc` and `x`.
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
}

impl Kernel for AccumulateF32 {
    fn name(&self) -> &'static str {
        "accumulate_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("acc", DType::F32, [self.len]),
            Binding::read("x", DType::F32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&Params {
            len: self.len as u32,
        });
        let source = include_str!("../../shaders/accumulate_f32.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = sums(args);
        store(&mut args[0], &acc)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![within_f32(&sums(args)), Agreement::Equal])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }
}

fn sums(args: &[Tensor]) -> Vec<Approx> {
    let (acc, x) = (Approx::elements(&args[0]), Approx::elements(&args[1]));
    acc.into_iter().zip(x).map(|(acc, x)| acc + x).collect()
}

/// Lengths that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 13, 257, 1031]
        .into_iter()
        .map(|len| Box::new(AccumulateF32 { len }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2], &[-1.0, 0.5]).expect("fits"),
            Tensor::from_f32(&[2], &[3.0, 0.25]).expect("fits"),
        ];
        AccumulateF32 { len: 2 }.cpu(&mut args).expect("f32");
        assert_eq!(args[0].as_f32().expect("f32"), [2.0, 0.75]);
    }
}
