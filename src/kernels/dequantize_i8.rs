//! `y[i] = f32(q[i] − zero_point[ch]) · scale[ch]`
//!
//! `q`: i8, any shape; `scale`: f32 `[c]`, `zero_point`: i32 `[c]`, `y`: f32, the shape of `q`. `ch` is the position
//! of `i` along `axis`, and `c` its size; without an axis `c` is 1. The difference is exact; the product is rounded
//! once, to either neighbour.

use super::quantize_i8::Channels;
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec};
use super::{grid_1d, params_bytes, random_args, ulp_f32};
use crate::base::{DType, Rng, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::Result;

/// Equation (1) of [`crate::base::QParams`]. Bindings: `q`, `scale`, `zero_point`, `y`.
#[derive(Clone, Debug)]
pub struct DequantizeI8 {
    /// Shape of `q` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None` = per tensor.
    pub axis: Option<usize>,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    row_len: u32,
    row_words: u32,
    channels: u32,
    rows: u32,
}

impl Kernel for DequantizeI8 {
    fn name(&self) -> &'static str {
        "dequantize_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = Channels::count(self.name(), &self.shape, self.axis);
        vec![
            Binding::read("q", DType::I8, self.shape.clone()),
            Binding::read("scale", DType::F32, [c]),
            Binding::read("zero_point", DType::I32, [c]),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::of(self.name(), &self.shape, self.axis)?;
        let words = words_for(&self.shape, DType::I8);
        Ok(Launch {
            source: include_str!("../../shaders/dequantize_i8.wgsl").into(),
            spec: Spec::new().with("LAST_AXIS", channels.last_axis),
            params: params_bytes(&Params {
                words: words as u32,
                row_len: self.shape.last().copied().unwrap_or(1) as u32,
                row_words: row_words(&self.shape, DType::I8) as u32,
                channels: channels.count as u32,
                rows: channels.rows as u32,
            }),
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.map(args, |steps, scale| f64::from(steps) * f64::from(scale))?;
        args[3].store_f64(&y)
    }

    /// Both sides are a neighbour of the exact product.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let bound = self.map(args, |steps, scale| {
            ulp_f32(f64::from(steps) * f64::from(scale))
        })?;
        let mut all = vec![Agreement::Equal; 4];
        all[3] = Agreement::Within(bound);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let count = args[1].len();
        for i in 0..count {
            args[1].words_mut()[i] = rng.range(0.001, 0.1).to_bits();
            args[2].words_mut()[i] = (rng.below(256) as i32 - 128) as u32;
        }
        args
    }
}

impl DequantizeI8 {
    /// `f(q − zero_point, scale)` of every element.
    fn map(&self, args: &[Tensor], f: impl Fn(i32, f32) -> f64) -> Result<Vec<f64>> {
        let (scale, zero_point) = (args[1].as_f32()?, args[2].as_i32()?);
        let channels = Channels::of(self.name(), &self.shape, self.axis)?;
        let q = args[0].to_i8()?;
        let element = |(i, &q): (usize, &i8)| {
            let ch = channels.at(i);
            f(i32::from(q) - zero_point[ch], scale[ch])
        };
        Ok(q.iter().enumerate().map(element).collect())
    }
}

/// Shapes that hurt: one, tails of words, every axis.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], _); 6] = [
        (&[1], None),
        (&[7, 13], None),
        (&[6, 3, 3, 5], Some(0)),
        (&[3, 5, 2, 7], Some(1)),
        (&[3, 5, 2, 7], Some(3)),
        (&[65], Some(0)),
    ];
    cases
        .iter()
        .map(|&(shape, axis)| {
            let shape = shape.to_vec();
            Box::new(DequantizeI8 { shape, axis }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let kernel = DequantizeI8 {
            shape: vec![2, 3],
            axis: Some(1),
        };
        let mut args = [
            Tensor::from_i8(&[2, 3], &[1, 2, 3, -1, -2, -3]).expect("fits"),
            Tensor::from_f32(&[3], &[1.0, 0.5, 2.0]).expect("fits"),
            Tensor::from_i32(&[3], &[0, 2, -1]).expect("fits"),
            Tensor::zeros(&[2, 3], DType::F32),
        ];
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(
            args[3].as_f32().expect("f32"),
            [1.0, 0.0, 8.0, -1.0, -2.0, -4.0]
        );
    }

    #[test]
    fn a_wrong_axis_is_an_error() {
        let kernel = DequantizeI8 {
            shape: vec![2, 3],
            axis: Some(2),
        };
        let error = kernel.launch(&Caps::portable()).expect_err("two axes");
        assert_eq!(
            error.to_string(),
            "dequantize_i8: channel axis 2 of a tensor of shape [2, 3]"
        );
    }
}
