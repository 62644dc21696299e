//! `x[i] = max(x[i], min)`
//!
//! `x`: f32 `[len]`, in place. Exact: a selection. Keeps learned scales positive.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `x = max(x, min)`, in place. Bindings: `x` (updated).
#[derive(Clone, Debug)]
pub struct ClampMinF32 {
    /// Elements of `x`.
    pub len: usize,
    /// The smallest value allowed.
    pub min: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    min: f32,
}

impl Kernel for ClampMinF32 {
    fn name(&self) -> &'static str {
        "clamp_min_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![Binding::update("x", DType::F32, [self.len])]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&Params {
            len: self.len as u32,
            min: self.min,
        });
        let source = include_str!("../../shaders/clamp_min_f32.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        for x in args[0].as_f32_mut()? {
            *x = x.max(self.min);
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }
}

/// Lengths that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 13, 257, 1031]
        .into_iter()
        .map(|len| Box::new(ClampMinF32 { len, min: 0.1 }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [Tensor::from_f32(&[3], &[-1.0, 0.5, 2.0]).expect("fits")];
        let kernel = ClampMinF32 { len: 3, min: 0.75 };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[0].as_f32().expect("f32"), [0.75, 0.75, 2.0]);
    }
}
