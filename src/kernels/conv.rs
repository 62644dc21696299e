//! The geometry that every convolution shares.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a filter moves over an image; the same along both axes.
///
/// ```text
/// out = (in + 2·padding − dilation·(kernel − 1) − 1) / stride + 1
/// ```
///
/// Images are `[n, h, w, c]`, weights `[o, kh, kw, c / groups]`. Output channel `o` reads the input
/// channels of its group, `g = o / (o_total / groups)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv {
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
    /// Zeros around the image, on each side.
    pub padding: usize,
    /// Input pixels from one filter tap to the next.
    pub dilation: usize,
    /// Channel groups that do not see each other; as many as input channels: depthwise.
    pub groups: usize,
}

impl Conv {
    /// Output pixels along an axis of `input` pixels under a filter of `kernel` taps.
    ///
    /// # Errors
    /// [`Error::Invalid`] if stride, dilation, groups or the filter is 0, or if the filter is larger
    /// than the padded input.
    pub fn out_size(&self, input: usize, kernel: usize) -> Result<usize> {
        let sizes = [
            ("stride", self.stride),
            ("dilation", self.dilation),
            ("groups", self.groups),
            ("kernel", kernel),
        ];
        if let Some((what, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::invalid(
                "conv2d",
                format!("{what} is 0, expected at least 1"),
            ));
        }
        let span = self.dilation * (kernel - 1) + 1;
        let padded = input + 2 * self.padding;
        if span > padded {
            let problem = format!(
                "a kernel of {kernel} taps with dilation {} spans {span} pixels, the input has \
                 {padded} ({input} + 2 · {} padding)",
                self.dilation, self.padding
            );
            return Err(Error::invalid("conv2d", problem));
        }
        Ok((padded - span) / self.stride + 1)
    }

    /// Shape `[n, oh, ow, o]` of the output for `x` of `[n, h, w, c]` and `w` of
    /// `[o, kh, kw, c / groups]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels of `x` and `w` do not fit the groups; otherwise as
    /// [`Self::out_size`].
    pub fn output_shape(&self, x: [usize; 4], w: [usize; 4]) -> Result<[usize; 4]> {
        let [n, height, width, channels] = x;
        let [out_channels, kernel_h, kernel_w, group_channels] = w;
        let out_h = self.out_size(height, kernel_h)?;
        let out_w = self.out_size(width, kernel_w)?;
        if channels != group_channels * self.groups {
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
        Ok([n, out_h, out_w, out_channels])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Conv = Conv {
        stride: 1,
        padding: 0,
        dilation: 1,
        groups: 1,
    };

    #[test]
    fn sizes() {
        assert_eq!(PLAIN.out_size(14, 5).expect("fits"), 10);
        let same = Conv {
            padding: 2,
            ..PLAIN
        };
        assert_eq!(same.out_size(28, 5).expect("fits"), 28);
        let resnet = Conv {
            stride: 2,
            padding: 3,
            ..PLAIN
        };
        assert_eq!(resnet.out_size(224, 7).expect("fits"), 112);
        let dilated = Conv {
            dilation: 2,
            groups: 2,
            ..PLAIN
        };
        let shape = dilated
            .output_shape([1, 9, 7, 4], [6, 3, 3, 2])
            .expect("fits");
        assert_eq!(shape, [1, 5, 3, 6]);
    }

    #[test]
    fn errors_name_the_culprit() {
        let message = |conv: Conv, x, w| {
            conv.output_shape(x, w)
                .expect_err("does not fit")
                .to_string()
        };
        let stride = Conv { stride: 0, ..PLAIN };
        assert!(message(stride, [1, 4, 4, 1], [1, 3, 3, 1]).contains("stride is 0"));
        assert_eq!(
            message(PLAIN, [1, 2, 4, 1], [1, 3, 3, 1]),
            "conv2d: a kernel of 3 taps with dilation 1 spans 3 pixels, the input has 2 (2 + 2 · 0 padding)"
        );
        assert!(message(PLAIN, [1, 4, 4, 3], [1, 3, 3, 1]).contains("`x` has shape [1, 4, 4, 3]"));
        let two = Conv { groups: 2, ..PLAIN };
        assert!(message(two, [1, 4, 4, 2], [3, 3, 3, 1]).contains("a multiple of 2 groups"));
    }
}
