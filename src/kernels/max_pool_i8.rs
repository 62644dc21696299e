//! `y[n, oy, ox, c] = max over ky, kx of x[n, oy·stride + ky − padding, ox·stride + kx − padding, c]`
//!
//! `x`: i8 `[n, h, w, c]`, `y`: i8 `[n, oh, ow, c]`; scale and zero point stay those of `x`. What lies outside the
//! image does not exist. Exact: a selection.

use super::{Agreement, Binding, Caps, Kernel, Launch, Pool, elementwise, params_bytes};
use crate::base::{DType, Tensor, num_elements, words_for};
use crate::error::Result;

/// The largest of each window. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct MaxPoolI8 {
    /// `[n, h, w, c]`
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
}

impl Kernel for MaxPoolI8 {
    fn name(&self) -> &'static str {
        "max_pool_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, self.x),
            Binding::write("y", DType::I8, self.y()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let y = self.pool.output_shape(self.x)?;
        let words = words_for(&y, DType::I8);
        let channel_words = self.x[3].div_ceil(4) as u32;
        let spec = self
            .pool
            .spec(self.x, y)
            .with("CHANNEL_WORDS", channel_words);
        let params = params_bytes(&Params {
            words: words as u32,
        });
        let source = include_str!("../../shaders/max_pool_i8.wgsl");
        Ok(elementwise::launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let [n, out_height, out_width, c] = self.pool.output_shape(self.x)?;
        let [_, height, width, _] = self.x;
        let x = args[0].to_i8()?;
        let mut y = Vec::with_capacity(n * out_height * out_width * c);
        for image in 0..n {
            for oy in 0..out_height {
                for ox in 0..out_width {
                    for channel in 0..c {
                        let mut best = i8::MIN;
                        for iy in self.pool.span(oy, height) {
                            for ix in self.pool.span(ox, width) {
                                let at = ((image * height + iy) * width + ix) * c + channel;
                                best = best.max(x[at]);
                            }
                        }
                        y.push(best);
                    }
                }
            }
        }
        args[1].store_i8(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        (num_elements(&self.y()) * self.pool.kernel * self.pool.kernel) as f64
    }
}

impl MaxPoolI8 {
    /// Shape of `y`; without elements where the window is wrong, which [`Kernel::launch`] reports.
    fn y(&self) -> [usize; 4] {
        self.pool.output_shape(self.x).unwrap_or([0; 4])
    }
}

/// Shapes that hurt: one, odd channels, padding, windows that overlap, windows with gaps.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [
        ([1, 1, 1, 1], (1, 1, 0)),
        ([2, 28, 28, 6], (2, 2, 0)),
        ([1, 7, 9, 5], (3, 2, 1)),
        ([1, 5, 5, 64], (3, 1, 1)),
        ([3, 8, 7, 3], (2, 3, 1)),
    ];
    cases
        .into_iter()
        .map(|(x, (kernel, stride, padding))| {
            let pool = Pool {
                kernel,
                stride,
                padding,
            };
            Box::new(MaxPoolI8 { x, pool }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins() {
        let kernel = MaxPoolI8 {
            x: [1, 2, 2, 1],
            pool: Pool {
                kernel: 2,
                stride: 2,
                padding: 1,
            },
        };
        let mut args = [
            Tensor::from_i8(&[1, 2, 2, 1], &[-128, -5, -7, -9]).expect("fits"),
            Tensor::zeros(&[1, 2, 2, 1], DType::I8),
        ];
        kernel.cpu(&mut args).expect("i8");
        assert_eq!(args[1].to_i8().expect("i8"), [-128, -5, -7, -9]);
    }
}
