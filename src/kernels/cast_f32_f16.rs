//! `y[i] = f16(x[i])`, rounded to nearest even
//!
//! `x`: f32, `y`: f16, any shape. f16 is packed two to a word; rows are padded with zero.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, ulp_f16};
use crate::base::{DType, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::Result;

/// f32 to f16. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct CastF32F16 {
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

impl Kernel for CastF32F16 {
    fn name(&self) -> &'static str {
        "cast_f32_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::write("y", DType::F16, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = words_for(&self.shape, DType::F16);
        Ok(Launch {
            source: include_str!("../../shaders/cast_f32_f16.wgsl").into(),
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

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // WGSL does not say how `pack2x16float` rounds: either neighbour.
        let bound = args[0].to_f64().into_iter().map(ulp_f16).collect();
        Ok(vec![Agreement::Equal, Agreement::Within(bound)])
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
        .map(|s| Box::new(CastF32F16 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[3], &[1.0, 1.0 + 3.0 / 2048.0, -0.1]).expect("fits"),
            Tensor::zeros(&[3], DType::F16),
        ];
        CastF32F16 { shape: vec![3] }.cpu(&mut args).expect("f32");
        let y = args[1].to_f32();
        assert_eq!(y[..2], [1.0, 1.0 + 2.0 / 1024.0]);
        assert_eq!(args[1].words()[1], 0xae66);
    }
}
