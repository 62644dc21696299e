//! The window of a pooling: what max and average pooling of every dtype share.
//!
//! ```text
//! out = ⌊(size + 2·padding − kernel) / stride⌋ + 1
//! ```
//!
//! Output `o` covers inputs `o·stride − padding ..` `+ kernel`; what lies outside the input does not exist
//! (it never wins a maximum). PyTorch's rule with `ceil_mode = False`, `dilation = 1`.

use serde::{Deserialize, Serialize};

use super::Spec;
use crate::error::{Error, Result};

/// A square window, the same along both image axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Height and width of the window; at least 1.
    pub kernel: usize,
    /// Steps between windows; at least 1.
    pub stride: usize,
    /// Rows and columns that do not exist around the image; at most `kernel / 2`.
    pub padding: usize,
}

impl Pool {
    /// Windows along an axis of `size` elements.
    ///
    /// # Errors
    /// [`Error::Invalid`] if kernel or stride is 0, the padding exceeds half the kernel (a window could
    /// then be empty), or no window fits.
    pub fn out_size(&self, size: usize) -> Result<usize> {
        let Self {
            kernel,
            stride,
            padding,
        } = *self;
        let invalid = |problem: String| Err(Error::invalid("pool", problem));
        if kernel == 0 || stride == 0 {
            return invalid(format!(
                "kernel {kernel} and stride {stride}, expected both to be at least 1"
            ));
        }
        if padding > kernel / 2 {
            return invalid(format!(
                "padding {padding} with kernel {kernel}, expected at most half the kernel"
            ));
        }
        if size == 0 || size + 2 * padding < kernel {
            return invalid(format!(
                "kernel {kernel} does not fit {size} elements padded by {padding} on either side"
            ));
        }
        Ok((size + 2 * padding - kernel) / stride + 1)
    }

    /// Shape of the pooled image of `x`, `[n, h, w, c]`.
    ///
    /// # Errors
    /// As [`Self::out_size`].
    pub fn output_shape(&self, [n, h, w, c]: [usize; 4]) -> Result<[usize; 4]> {
        Ok([n, self.out_size(h)?, self.out_size(w)?, c])
    }

    /// The constants of shaders that pool images of shape `x` to `y`.
    pub(super) fn spec(&self, [_, h, w, _]: [usize; 4], [_, out_h, out_w, _]: [usize; 4]) -> Spec {
        Spec::new()
            .with("KERNEL", self.kernel as u32)
            .with("STRIDE", self.stride as u32)
            .with("PADDING", self.padding as u32)
            .with("IN_H", h as u32)
            .with("IN_W", w as u32)
            .with("OUT_H", out_h as u32)
            .with("OUT_W", out_w as u32)
    }

    /// The inputs that window `out` covers, cut to `0 .. size`: never empty for a valid window.
    pub fn span(&self, out: usize, size: usize) -> std::ops::Range<usize> {
        let start = out * self.stride;
        let end = (start + self.kernel).saturating_sub(self.padding);
        start.saturating_sub(self.padding)..end.min(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_by_hand() {
        let pool = |kernel, stride, padding| Pool {
            kernel,
            stride,
            padding,
        };
        assert_eq!(pool(2, 2, 0).out_size(28).expect("fits"), 14);
        assert_eq!(pool(3, 2, 1).out_size(112).expect("fits"), 56);
        assert_eq!(pool(3, 2, 0).out_size(7).expect("fits"), 3);
        assert_eq!(
            pool(3, 2, 1).output_shape([2, 5, 6, 7]).expect("fits"),
            [2, 3, 3, 7]
        );
        assert_eq!(pool(3, 2, 1).span(0, 5), 0..2);
        assert_eq!(pool(3, 2, 1).span(2, 5), 3..5);
    }

    #[test]
    fn no_window_is_ever_empty() {
        for kernel in 1..6 {
            for stride in 1..5 {
                for padding in 0..=kernel / 2 {
                    let pool = Pool {
                        kernel,
                        stride,
                        padding,
                    };
                    for size in 1..9 {
                        let Ok(out) = pool.out_size(size) else {
                            continue;
                        };
                        assert!((0..out).all(|o| !pool.span(o, size).is_empty()), "{pool:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn misfits_are_sentences() {
        let error = |kernel, stride, padding, size| {
            let pool = Pool {
                kernel,
                stride,
                padding,
            };
            pool.out_size(size).expect_err("does not fit").to_string()
        };
        assert_eq!(
            error(2, 0, 0, 4),
            "pool: kernel 2 and stride 0, expected both to be at least 1"
        );
        assert_eq!(
            error(3, 2, 2, 4),
            "pool: padding 2 with kernel 3, expected at most half the kernel"
        );
        assert_eq!(
            error(3, 2, 0, 2),
            "pool: kernel 3 does not fit 2 elements padded by 0 on either side"
        );
    }
}
