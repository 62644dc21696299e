//! The geometry that every convolution shares.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a filter moves over an image.
///
/// ```text
/// out = (in + before + after − dilation·(kernel − 1) − 1) / stride + 1            along each axis
/// ```
///
/// Images are `[n, h, w, c]`, weights `[o, kh, kw, c / groups]`. Output channel `o` reads the input
/// channels of its group, `g = o / (o_total / groups)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv {
    /// Input pixels from one output pixel to the next: down, across.
    pub stride: [usize; 2],
    /// Zeros around the image: above, left, below, right.
    pub padding: [usize; 4],
    /// Input pixels from one filter tap to the next: down, across.
    pub dilation: [usize; 2],
    /// Channel groups that do not see each other; as many as input channels: depthwise.
    pub groups: usize,
}

/// The largest size, and the most elements of an operand: shaders count both in int32.
const MOST: usize = i32::MAX as usize;

impl Conv {
    /// The same along both axes, with as much padding on all sides.
    pub const fn square(stride: usize, padding: usize, dilation: usize, groups: usize) -> Self {
        Self {
            stride: [stride; 2],
            padding: [padding; 4],
            dilation: [dilation; 2],
            groups,
        }
    }

    /// Output pixels along an axis (0: height, 1: width) of `input` pixels under a filter of `kernel` taps.
    fn out_size(&self, axis: usize, input: usize, kernel: usize) -> Result<usize> {
        let invalid = |problem| Err(Error::invalid("conv2d", problem));
        let (stride, dilation) = (self.stride[axis], self.dilation[axis]);
        let (before, after) = (self.padding[axis], self.padding[axis + 2]);
        let sizes = [
            ("stride", stride),
            ("dilation", dilation),
            ("groups", self.groups),
            ("kernel", kernel),
        ];
        if let Some((what, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return invalid(format!("{what} is 0, expected at least 1"));
        }
        let span = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let padded = input.saturating_add(before).saturating_add(after);
        let sizes = [
            ("stride", stride),
            ("the filter's span", span),
            ("the padded input", padded),
        ];
        if let Some((what, size)) = sizes.iter().find(|(_, size)| *size > MOST) {
            return invalid(format!("{what} is {size} pixels, expected at most {MOST}"));
        }
        // More shows the filter nothing but padding, from one output to the next.
        if before.max(after) > span {
            return invalid(format!(
                "padding of {} pixels is more than the {span} that a kernel of {kernel} taps with dilation {dilation} \
                 spans",
                before.max(after)
            ));
        }
        if span > padded {
            return invalid(format!(
                "a kernel of {kernel} taps with dilation {dilation} spans {span} pixels, the input has {padded} \
                 ({input} + {before} + {after} padding)"
            ));
        }
        Ok((padded - span) / stride + 1)
    }

    /// Shape `[n, oh, ow, o]` of the output for `x` of `[n, h, w, c]` and `w` of
    /// `[o, kh, kw, c / groups]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels of `x` and `w` do not fit the groups, or an operand has no elements or more
    /// than int32 counts; [`Error::Invalid`] if stride, dilation, groups or the filter is 0, if the filter is larger
    /// than the padded input, or the padding larger than the filter.
    pub fn output_shape(&self, x: [usize; 4], w: [usize; 4]) -> Result<[usize; 4]> {
        let [n, height, width, channels] = x;
        let [out_channels, kernel_h, kernel_w, group_channels] = w;
        let out_h = self.out_size(0, height, kernel_h)?;
        let out_w = self.out_size(1, width, kernel_w)?;
        if group_channels.checked_mul(self.groups) != Some(channels) {
            let expected = format!(
                "[n, h, w, c] with c = {group_channels} · {} groups, as `w` {w:?} has it",
                self.groups
            );
            return Err(Error::shape("conv2d", "x", expected, &x));
        }
        if !out_channels.is_multiple_of(self.groups) {
            let expected = format!(
                "[o, kh, kw, c / groups] with o a multiple of {} groups",
                self.groups
            );
            return Err(Error::shape("conv2d", "w", expected, &w));
        }
        let y = [n, out_h, out_w, out_channels];
        countable("conv2d", "x", &x)?;
        countable("conv2d", "w", &w)?;
        countable("conv2d", "y", &y)?;
        Ok(y)
    }
}

/// Refuses an operand that has no elements or more than int32 counts.
pub(super) fn countable(op: &str, operand: &str, shape: &[usize]) -> Result<()> {
    let elements = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size));
    if elements.is_some_and(|elements| (1..=MOST).contains(&elements)) {
        return Ok(());
    }
    let expected = format!("one of 1 to {MOST} elements");
    Err(Error::shape(op, operand, expected, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Conv = Conv::square(1, 0, 1, 1);

    #[test]
    fn sizes() {
        let of = |conv: Conv, input, kernel| conv.out_size(0, input, kernel).expect("fits");
        assert_eq!(of(PLAIN, 14, 5), 10);
        assert_eq!(of(Conv::square(1, 2, 1, 1), 28, 5), 28);
        assert_eq!(of(Conv::square(2, 3, 1, 1), 224, 7), 112);
        let uneven = Conv {
            stride: [1, 2],
            padding: [0, 1, 2, 0],
            dilation: [2, 1],
            groups: 2,
        };
        let shape = uneven.output_shape([1, 9, 8, 4], [6, 3, 3, 2]);
        assert_eq!(shape.expect("fits"), [1, 7, 4, 6]);
    }

    #[test]
    fn errors_name_the_culprit() {
        let message = |conv: Conv, x, w| {
            conv.output_shape(x, w)
                .expect_err("does not fit")
                .to_string()
        };
        let stride = Conv {
            stride: [1, 0],
            ..PLAIN
        };
        assert!(message(stride, [1, 4, 4, 1], [1, 3, 3, 1]).contains("stride is 0"));
        assert_eq!(
            message(PLAIN, [1, 2, 4, 1], [1, 3, 3, 1]),
            "conv2d: a kernel of 3 taps with dilation 1 spans 3 pixels, the input has 2 (2 + 0 + 0 padding)"
        );
        assert!(message(PLAIN, [1, 4, 4, 3], [1, 3, 3, 1]).contains("`x` has shape [1, 4, 4, 3]"));
        let two = Conv { groups: 2, ..PLAIN };
        assert!(message(two, [1, 4, 4, 2], [3, 3, 3, 1]).contains("a multiple of 2 groups"));
    }

    #[test]
    fn nothing_is_cut_or_overflows() {
        let refused = |conv: Conv, x, w| {
            let error = conv.output_shape(x, w).expect_err("too large").to_string();
            assert!(error.starts_with("conv2d: "), "{error}");
        };
        let (x, w) = ([1, 8, 8, 2], [2, 3, 3, 2]);
        for size in [1 << 32, 1 << 61, 1 << 63, usize::MAX] {
            refused(Conv::square(size, 0, 1, 1), x, w);
            refused(Conv::square(1, size, 1, 1), x, w);
            refused(Conv::square(1, 0, size, 1), x, w);
            refused(Conv::square(1, 1, 1, size), x, w);
            refused(PLAIN, [1, size, 8, 2], w);
            refused(PLAIN, [size, 8, 8, 2], w);
            refused(PLAIN, x, [size, 3, 3, 2]);
            refused(PLAIN, x, [2, size, 3, 2]);
        }
        refused(Conv::square(1, 8192, 1, 1), x, w);
        refused(Conv::square(1, 1 << 20, 1 << 19, 1), x, w);
        refused(PLAIN, x, [0, 3, 3, 2]);
        assert!(
            Conv::square(1, 1, 1, 1)
                .output_shape(x, [2, 1, 1, 2])
                .is_ok()
        );
    }
}
