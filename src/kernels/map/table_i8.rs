//! `y[i] = table[x[i]]`
//!
//! `x`, `y`: i8, any shape; `table`: u32 `[64]`, the result of byte `b` in byte `b`. Any function of an
//! int8 number, and the way from one scale and zero point to another. Exact.

use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use super::Rows;
use crate::base::{DType, QParams, Shape, Tensor, num_elements};
use crate::error::Result;

/// `y = table[x]`. Bindings: `x`, `table` (of [`table`]), `y`.
#[derive(Clone, Debug)]
pub struct MapI8 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

/// The results of `f` for every integer: dequantized as `x`, quantized as `y`.
pub fn table(f: impl Fn(f32) -> f32, x: QParams, y: QParams) -> Tensor {
    let result = |byte: usize| y.quantize(f(x.dequantize(i32::from(byte as u8 as i8)))) as u8;
    let word = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|lane| result(4 * i + lane)));
    let words: Vec<u32> = (0..64).map(word).collect();
    Tensor::from_u32(&[64], &words).expect("64 words")
}

/// What the words of a table say of each.
pub(super) fn look_up(table: &[u32], x: &[i8]) -> Vec<i8> {
    let table: Vec<u8> = table.iter().flat_map(|w| w.to_le_bytes()).collect();
    x.iter()
        .map(|&x| table[usize::from(x as u8)] as i8)
        .collect()
}

impl Kernel for MapI8 {
    fn name(&self) -> &'static str {
        "map_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, self.shape.clone()),
            Binding::read("table", DType::U32, [64]),
            Binding::write("y", DType::I8, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let rows = Rows::of(&self.shape, DType::I8);
        Ok(Launch {
            source: include_str!("../../../shaders/map/table_i8.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&rows),
            workgroups: grid_1d(rows.words(), 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = look_up(args[1].as_u32()?, &args[0].to_i8()?);
        args[2].store_i8(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: tails of words, just over a workgroup of words.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    [vec![7, 13], vec![2, 3, 5, 65]]
        .map(|shape| Box::new(MapI8 { shape }) as Box<dyn Kernel>)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Range;
    use crate::kernels::map::Unary;

    #[test]
    fn by_hand() {
        let q = |scale, zero_point| QParams {
            scale,
            zero_point,
            range: Range::affine(8),
        };
        let relu = |x| Unary::Relu.f64(f64::from(x)) as f32;
        let shape = vec![5];
        let mut args = [
            Tensor::from_i8(&shape, &[-128, -3, 0, 5, 127]).expect("fits"),
            table(relu, q(0.5, -3), q(1.0, -128)),
            Tensor::zeros(&shape, DType::I8),
        ];
        MapI8 { shape }.cpu(&mut args).expect("i8");
        // Real −62.5, 0, 1.5, 4, 65.
        assert_eq!(args[2].to_i8().expect("i8"), [-128, -128, -126, -124, -63]);
    }
}
