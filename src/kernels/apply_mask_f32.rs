//! `y[i] = bit i of mask ? x[i] : 0`
//!
//! `x`, `y`: f32, any shape. `mask`: u32 `[⌈len / 32⌉]`, element `i` at bit `i % 32` of word `i / 32`;
//! bits past the end are ignored. Exact: a selection.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// `y = x` where the mask has a one, else 0. Bindings: `x`, `mask`, `y`.
#[derive(Clone, Debug)]
pub struct ApplyMaskF32 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
}

impl Kernel for ApplyMaskF32 {
    fn name(&self) -> &'static str {
        "apply_mask_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let mask_words = num_elements(&self.shape).div_ceil(32);
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("mask", DType::U32, [mask_words]),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let len = num_elements(&self.shape);
        let params = params_bytes(&Params { len: len as u32 });
        let source = include_str!("../../shaders/apply_mask_f32.wgsl");
        Ok(elementwise::launch(source, Spec::new(), params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let mask = args[1].as_u32()?.to_vec();
        let keep = |i: usize| (mask[i / 32] >> (i % 32)) & 1 == 1;
        let x = args[0].to_f64().into_iter().enumerate();
        let y: Vec<f64> = x.map(|(i, x)| if keep(i) { x } else { 0.0 }).collect();
        args[2].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
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
        .map(|s| Box::new(ApplyMaskF32 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let x: Vec<f32> = (1..=34).map(|i| i as f32).collect();
        let mut args = [
            Tensor::from_f32(&[34], &x).expect("fits"),
            Tensor::from_u32(&[2], &[0b101, 0b10]).expect("fits"),
            Tensor::zeros(&[34], DType::F32),
        ];
        ApplyMaskF32 { shape: vec![34] }
            .cpu(&mut args)
            .expect("f32");
        let y = args[2].as_f32().expect("f32");
        assert_eq!((y[0], y[1], y[2], y[32], y[33]), (1.0, 0.0, 3.0, 0.0, 34.0));
        assert_eq!(y.iter().sum::<f32>(), 38.0);
    }
}
