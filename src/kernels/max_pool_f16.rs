//! ```text
//! y[n, oh, ow, c] = max over kh, kw of x[n, oh · stride + kh − padding, ow · stride + kw − padding, c]
//! ```
//!
//! `x`: f16, packed `[n, h, w, c]`, `y`: f16, packed `[n, out_h, out_w, c]`. What lies outside the image does not exist. Exact: a
//! selection. NaN may win or lose (WGSL leaves it open).

use super::{Agreement, Binding, Caps, Kernel, Launch, Pool, elementwise, params_bytes};
use crate::base::{DType, Tensor, num_elements, words_for};
use crate::error::Result;

/// The largest of each window. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct MaxPoolF16 {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
}

impl Kernel for MaxPoolF16 {
    fn name(&self) -> &'static str {
        "max_pool_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        let y = self.pool.output_shape(self.x).unwrap_or([0; 4]);
        vec![
            Binding::read("x", DType::F16, self.x),
            Binding::write("y", DType::F16, y),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let y = self.pool.output_shape(self.x)?;
        let channel_words = self.x[3].div_ceil(2) as u32;
        let spec = self
            .pool
            .spec(self.x, y)
            .with("CHANNEL_WORDS", channel_words);
        let words = words_for(&y, DType::F16);
        let params = params_bytes(&Params {
            words: words as u32,
        });
        let source = include_str!("../../shaders/max_pool_f16.wgsl");
        Ok(elementwise::launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let [n, h, w, c] = self.x;
        let [_, out_h, out_w, _] = self.pool.output_shape(self.x)?;
        let x = args[0].to_f64();
        let mut y = Vec::with_capacity(args[1].len());
        for n in 0..n {
            for oh in 0..out_h {
                for ow in 0..out_w {
                    for c0 in 0..c {
                        let rows = self.pool.span(oh, h);
                        let window =
                            rows.flat_map(|ih| self.pool.span(ow, w).map(move |iw| (ih, iw)));
                        let values = window.map(|(ih, iw)| x[((n * h + ih) * w + iw) * c + c0]);
                        y.push(values.fold(f64::NEG_INFINITY, f64::max));
                    }
                }
            }
        }
        args[1].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        let y = self.pool.output_shape(self.x).unwrap_or([0; 4]);
        (num_elements(&y) * self.pool.kernel * self.pool.kernel) as f64
    }
}

/// Even and odd sizes, overlapping windows, padding, gaps between windows, odd channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [
        ([1, 1, 1, 1], 1, 1, 0),
        ([2, 8, 8, 6], 2, 2, 0),
        ([3, 7, 5, 3], 2, 2, 0),
        ([1, 9, 7, 5], 3, 2, 1),
        ([2, 6, 6, 33], 3, 1, 1),
        ([1, 8, 11, 2], 2, 3, 0),
        ([1, 5, 5, 1], 5, 1, 2),
    ];
    let kernel = |(x, kernel, stride, padding)| {
        let pool = Pool {
            kernel,
            stride,
            padding,
        };
        Box::new(MaxPoolF16 { x, pool }) as Box<dyn Kernel>
    };
    cases.into_iter().map(kernel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let x: Vec<f32> = [3, 1, 2, -9, -8, -7, 5, 4, 6].map(|x| x as f32).to_vec();
        let pool = Pool {
            kernel: 2,
            stride: 2,
            padding: 1,
        };
        let mut args = [
            Tensor::from_f32_as_f16(&[1, 3, 3, 1], &x).expect("fits"),
            Tensor::zeros(&[1, 2, 2, 1], DType::F16),
        ];
        let x = [1, 3, 3, 1];
        MaxPoolF16 { x, pool }.cpu(&mut args).expect("f16");
        assert_eq!(args[1].to_f32(), [3.0, 2.0, 5.0, 6.0]);
    }
}
