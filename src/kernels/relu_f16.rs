//! `y[i] = max(0, x[i])`
//!
//! `x`, `y`: f16, packed, any shape. Exact: no rounding happens. NaN may come out as NaN or 0 (WGSL leaves it open).

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements, words_for};
use crate::error::Result;

/// `y = max(0, x)`. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ReluF16 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
}

impl Kernel for ReluF16 {
    fn name(&self) -> &'static str {
        "relu_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F16, self.shape.clone()),
            Binding::write("y", DType::F16, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = words_for(&self.shape, DType::F16);
        let params = params_bytes(&Params {
            words: words as u32,
        });
        let source = include_str!("../../shaders/relu_f16.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            words,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y: Vec<f64> = args[0].to_f64().into_iter().map(|x| x.max(0.0)).collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 4] = [&[1], &[7, 13], &[2, 3, 5, 65], &[1031]];
    shapes
        .iter()
        .map(|s| Box::new(ReluF16 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32_as_f16(&[3], &[-1.0, 0.0, 2.5]).expect("fits"),
            Tensor::zeros(&[3], DType::F16),
        ];
        ReluF16 { shape: vec![3] }.cpu(&mut args).expect("f16");
        assert_eq!(args[1].to_f32(), [0.0, 0.0, 2.5]);
    }
}
