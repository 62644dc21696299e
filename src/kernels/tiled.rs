//! What the variants of a product share, except the plain one, seen from the host.

use std::borrow::Cow;

use super::{
    Caps, Conv, Launch, Spec, Variant, cooperative, depthwise, params_bytes, subgroup, workgroup,
};
use crate::base::DType;
use crate::error::Result;

/// The shader of such a variant, and what is the kernel's own in it.
#[derive(Clone, Debug)]
pub(super) struct Tiled {
    /// The kernel's name, for errors.
    pub op: &'static str,
    /// Elements of both operands.
    pub dtype: DType,
    /// The text.
    pub source: Cow<'static, str>,
    /// Constants besides those of the tile.
    pub spec: Spec,
    /// Parameters after those that all such kernels have.
    pub more: Vec<u32>,
}

impl Tiled {
    /// The launch of a matrix product: `m` by `n` outputs, each the sum of `k` products.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] if the device does not have the variant, or it is the plain one.
    pub fn matrix(self, variant: Variant, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
        match variant {
            Variant::Subgroup => subgroup::matrix_launch(self, [m, n, k], caps),
            Variant::Workgroup => Ok(workgroup::matrix_launch(self, [m, n, k], caps)),
            Variant::Cooperative => cooperative::matrix_launch(self, [m, n, k], caps),
            Variant::Plain | Variant::Depthwise => Err(variant.unsupported(self.op)),
        }
    }

    /// The launch of a convolution without groups, or of one whose groups are single channels.
    ///
    /// # Errors
    /// As [`Self::matrix`] and [`Conv::output_shape`]; [`crate::Error::Unsupported`] for a geometry that
    /// the variant does not take.
    pub fn conv(
        self,
        variant: Variant,
        shapes: ([usize; 4], [usize; 4], Conv),
        caps: &Caps,
    ) -> Result<Launch> {
        match variant {
            Variant::Subgroup => subgroup::conv_launch(self, shapes, caps),
            Variant::Workgroup => workgroup::conv_launch(self, shapes, caps),
            Variant::Depthwise => depthwise::conv_launch(self, shapes, caps),
            Variant::Cooperative => cooperative::conv_launch(self, shapes, caps),
            Variant::Plain => Err(variant.unsupported(self.op)),
        }
    }

    /// Words of `elements` elements that lie side by side.
    pub fn words(&self, elements: usize) -> usize {
        elements.div_ceil(self.dtype.lanes())
    }

    /// The parameters: those that are shared, then the kernel's own.
    pub fn params(&self, shared: &impl bytemuck::NoUninit) -> Vec<u8> {
        with_words(params_bytes(shared), &self.more)
    }
}

/// Parameters with more words behind them.
pub(super) fn with_words(mut params: Vec<u8>, more: &[u32]) -> Vec<u8> {
    params.extend(more.iter().flat_map(|word| word.to_le_bytes()));
    params
}

/// Strides, padding before the image and dilations, as the parameters of convolutions have them.
pub(super) fn geometry_words(conv: &Conv) -> [u32; 6] {
    let ([top, left, ..], [stride_h, stride_w]) = (conv.padding, conv.stride);
    let [dilation_h, dilation_w] = conv.dilation;
    [stride_h, stride_w, top, left, dilation_h, dilation_w].map(|size| size as u32)
}
