//! `y[i] = f32(x[i])`, exact
//!
//! `x`: f16, `y`: f32, any shape. f16 is packed two to a word; rows are padded with zero.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::Result;

/// f16 to f32. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct CastF16F32 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    row_words: u32,
    row: u32,
}

impl Kernel for CastF16F32 {
    fn name(&self) -> &'static str {
        "cast_f16_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F16, self.shape.clone()),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = words_for(&self.shape, DType::F16);
        Ok(Launch {
            source: include_str!("../../shaders/cast_f16_f32.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&Params {
                words: words as u32,
                row_words: row_words(&self.shape, DType::F16) as u32,
                row: self.shape.last().copied().unwrap_or(1) as u32,
            }),
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = args[0].to_f64();
        args[1].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: one, odd rows, just over a workgroup of words.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 4] = [&[1], &[7, 13], &[2, 3, 5, 64], &[129]];
    shapes
        .iter()
        .map(|s| Box::new(CastF16F32 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32_as_f16(&[3], &[1.5, -2.0, 65504.0]).expect("fits"),
            Tensor::zeros(&[3], DType::F32),
        ];
        CastF16F32 { shape: vec![3] }.cpu(&mut args).expect("f16");
        assert_eq!(args[1].as_f32().expect("f32"), [1.5, -2.0, 65504.0]);
    }
}
