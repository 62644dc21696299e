//! Sizes, taps and counts of windows: PyTorch's rules, with pads on each side and dilation for means too, as in ONNX.
//!
//! ```text
//! extent = (kernel − 1) · dilation + 1
//! out    = ⌊(before + size + after − extent) / stride⌋ + 1          ⌈…⌉ with ceil_mode, but for a window
//!                                                                    that would start behind the image
//! count  = taps inside the image; with count_include_pad also those inside the padding
//! ```

use serde::{Deserialize, Serialize};

use super::super::Spec;
use crate::error::{Error, Result};

/// A window that goes over an image, rows first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Taps along height and width; at least 1.
    pub kernel: [usize; 2],
    /// Steps between windows; at least 1.
    pub stride: [usize; 2],
    /// Rows and columns around the image that hold nothing (top, left, bottom, right): at most half of a window.
    pub padding: [usize; 4],
    /// Steps between taps; at least 1.
    pub dilation: [usize; 2],
    /// The last window may hang over the end.
    pub ceil_mode: bool,
    /// Taps in the padding count, as zeros, in a mean.
    pub count_include_pad: bool,
}

/// Sizes, their sums and products stay below four times this, within the 32 bits of a shader.
const LIMIT: usize = 1 << 30;

impl Pool {
    /// The same along both axes, without dilation, `ceil_mode` off; padding does not count.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 4],
            dilation: [1; 2],
            ceil_mode: false,
            count_include_pad: false,
        }
    }

    /// One window that is all of an image: what is called global.
    pub const fn whole(height: usize, width: usize) -> Self {
        Self {
            kernel: [height, width],
            ..Self::square(1, 1, 0)
        }
    }

    /// Shape of the pooled image of `x`, `[n, h, w, c]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if kernel, stride or dilation is 0 or huge, the padding exceeds half a window, no window
    /// fits, or one has no tap inside the image.
    pub fn output_shape(&self, x: [usize; 4]) -> Result<[usize; 4]> {
        let [rows, columns] = self.axes(x)?;
        Ok([x[0], rows.out, columns.out, x[3]])
    }

    /// The same for bindings, which cannot fail: nothing at all where the geometry is wrong, which a plan refuses
    /// and `launch` explains.
    pub(super) fn output_or_empty(&self, x: [usize; 4]) -> [usize; 4] {
        self.output_shape(x).unwrap_or([0; 4])
    }

    /// Rows and columns.
    ///
    /// # Errors
    /// As [`Self::output_shape`].
    pub(super) fn axes(&self, [_, h, w, _]: [usize; 4]) -> Result<[Axis; 2]> {
        let axis = |i: usize, size| {
            Axis {
                size,
                kernel: self.kernel[i],
                stride: self.stride[i],
                before: self.padding[i],
                after: self.padding[i + 2],
                dilation: self.dilation[i],
                out: 0,
            }
            .checked(self.ceil_mode)
        };
        Ok([axis(0, h)?, axis(1, w)?])
    }

    /// The constants of `common/window.wgsl`.
    pub(super) fn spec(&self, [rows, columns]: [Axis; 2]) -> Spec {
        let cut = [rows, columns].iter().any(|axis| axis.is_cut());
        let taps = rows.kernel.max(columns.kernel);
        Spec::new()
            .with("IN_H", rows.size as u32)
            .with("IN_W", columns.size as u32)
            .with("OUT_H", rows.out as u32)
            .with("OUT_W", columns.out as u32)
            .with("KERNEL_H", rows.kernel as u32)
            .with("KERNEL_W", columns.kernel as u32)
            .with("STRIDE_H", rows.stride as u32)
            .with("STRIDE_W", columns.stride as u32)
            .with("TOP", rows.before as u32)
            .with("LEFT", columns.before as u32)
            .with("BOTTOM", rows.after as u32)
            .with("RIGHT", columns.after as u32)
            .with("DILATION_H", rows.dilation as u32)
            .with("DILATION_W", columns.dilation as u32)
            .with("CUT", cut)
            .with("LONG", cut && taps > 8)
            .with("INCLUDE_PAD", self.count_include_pad)
    }

    /// Whether windows lie side by side and are whole.
    pub(super) fn tiles(&self, axes: [Axis; 2]) -> bool {
        let tiles = |axis: Axis| axis.kernel == axis.stride && axis.dilation == 1 && !axis.is_cut();
        axes.into_iter().all(tiles)
    }
}

/// The windows along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Elements.
    pub size: usize,
    pub kernel: usize,
    pub stride: usize,
    before: usize,
    after: usize,
    dilation: usize,
    /// Windows.
    pub out: usize,
}

impl Axis {
    fn checked(mut self, ceil_mode: bool) -> Result<Self> {
        let invalid = |problem: String| Err(Error::invalid("pool", problem));
        let (kernel, stride, dilation) = (self.kernel, self.stride, self.dilation);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return invalid(format!(
                "kernel {kernel}, stride {stride}, dilation {dilation}, expected each to be at least 1"
            ));
        }
        let extent = (kernel - 1).saturating_mul(dilation).saturating_add(1);
        if extent.max(stride).max(dilation).max(self.size) > LIMIT {
            return invalid(format!(
                "kernel {kernel}, stride {stride}, dilation {dilation} over {} elements, expected less than 2^30",
                self.size
            ));
        }
        let (before, after) = (self.before, self.after);
        if before.max(after) > extent / 2 {
            return invalid(format!(
                "padding {before} and {after} around a window of {extent}, expected at most half of it"
            ));
        }
        let padded = before + self.size + after;
        if self.size == 0 || padded < extent {
            return invalid(format!(
                "a window of {extent} does not fit {} elements padded by {before} and {after}",
                self.size
            ));
        }
        let steps = padded - extent;
        self.out = 1 + if ceil_mode {
            steps.div_ceil(stride)
        } else {
            steps / stride
        };
        if (self.out - 1) * stride >= before + self.size {
            self.out -= 1;
        }
        // Without dilation a window that starts inside the image or the padding before it reaches an element.
        let empty = |out: &usize| self.taps(*out).next().is_none();
        match (0..self.out).find(empty).filter(|_| dilation > 1) {
            Some(out) => invalid(format!(
                "no tap of window {out} lies inside {} elements; take a smaller dilation or padding",
                self.size
            )),
            None => Ok(self),
        }
    }

    /// The elements that lie under window `out`.
    pub fn taps(self, out: usize) -> impl Iterator<Item = usize> + Clone {
        let start = out * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.before + self.size).saturating_sub(start);
        let end = end.div_ceil(self.dilation).min(self.kernel);
        (first..end).map(move |tap| start + tap * self.dilation - self.before)
    }

    /// Taps of window `out` that count in a mean.
    pub fn count(self, out: usize, include_pad: bool) -> usize {
        if !include_pad {
            return self.taps(out).count();
        }
        let end = self.before + self.size + self.after - out * self.stride;
        end.div_ceil(self.dilation).min(self.kernel)
    }

    /// Whether a window reaches beyond the elements.
    fn is_cut(self) -> bool {
        let end = (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation;
        self.before > 0 || end >= self.size
    }
}

/// The windows of images, one after the other: image, the row's and the column's elements, their product's count.
pub(super) fn windows(n: usize, [rows, columns]: [Axis; 2]) -> impl Iterator<Item = [usize; 3]> {
    (0..n * rows.out * columns.out).map(move |i| {
        [
            i / (rows.out * columns.out),
            i / columns.out % rows.out,
            i % columns.out,
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(pool: Pool, size: usize) -> usize {
        let [rows, _] = pool.axes([1, size, size, 1]).expect("fits");
        rows.out
    }

    #[test]
    fn sizes_by_hand() {
        assert_eq!(size(Pool::square(2, 2, 0), 28), 14);
        assert_eq!(size(Pool::square(3, 2, 1), 112), 56);
        assert_eq!(size(Pool::square(3, 2, 0), 7), 3);
        let ceil = |kernel, stride, padding| Pool {
            ceil_mode: true,
            ..Pool::square(kernel, stride, padding)
        };
        assert_eq!(size(ceil(3, 2, 0), 6), 3);
        // The third window would start behind the image.
        assert_eq!(size(ceil(2, 2, 1), 3), 2);
        let dilated = Pool {
            dilation: [2; 2],
            ..Pool::square(3, 1, 2)
        };
        assert_eq!(size(dilated, 4), 4);
        let [rows, _] = dilated.axes([1, 4, 4, 1]).expect("fits");
        assert_eq!(rows.taps(0).collect::<Vec<_>>(), [0, 2]);
        assert_eq!((rows.count(0, false), rows.count(0, true)), (2, 3));
        let [rows, _] = ceil(3, 2, 1).axes([1, 6, 6, 1]).expect("fits");
        // PyTorch: what lies beyond the padding never counts.
        assert_eq!(
            (rows.out, rows.count(3, true), rows.count(3, false)),
            (4, 2, 1)
        );
    }

    #[test]
    fn no_window_is_ever_empty() {
        for kernel in 1..6usize {
            for (stride, dilation) in [(1, 1), (2, 1), (4, 1), (1, 2), (3, 4)] {
                for padding in 0..=((kernel - 1) * dilation).div_ceil(2) {
                    for (size, ceil_mode) in [(1, false), (4, true), (5, false), (8, true)] {
                        let pool = Pool {
                            dilation: [dilation; 2],
                            ceil_mode,
                            ..Pool::square(kernel, stride, padding)
                        };
                        let Ok([rows, _]) = pool.axes([1, size, size, 1]) else {
                            continue;
                        };
                        assert!((0..rows.out).all(|o| rows.taps(o).count() > 0), "{pool:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn misfits_are_sentences() {
        let huge = usize::MAX;
        for (pool, problem) in [
            (Pool::square(2, 0, 0), "stride 0"),
            (Pool::square(3, 2, 2), "at most half"),
            (Pool::square(5, 2, 0), "does not fit"),
            (Pool::square(huge, 1, 0), "less than 2^30"),
            (Pool::square(2, huge / 2 + 1, 0), "less than 2^30"),
            (Pool::square(2, 2, huge), "at most half"),
            (
                Pool {
                    dilation: [1 << 32; 2],
                    ..Pool::square(2, 1, 0)
                },
                "less than 2^30",
            ),
            (
                Pool {
                    dilation: [6; 2],
                    ..Pool::square(2, 1, 3)
                },
                "no tap of window",
            ),
        ] {
            let error = pool
                .output_shape([1, 2, 2, 1])
                .expect_err("wrong")
                .to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
