//! What the programs of the family are put together from.
//!
//! | part | says | files |
//! |---|---|---|
//! | `elements` | what a word holds, and products | `quad_*` four at a time, `element_*` one, `depthwise_*`, `cooperative_*` |
//! | `rows` | where rows of x lie | `rows_matrix`, `rows_conv`; `subgroup_matrix`, `subgroup_conv` |
//! | `out` | bias, and how sums become y | `out_*`, `subgroup_out_*` |
//! | `residual`, `activation` | what comes before that | `residual_*`; a row of [`Unary`] |
//! | `mapped` | what int8 goes through last | `common/mapped_*`, see [`WithTable`](crate::kernels::map::WithTable) |
//! | `sharing` | how neighbours share what they load | `eight*`, `team*` |

use super::{
    Caps, Const, Conv, Launch, OutI8, ResidualI8, Spec, Variant, cooperative, depthwise,
    params_bytes, subgroup, workgroup,
};
use crate::base::{DType, Requant};
use crate::error::{Error, Result};
use crate::kernels::map::Unary;

/// The floats of a product. Sums and bias are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// f32 throughout.
    F32,
    /// f16, two to a word; products are f32 and exact.
    F16,
    /// f16, and multiplied as such, so that a product is rounded to f16 (and must not exceed 65504) before it enters
    /// the sum. Needs [`Caps::f16`].
    NativeF16,
}

impl Float {
    /// The type of the elements.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 | Self::NativeF16 => DType::F16,
        }
    }
}

/// What is a product's own in a program of the family.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// The kernel's name, for errors.
    pub op: &'static str,
    /// Elements of both operands.
    pub dtype: DType,
    /// Elements of the output.
    out: DType,
    native: bool,
    spec: Spec,
    /// The parameters that all programs end with.
    last: [u32; 7],
}

impl Parts {
    /// Of floats, with `columns` columns of y.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for native f16 if the device has none; as [`Unary::check`].
    pub fn float(
        op: &'static str,
        float: Float,
        (act, residual): (Option<Unary>, bool),
        columns: usize,
        caps: &Caps,
    ) -> Result<Self> {
        let native = float == Float::NativeF16;
        if native && !caps.f16 {
            return Err(Error::Unsupported {
                op: op.into(),
                problem: "it has no native f16; use the packed variant".into(),
            });
        }
        let dtype = float.dtype();
        let mut spec = Spec::new();
        if let Some(act) = act {
            act.check()?;
            spec = spec.part_text("activation", act.wgsl());
        }
        if residual {
            spec = spec.part("residual", file(dtype, RESIDUAL));
        }
        Ok(Self {
            op,
            dtype,
            out: dtype,
            native,
            spec,
            last: [columns.div_ceil(dtype.lanes()) as u32, 0, 0, 0, 0, 0, 0],
        })
    }

    /// Of int8, with `columns` columns of y; without `out` the sums are the output.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a residual without `out`.
    pub fn int8(
        op: &'static str,
        x_zero_point: i32,
        out: Option<OutI8>,
        residual: Option<ResidualI8>,
        columns: usize,
    ) -> Result<Self> {
        let mut spec = Spec::new();
        let mut last = [columns.div_ceil(4) as u32, 0, 0, 0, 0, 0, 0];
        last[1] = u32::from_le_bytes([x_zero_point as u8; 4]);
        if let Some(out) = out {
            spec = spec.with("FIXED", out.requant == Requant::Fixed);
            let range = out.range;
            last[2..5].copy_from_slice(&[out.zero_point, range.qmin, range.qmax].map(|i| i as u32));
        } else if residual.is_some() {
            return Err(Error::Unsupported {
                op: op.into(),
                problem: "only sums that become int8 take a residual; add it after dequantizing"
                    .into(),
            });
        }
        if let Some(residual) = residual {
            spec = spec.part("residual", file(DType::I8, RESIDUAL));
            last[5..].copy_from_slice(&[residual.zero_point as u32, residual.shift]);
        }
        Ok(Self {
            op,
            dtype: DType::I8,
            out: out.map_or(DType::I32, |_| DType::I8),
            native: false,
            spec,
            last,
        })
    }

    /// Words of `elements` elements that lie side by side.
    pub fn words(&self, elements: usize) -> usize {
        elements.div_ceil(self.dtype.lanes())
    }

    /// The parameters: those of the program, then the product's own.
    pub fn params(&self, own: &impl bytemuck::NoUninit) -> Vec<u8> {
        let mut params = params_bytes(own);
        params.extend(self.last.iter().flat_map(|word| word.to_le_bytes()));
        params
    }

    fn with(&self, elements: &'static str) -> Spec {
        let spec = self.spec.clone().part("elements", elements);
        if self.native {
            spec.with("Factor", Const::Type("f16"))
        } else {
            spec
        }
    }

    /// Four products at a time.
    pub fn quads(&self) -> Spec {
        let spec = self.with(file(self.dtype, QUADS));
        spec.part("out", file(self.out, OUT))
    }

    /// One product at a time; `dot`: of int8 by the device's instruction.
    pub fn scalars(&self, dot: bool) -> Spec {
        let elements = match self.dtype {
            DType::I8 if dot => "common/product/element_i8_dot.wgsl",
            dtype => file(dtype, SCALARS),
        };
        self.with(elements).part("out", file(self.out, OUT))
    }

    /// One product at a time, sums spread over the lanes of a subgroup.
    pub fn lanes(&self) -> Spec {
        let spec = self.with(file(self.dtype, SCALARS));
        spec.part("out", file(self.out, SUBGROUP_OUT))
    }

    /// Channels by themselves.
    pub fn channels(&self) -> Spec {
        let spec = self.with(file(self.dtype, CHANNELS));
        match self.dtype {
            DType::I8 => spec.part("out", file(self.out, OUT)),
            _ => spec,
        }
    }

    /// Matrices.
    pub fn matrices(&self) -> Spec {
        let spec = self.spec.clone();
        spec.part("elements", file(self.dtype, MATRICES))
            .part("out", file(self.out, OUT))
    }

    /// The launch of a matrix product: `m` by `n` outputs, each the sum of `k` products.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device does not have the variant, or it is the plain one.
    pub fn matrix(self, variant: Variant, [m, n, k]: [usize; 3], caps: &Caps) -> Result<Launch> {
        match variant {
            Variant::Plain => Ok(super::matmul::launch(&self, [m, n, k], caps)),
            Variant::Subgroup => subgroup::matrix_launch(&self, [m, n, k], caps),
            Variant::Workgroup => Ok(workgroup::matrix_launch(&self, [m, n, k], caps)),
            Variant::Cooperative => cooperative::matrix_launch(&self, [m, n, k], caps),
            Variant::Depthwise => Err(variant.unsupported(self.op)),
        }
    }

    /// The launch of a convolution; all but the plain one take none with groups, or those of single channels alone.
    ///
    /// # Errors
    /// As [`Self::matrix`] and [`Conv::output_shape`]; [`Error::Unsupported`] for a geometry that the variant does not
    /// take.
    pub fn conv(
        self,
        variant: Variant,
        shapes: ([usize; 4], [usize; 4], Conv),
        caps: &Caps,
    ) -> Result<Launch> {
        match variant {
            Variant::Plain => super::conv2d::launch(&self, shapes, caps),
            Variant::Subgroup => subgroup::conv_launch(&self, shapes, caps),
            Variant::Workgroup => workgroup::conv_launch(&self, shapes, caps),
            Variant::Depthwise => depthwise::conv_launch(&self, shapes, caps),
            Variant::Cooperative => cooperative::conv_launch(&self, shapes, caps),
        }
    }
}

/// Files of a part for f32, f16, int8 and int32.
type Files = [&'static str; 4];

macro_rules! files {
    ($name:ident, $stem:literal) => {
        const $name: Files = [
            concat!("common/product/", $stem, "_f32.wgsl"),
            concat!("common/product/", $stem, "_f16.wgsl"),
            concat!("common/product/", $stem, "_i8.wgsl"),
            concat!("common/product/", $stem, "_i32.wgsl"),
        ];
    };
}

files!(QUADS, "quad");
files!(SCALARS, "element");
files!(CHANNELS, "depthwise");
files!(MATRICES, "cooperative");
files!(OUT, "out");
files!(SUBGROUP_OUT, "subgroup_out");
files!(RESIDUAL, "residual");

fn file(dtype: DType, files: Files) -> &'static str {
    match dtype {
        DType::F32 => files[0],
        DType::F16 => files[1],
        DType::I8 => files[2],
        DType::I32 | DType::U32 => files[3],
    }
}

/// Strides, padding before the image and dilations, as the parameters of convolutions have them.
pub(super) fn geometry_words(conv: &Conv) -> [u32; 6] {
    let ([top, left, ..], [stride_h, stride_w]) = (conv.padding, conv.stride);
    let [dilation_h, dilation_w] = conv.dilation;
    [stride_h, stride_w, top, left, dilation_h, dilation_w].map(|size| size as u32)
}
