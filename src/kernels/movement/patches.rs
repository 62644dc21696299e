//! What a convolution reads for some of its output pixels, a row for each.
//!
//! ```text
//! y[r, (i, j, c)] = x[n, oy·sy − top + i·dy, ox·sx − left + j·dx, c],   (n, oy, ox) = at[r]
//! ```
//!
//! 0 outside of the image. `at` counts output pixels of all images, row by row.

use super::super::elementwise;
use super::{Agreement, Binding, Caps, DType, Kernel, Launch, Result, Spec, Tensor, params_bytes};
use crate::base::{MAX_ELEMENTS, Rng};
use crate::error::Error;
use crate::kernels::{Conv, random_args};

/// Rows of patches, all channels. Bindings: `x`, `at` (u32 `[rows]`), `y`.
#[derive(Clone, Debug)]
pub struct Patches {
    x: [usize; 4],
    kernel: [usize; 2],
    conv: Conv,
    out: [usize; 2],
    rows: usize,
}

impl Patches {
    /// `rows` patches of images `[n, h, w, c]` under a filter of so many taps: down, across. Groups are not
    /// told apart.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Shape`] if such a convolution cannot be, or a result would be too large.
    pub fn new(x: [usize; 4], kernel: [usize; 2], conv: Conv, rows: usize) -> Result<Self> {
        let conv = Conv { groups: 1, ..conv };
        let [_, height, width, _] = conv.output_shape(x, [1, kernel[0], kernel[1], x[3]])?;
        let out = [height, width];
        let taps = rows.saturating_mul(kernel[0] * kernel[1]);
        if taps.saturating_mul(x[3]) > MAX_ELEMENTS {
            let problem = format!("{rows} patches of {kernel:?} in {x:?} are too many");
            return Err(Error::invalid("patches", problem));
        }
        Ok(Self {
            x,
            kernel,
            conv,
            out,
            rows,
        })
    }

    /// Output pixels of one image.
    pub fn places(&self) -> usize {
        self.out[0] * self.out[1]
    }

    fn row(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.x[3]
    }

    /// The element of `x` that an element of a patch is.
    fn source(&self, place: usize, i: usize, j: usize) -> Option<usize> {
        let [n, height, width, channels] = self.x;
        let (image, pixel) = (place / self.places(), place % self.places());
        let (out_y, out_x) = (pixel / self.out[1], pixel % self.out[1]);
        let Conv {
            stride,
            dilation,
            padding,
            ..
        } = self.conv;
        let y = (out_y * stride[0] + i * dilation[0]).checked_sub(padding[0])?;
        let x = (out_x * stride[1] + j * dilation[1]).checked_sub(padding[1])?;
        let inside = image < n && y < height && x < width;
        inside.then_some(((image * height + y) * width + x) * channels)
    }
}

impl Kernel for Patches {
    fn name(&self) -> &'static str {
        "patches_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.x),
            Binding::read("at", DType::U32, [self.rows]),
            Binding::write("y", DType::F32, [self.rows, self.row()]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let ([n, height, width, channels], len) = (self.x, self.rows * self.row());
        let Conv {
            stride,
            dilation,
            padding,
            ..
        } = self.conv;
        let sizes = [len, height, width, channels];
        let more = [self.out[0], self.out[1], self.kernel[0], self.kernel[1]];
        let steps = [stride[0], stride[1], dilation[0], dilation[1]];
        let rest = [padding[0], padding[1], n, 0];
        let params = [sizes, more, steps, rest].map(|row| row.map(|number| number as u32));
        let source = include_str!("../../../shaders/movement/patches.wgsl");
        let params = params_bytes(&params);
        Ok(elementwise::launch(source, Spec::new(), params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (x, at) = (args[0].as_f32()?.to_vec(), args[1].as_u32()?.to_vec());
        let mut y = Vec::with_capacity(self.rows * self.row());
        for place in at {
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    match self.source(place as usize, i, j) {
                        Some(first) => y.extend_from_slice(&x[first..first + self.x[3]]),
                        None => y.resize(y.len() + self.x[3], 0.0),
                    }
                }
            }
        }
        args[2] = Tensor::from_f32(&[self.rows, self.row()], &y)?;
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
    }

    fn operations(&self) -> f64 {
        (self.rows * self.row()) as f64
    }

    /// Pixels that there are, and one behind the last.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let places = self.x[0] * self.places() + 1;
        for place in args[1].words_mut() {
            *place = rng.below(places) as u32;
        }
        args
    }
}

/// Shapes that hurt: one pixel, strides and paddings that differ, dilation, more rows than a workgroup.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let uneven = Conv {
        stride: [2, 1],
        padding: [0, 2, 1, 0],
        dilation: [1, 2],
        groups: 1,
    };
    let cases = [
        ([1, 1, 1, 1], [1, 1], Conv::square(1, 0, 1, 1), 1),
        ([2, 7, 5, 3], [3, 3], Conv::square(1, 1, 1, 1), 41),
        ([3, 9, 8, 5], [3, 2], uneven, 67),
        ([1, 12, 12, 16], [5, 5], Conv::square(2, 2, 1, 1), 9),
    ];
    let made = cases.into_iter();
    let made = made.filter_map(|(x, kernel, conv, rows)| Patches::new(x, kernel, conv, rows).ok());
    made.map(|kernel| Box::new(kernel) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 1 2    under 2 × 2 with a row of zeros above
        // 3 4
        let conv = Conv {
            padding: [1, 0, 0, 0],
            ..Conv::square(1, 0, 1, 1)
        };
        let kernel = Patches::new([1, 2, 2, 1], [2, 2], conv, 3).expect("fits");
        let mut args = [
            Tensor::from_f32(&[1, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0]).expect("fits"),
            Tensor::from_u32(&[3], &[1, 0, 2]).expect("fits"),
            Tensor::zeros(&[3, 4], DType::F32),
        ];
        kernel.cpu(&mut args).expect("right types");
        let y = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(args[2].to_f32(), y);
        assert_eq!(samples().len(), 4);
    }
}
