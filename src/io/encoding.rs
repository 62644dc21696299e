//! How one tensor of a model file is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::packing::{mask_len, pack_bits, packed_len, unpack_bits};
use super::stored::{StoredTensor, StoredType};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// A stored form other than the tensor itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Encoding {
    dtype: DType,
    shape: Shape,
    /// Bits of an integer; 8 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bits: Option<u32>,
    /// The tensor that holds one bit per element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
    /// The elements are those that the mask has, in order, and the others are 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sparse: bool,
    /// The mask is that of a pruned parameter, not just a shorter way to say where zeros are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pruned: bool,
}

/// More elements than any tensor has; few enough that their bits can be counted, also in 32.
const MAX_ELEMENTS: u64 = if usize::BITS > 32 { 1 << 32 } else { 1 << 28 };

/// A tensor as read, with the mask it was stored under.
pub(super) struct Decoded {
    pub tensor: Tensor,
    pub mask: Option<Tensor>,
}

/// A name for a tensor that belongs to another one: none that is taken.
pub(super) fn beside(name: &str, what: &str, taken: &mut BTreeSet<String>) -> String {
    let mut new = format!("{name}.{what}");
    while !taken.insert(new.clone()) {
        new.push('_');
    }
    new
}

/// Stores `tensor` in its smallest form and says how; `None` if it is stored as itself. `taken` holds the
/// names of the file's tensors.
pub(super) fn encode(
    name: &str,
    tensor: &Tensor,
    bits: u32,
    mask: Option<&Tensor>,
    taken: &mut BTreeSet<String>,
    out: &mut Vec<(String, StoredTensor)>,
) -> Result<Option<Encoding>> {
    let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
    let packed_bits = (dtype == DType::I8 && bits < 8).then_some(bits);
    let elements = Elements::of(tensor)?;
    let kept: Vec<bool> = match mask {
        Some(mask) => (0..tensor.len())
            .map(|i| mask.words()[i / 32] >> (i % 32) & 1 == 1)
            .collect(),
        None => (0..tensor.len()).map(|i| !elements.is_zero(i)).collect(),
    };
    // What lies under a mask may still be there, for training to take up again.
    let fits = (0..tensor.len()).all(|i| kept[i] || elements.is_zero(i));
    let count = kept.iter().filter(|&&kept| kept).count();
    let element_bits = packed_bits.map_or(8 * elements.size, |bits| bits as usize);
    let sparse_bytes = mask_len(tensor.len()) + (count * element_bits).div_ceil(8);
    let dense_bytes = (tensor.len() * element_bits).div_ceil(8);
    // Small tensors are not worth a second header entry.
    let sparse = fits && (mask.is_some() || sparse_bytes + 256 < dense_bytes);
    let mut encoding = Encoding {
        dtype,
        shape: shape.clone(),
        bits: packed_bits,
        mask: None,
        sparse,
        pruned: mask.is_some(),
    };
    if sparse || mask.is_some() {
        let mut bitmap = vec![0u8; mask_len(tensor.len())];
        for i in (0..tensor.len()).filter(|&i| kept[i]) {
            bitmap[i / 8] |= 1 << (i % 8);
        }
        let stored = StoredTensor::new(StoredType::U8, &[bitmap.len()], bitmap)?;
        let mask = beside(name, "mask", taken);
        out.push((mask.clone(), stored));
        encoding.mask = Some(mask);
    }
    let plain = packed_bits.is_none() && encoding.mask.is_none();
    let stored = match sparse {
        true => elements.select(&kept).store(&[count], packed_bits)?,
        false => elements.store(&shape, packed_bits)?,
    };
    out.push((name.into(), stored));
    Ok((!plain).then_some(encoding))
}

/// Reads a tensor back, taking what it needs from `stored`.
pub(super) fn decode(
    name: &str,
    encoding: Option<&Encoding>,
    stored: &mut BTreeMap<String, StoredTensor>,
) -> Result<Decoded> {
    let mut take = |name: &str| {
        stored.remove(name).ok_or_else(|| {
            Error::invalid(
                "model",
                format!("the tensor `{name}` is missing from the file"),
            )
        })
    };
    let Some(encoding) = encoding else {
        let tensor = take(name)?;
        let dtype = dtype_of(name, tensor.dtype)?;
        let shape = tensor.shape.clone();
        let elements = Elements {
            dtype,
            size: tensor.dtype.size(),
            bytes: tensor.bytes,
        };
        return Ok(Decoded {
            tensor: elements.to_tensor(name, &shape)?,
            mask: None,
        });
    };
    let (dtype, shape) = (encoding.dtype, &encoding.shape);
    let wrong = |what: &str| Error::invalid("model", format!("the tensor `{name}` {what}"));
    let count = shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
        .filter(|&count| count as u64 <= MAX_ELEMENTS)
        .ok_or_else(|| wrong("claims an impossible shape"))?;
    if encoding.bits.is_some_and(|bits| !(1..=8).contains(&bits)) {
        return Err(wrong("claims an impossible number of bits"));
    }
    let Some(mask) = &encoding.mask else {
        if encoding.sparse {
            return Err(wrong("is sparse and has no mask"));
        }
        let elements = Elements::load(name, take(name)?, dtype, encoding.bits, count)?;
        return Ok(Decoded {
            tensor: elements.to_tensor(name, shape)?,
            mask: None,
        });
    };
    let bitmap = take(mask)?.bytes;
    if bitmap.len() != mask_len(count) || (count % 8 != 0 && bitmap[count / 8] >> (count % 8) != 0)
    {
        return Err(wrong("has a mask of another size"));
    }
    let kept: Vec<bool> = (0..count)
        .map(|i| bitmap[i / 8] >> (i % 8) & 1 == 1)
        .collect();
    let stored = match encoding.sparse {
        true => kept.iter().filter(|&&kept| kept).count(),
        false => count,
    };
    let elements = Elements::load(name, take(name)?, dtype, encoding.bits, stored)?;
    let elements = match encoding.sparse {
        true => elements.scatter(&kept),
        false => elements,
    };
    let tensor = elements.to_tensor(name, shape)?;
    if !encoding.pruned {
        return Ok(Decoded { tensor, mask: None });
    }
    let mut words = vec![0u32; count.div_ceil(32)];
    for i in (0..count).filter(|&i| kept[i]) {
        words[i / 32] |= 1 << (i % 32);
    }
    let mask = Some(Tensor::from_u32(&[words.len()], &words)?);
    Ok(Decoded { tensor, mask })
}

fn dtype_of(name: &str, stored: StoredType) -> Result<DType> {
    match stored {
        StoredType::F32 => Ok(DType::F32),
        StoredType::F16 => Ok(DType::F16),
        StoredType::I8 => Ok(DType::I8),
        StoredType::I32 => Ok(DType::I32),
        StoredType::U32 => Ok(DType::U32),
        other => Err(Error::invalid(
            "model",
            format!("the tensor `{name}` has type {other:?}"),
        )),
    }
}

/// Dense elements without row padding.
struct Elements {
    dtype: DType,
    /// Bytes of one element.
    size: usize,
    bytes: Vec<u8>,
}

impl Elements {
    fn of(tensor: &Tensor) -> Result<Self> {
        let (size, bytes) = match tensor.dtype() {
            DType::F32 | DType::I32 | DType::U32 => (4, tensor.bytes().to_vec()),
            DType::I8 => (1, tensor.to_i8()?.into_iter().map(|q| q as u8).collect()),
            DType::F16 => {
                let half = |x: f64| half::f16::from_f64(x).to_le_bytes();
                (2, tensor.to_f64().into_iter().flat_map(half).collect())
            }
        };
        Ok(Self {
            dtype: tensor.dtype(),
            size,
            bytes,
        })
    }

    fn is_zero(&self, i: usize) -> bool {
        let element = &self.bytes[i * self.size..(i + 1) * self.size];
        match self.dtype {
            // −0 counts as zero.
            DType::F32 | DType::F16 => {
                element[self.size - 1] & 0x7f == 0
                    && element[..self.size - 1].iter().all(|&b| b == 0)
            }
            DType::I8 | DType::I32 | DType::U32 => element.iter().all(|&b| b == 0),
        }
    }

    fn select(&self, kept: &[bool]) -> Self {
        let chunks = self.bytes.chunks_exact(self.size).zip(kept);
        let bytes = chunks
            .filter(|(_, kept)| **kept)
            .flat_map(|(chunk, _)| chunk.to_vec())
            .collect();
        Self {
            dtype: self.dtype,
            size: self.size,
            bytes,
        }
    }

    fn scatter(&self, kept: &[bool]) -> Self {
        let mut values = self.bytes.chunks_exact(self.size);
        let mut bytes = vec![0; kept.len() * self.size];
        for (i, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
            if let Some(value) = values.next() {
                bytes[i * self.size..(i + 1) * self.size].copy_from_slice(value);
            }
        }
        Self {
            dtype: self.dtype,
            size: self.size,
            bytes,
        }
    }

    fn store(&self, shape: &[usize], bits: Option<u32>) -> Result<StoredTensor> {
        if let Some(bits) = bits {
            let values: Vec<i8> = self.bytes.iter().map(|&b| b as i8).collect();
            let packed = pack_bits(&values, bits)?;
            return StoredTensor::new(StoredType::U8, &[packed.len()], packed);
        }
        let dtype = match self.dtype {
            DType::F32 => StoredType::F32,
            DType::F16 => StoredType::F16,
            DType::I8 => StoredType::I8,
            DType::I32 => StoredType::I32,
            DType::U32 => StoredType::U32,
        };
        StoredTensor::new(dtype, shape, self.bytes.clone())
    }

    fn load(
        name: &str,
        stored: StoredTensor,
        dtype: DType,
        bits: Option<u32>,
        count: usize,
    ) -> Result<Self> {
        let wrong = || {
            Error::invalid(
                "model",
                format!("the tensor `{name}` does not hold {count} elements"),
            )
        };
        if let Some(bits) = bits {
            if stored.dtype != StoredType::U8 || packed_len(count, bits) != Some(stored.bytes.len())
            {
                return Err(wrong());
            }
            let bytes = unpack_bits(&stored.bytes, bits, count)?
                .into_iter()
                .map(|q| q as u8)
                .collect();
            return Ok(Self {
                dtype,
                size: 1,
                bytes,
            });
        }
        let size = stored.dtype.size();
        if dtype_of(name, stored.dtype)? != dtype || stored.bytes.len() != count * size {
            return Err(wrong());
        }
        Ok(Self {
            dtype,
            size,
            bytes: stored.bytes,
        })
    }

    fn to_tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if num_elements(shape) * self.size != self.bytes.len() {
            return Err(Error::invalid(
                "model",
                format!("the tensor `{name}` does not fill {shape:?}"),
            ));
        }
        match self.dtype {
            DType::F32 | DType::I32 | DType::U32 => {
                Tensor::from_words(shape, self.dtype, bytemuck::pod_collect_to_vec(&self.bytes))
            }
            DType::I8 => Tensor::from_i8(
                shape,
                &self.bytes.iter().map(|&b| b as i8).collect::<Vec<_>>(),
            ),
            DType::F16 => {
                let pairs = self.bytes.chunks_exact(2);
                let reals: Vec<f32> = pairs
                    .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                    .collect();
                Tensor::from_f32_as_f16(shape, &reals)
            }
        }
    }
}
