//! What a container holds: typed bytes with a shape.

use safetensors::Dtype;
use serde::Serialize;

use crate::error::{Error, Result};

/// What one stored element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum StoredType {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// Two's complement, 64 bits.
    I64,
    /// Two's complement, 32 bits.
    I32,
    /// Two's complement, 16 bits.
    I16,
    /// Two's complement, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits; also packed bits and masks.
    U8,
    /// One byte, 0 or 1.
    #[serde(rename = "BOOL")]
    Bool,
}

impl StoredType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The type that a file names; `None` for those that wizen does not know.
    pub(super) fn from_file(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::I16 => Self::I16,
            Dtype::I8 => Self::I8,
            Dtype::U64 => Self::U64,
            Dtype::U32 => Self::U32,
            Dtype::U16 => Self::U16,
            Dtype::U8 => Self::U8,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }
}

/// A tensor as a file holds it: dense, row-major, little endian, no row padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Element type.
    pub dtype: StoredType,
    /// Sizes of the axes in the file's own order (foreign files hold NCHW).
    pub shape: Vec<usize>,
    /// The elements: product of `shape` times the size of one.
    pub bytes: Vec<u8>,
}

impl StoredTensor {
    /// A tensor of these bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if `bytes` has another length than `shape` and `dtype` say.
    pub fn new(dtype: StoredType, shape: &[usize], bytes: Vec<u8>) -> Result<Self> {
        let tensor = Self {
            dtype,
            shape: shape.to_vec(),
            bytes,
        };
        tensor.check("stored tensor")?;
        Ok(tensor)
    }

    /// The elements of a float tensor as f32.
    ///
    /// # Errors
    /// [`Error::DType`] for types that are not float.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let chunks = self.bytes.chunks_exact(self.dtype.size());
        Ok(match self.dtype {
            StoredType::F32 => chunks
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            StoredType::F16 => chunks
                .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            StoredType::BF16 => chunks
                .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            StoredType::F64 => chunks
                .map(|b| {
                    f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
                })
                .collect(),
            other => {
                return Err(Error::DType {
                    op: "weights".into(),
                    operand: format!("{:?}", self.shape),
                    expected: "f32, f16, bf16 or f64".into(),
                    got: format!("{other:?}"),
                });
            }
        })
    }

    /// The elements of a tensor of any type as f64 (64-bit integers are rounded).
    #[cfg(feature = "data")]
    pub(super) fn to_f64(&self) -> Vec<f64> {
        fn each<const N: usize>(bytes: &[u8], real: fn([u8; N]) -> f64) -> Vec<f64> {
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&element| real(element))
                .collect()
        }
        let bytes = &self.bytes;
        match self.dtype {
            StoredType::F64 => each(bytes, f64::from_le_bytes),
            StoredType::F32 => each(bytes, |b| f32::from_le_bytes(b).into()),
            StoredType::F16 => each(bytes, |b| half::f16::from_le_bytes(b).into()),
            StoredType::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).into()),
            StoredType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
            StoredType::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
            StoredType::I32 => each(bytes, |b| i32::from_le_bytes(b).into()),
            StoredType::U32 => each(bytes, |b| u32::from_le_bytes(b).into()),
            StoredType::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
            StoredType::U16 => each(bytes, |b| u16::from_le_bytes(b).into()),
            StoredType::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
            StoredType::U8 | StoredType::Bool => each(bytes, |[b]| b.into()),
        }
    }

    /// A single integer, as PyTorch counts training steps in.
    fn is_counter(&self) -> bool {
        self.shape.is_empty() && matches!(self.dtype, StoredType::I64 | StoredType::I32)
    }

    /// `bytes` is as long as the shape and the type say.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let expected = self
            .shape
            .iter()
            .try_fold(self.dtype.size(), |product, &dim| product.checked_mul(dim));
        if expected == Some(self.bytes.len()) {
            return Ok(());
        }
        let rule = format!("one of {} bytes ({:?})", self.bytes.len(), self.dtype);
        Err(Error::shape("safetensors", name, rule, &self.shape))
    }
}

/// Name, shape and elements of a tensor.
pub type FloatTensor<'a> = (&'a str, &'a [usize], Vec<f32>);

/// The float tensors of a file, as `models::import` takes them; single
/// integers (PyTorch's counters of training steps) are left out.
///
/// # Errors
/// [`Error::Invalid`] naming a tensor of another type.
pub fn float_tensors(tensors: &[(String, StoredTensor)]) -> Result<Vec<FloatTensor<'_>>> {
    let wanted = tensors.iter().filter(|(_, tensor)| !tensor.is_counter());
    wanted
        .map(|(name, tensor)| {
            let data = tensor
                .to_f32()
                .map_err(|e| Error::invalid(format!("`{name}`"), e.to_string()))?;
            Ok((name.as_str(), tensor.shape.as_slice(), data))
        })
        .collect()
}
