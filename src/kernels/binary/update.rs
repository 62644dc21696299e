//! `acc[i] += x[i]`, one rounding, and `y[i] = bit i of mask ? x[i] : 0`, exact
//!
//! All f32 but `mask`: u32 `[⌈len / 32⌉]`, element `i` at bit `i % 32` of word `i / 32`; bits past the
//! end are ignored.

use super::super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f32,
};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// `acc += x`. Bindings: `acc` (updated), `x`.
#[derive(Clone, Debug)]
pub struct Accumulate {
    /// Elements of `acc` and `x`.
    pub len: usize,
}

/// `y = x` where the mask has a one, else 0. Bindings: `x`, `mask`, `y`.
#[derive(Clone, Debug)]
pub struct ApplyMask {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

impl Kernel for Accumulate {
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
        let params = params_bytes(&(self.len as u32));
        let source = include_str!("../../../shaders/binary/accumulate.wgsl");
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

impl Kernel for ApplyMask {
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
        let params = params_bytes(&(len as u32));
        let source = include_str!("../../../shaders/binary/apply_mask.wgsl");
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

/// Shapes that hurt: one, just over a workgroup's share, rows that are no multiple of a word's bits.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for shape in [vec![1], vec![7, 13], vec![1031]] {
        let len = num_elements(&shape);
        out.push(Box::new(Accumulate { len }));
        out.push(Box::new(ApplyMask { shape }));
    }
    out
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
        let shape = vec![34];
        ApplyMask { shape }.cpu(&mut args).expect("f32");
        let y = args[2].to_f32();
        assert_eq!((y[0], y[1], y[2], y[32], y[33]), (1.0, 0.0, 3.0, 0.0, 34.0));
        assert_eq!(y.iter().sum::<f32>(), 38.0);
        let [x, _, y] = args;
        let mut args = [x, y];
        Accumulate { len: 34 }.cpu(&mut args).expect("f32");
        assert_eq!(args[0].to_f32()[..4], [2.0, 2.0, 6.0, 4.0]);
    }
}
