//! The host value that everything passes around.

use half::f16;

use super::dtype::{DType, Shape, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// A tensor in host memory: shape, element type, and its words as a device would hold them.
///
/// See [`DType`] for the storage rule (rows padded to whole words).
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    words: Vec<u32>,
}

impl Tensor {
    /// All zero bits.
    pub fn zeros(shape: &[usize], dtype: DType) -> Self {
        Self {
            shape: shape.to_vec(),
            dtype,
            words: vec![0; words_for(shape, dtype)],
        }
    }

    /// From words laid out as [`DType`] says.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of words does not fit the shape.
    pub fn from_words(shape: &[usize], dtype: DType, words: Vec<u32>) -> Result<Self> {
        let want = words_for(shape, dtype);
        if words.len() != want {
            let expected = format!("one of {} words ({dtype})", words.len());
            return Err(Error::shape("tensor", "words", expected, shape));
        }
        Ok(Self {
            shape: shape.to_vec(),
            dtype,
            words,
        })
    }

    fn from_scalars<T: Copy + bytemuck::Pod>(
        shape: &[usize],
        dtype: DType,
        data: &[T],
    ) -> Result<Self> {
        Self::check_len(shape, data.len())?;
        Ok(Self {
            shape: shape.to_vec(),
            dtype,
            words: bytemuck::cast_slice(data).to_vec(),
        })
    }

    /// Dense `f32` elements in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length than `shape`.
    pub fn from_f32(shape: &[usize], data: &[f32]) -> Result<Self> {
        Self::from_scalars(shape, DType::F32, data)
    }

    /// Dense `i32` elements in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length than `shape`.
    pub fn from_i32(shape: &[usize], data: &[i32]) -> Result<Self> {
        Self::from_scalars(shape, DType::I32, data)
    }

    /// Dense `u32` elements in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length than `shape`.
    pub fn from_u32(shape: &[usize], data: &[u32]) -> Result<Self> {
        Self::from_scalars(shape, DType::U32, data)
    }

    /// Dense `i8` elements in row-major order; rows are padded with zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length than `shape`.
    pub fn from_i8(shape: &[usize], data: &[i8]) -> Result<Self> {
        Self::check_len(shape, data.len())?;
        let mut tensor = Self::zeros(shape, DType::I8);
        tensor.pack_rows(|i| u32::from(data[i] as u8), 8);
        Ok(tensor)
    }

    /// Dense `f32` elements rounded to `f16` (half to even); rows are padded with zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` has another length than `shape`.
    pub fn from_f32_as_f16(shape: &[usize], data: &[f32]) -> Result<Self> {
        Self::check_len(shape, data.len())?;
        let mut tensor = Self::zeros(shape, DType::F16);
        tensor.pack_rows(|i| u32::from(f16::from_f32(data[i]).to_bits()), 16);
        Ok(tensor)
    }

    fn check_len(shape: &[usize], len: usize) -> Result<()> {
        if num_elements(shape) == len {
            return Ok(());
        }
        Err(Error::shape(
            "tensor",
            "data",
            format!("one of {len} elements"),
            shape,
        ))
    }

    /// Fills the words from a dense element function, `bits` per element.
    fn pack_rows(&mut self, element: impl Fn(usize) -> u32, bits: usize) {
        let row_len = self.shape.last().copied().unwrap_or(1);
        let per_word = 32 / bits;
        let row_words = row_words(&self.shape, self.dtype);
        for i in 0..num_elements(&self.shape) {
            let (row, col) = (i / row_len, i % row_len);
            self.words[row * row_words + col / per_word] |= element(i) << (bits * (col % per_word));
        }
    }

    fn unpack_rows<T>(&self, bits: usize, convert: impl Fn(u32) -> T) -> Vec<T> {
        let row_len = self.shape.last().copied().unwrap_or(1);
        let per_word = 32 / bits;
        let row_words = row_words(&self.shape, self.dtype);
        (0..num_elements(&self.shape))
            .map(|i| {
                let (row, col) = (i / row_len, i % row_len);
                convert(self.words[row * row_words + col / per_word] >> (bits * (col % per_word)))
            })
            .collect()
    }

    /// One tensor of several that differ in their first axis alone, one after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if they do not fit together, [`Error::Invalid`] for none.
    pub fn stacked<'a>(tensors: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let first = tensors
            .next()
            .ok_or_else(|| Error::invalid("stack", "there are no tensors"))?;
        let (mut shape, dtype) = (first.shape().to_vec(), first.dtype());
        let mut words = first.words().to_vec();
        for tensor in tensors {
            let rest = tensor.shape().get(1..);
            if rest != shape.get(1..) || shape.is_empty() {
                let expected = format!("{shape:?} but for the first axis");
                return Err(Error::shape("stack", "tensor", expected, tensor.shape()));
            }
            if tensor.dtype() != dtype {
                return Err(Error::DType {
                    op: "stack".into(),
                    operand: "tensor".into(),
                    expected: dtype.to_string(),
                    got: tensor.dtype().to_string(),
                });
            }
            shape[0] += tensor.shape()[0];
            words.extend_from_slice(tensor.words());
        }
        Self::from_words(&shape, dtype, words)
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements, padding not counted.
    pub fn len(&self) -> usize {
        num_elements(&self.shape)
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The words, padding included, as a device holds them.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// The words, writable.
    pub fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }

    /// The words as bytes (little endian on every platform that wgpu runs on).
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// The elements of an `F32` tensor without a copy.
    ///
    /// # Errors
    /// [`Error::DType`] for other types.
    pub fn as_f32(&self) -> Result<&[f32]> {
        self.expect_dtype(DType::F32)?;
        Ok(bytemuck::cast_slice(&self.words))
    }

    /// The elements of an `F32` tensor, writable.
    ///
    /// # Errors
    /// [`Error::DType`] for other types.
    pub fn as_f32_mut(&mut self) -> Result<&mut [f32]> {
        self.expect_dtype(DType::F32)?;
        Ok(bytemuck::cast_slice_mut(&mut self.words))
    }

    /// The elements of an `I32` tensor without a copy.
    ///
    /// # Errors
    /// [`Error::DType`] for other types.
    pub fn as_i32(&self) -> Result<&[i32]> {
        self.expect_dtype(DType::I32)?;
        Ok(bytemuck::cast_slice(&self.words))
    }

    /// The elements of a `U32` tensor without a copy.
    ///
    /// # Errors
    /// [`Error::DType`] for other types.
    pub fn as_u32(&self) -> Result<&[u32]> {
        self.expect_dtype(DType::U32)?;
        Ok(&self.words)
    }

    /// The dense elements of an `I8` tensor.
    ///
    /// # Errors
    /// [`Error::DType`] for other types.
    pub fn to_i8(&self) -> Result<Vec<i8>> {
        self.expect_dtype(DType::I8)?;
        Ok(self.unpack_rows(8, |bits| bits as u8 as i8))
    }

    /// The dense elements of any type as `f64`, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.dtype {
            DType::F32 => self
                .words
                .iter()
                .map(|&w| f64::from(f32::from_bits(w)))
                .collect(),
            DType::F16 => self.unpack_rows(16, |bits| f16::from_bits(bits as u16).to_f64()),
            DType::I8 => self.unpack_rows(8, |bits| f64::from(bits as u8 as i8)),
            DType::I32 => self.words.iter().map(|&w| f64::from(w as i32)).collect(),
            DType::U32 => self.words.iter().map(|&w| f64::from(w)).collect(),
        }
    }

    /// The dense elements of any type as `f32` (exact but for large 32-bit integers).
    pub fn to_f32(&self) -> Vec<f32> {
        self.to_f64().into_iter().map(|x| x as f32).collect()
    }

    fn expect_dtype(&self, dtype: DType) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        Err(Error::DType {
            op: "tensor".into(),
            operand: format!("{:?}", self.shape),
            expected: dtype.to_string(),
            got: self.dtype.to_string(),
        })
    }

    /// Element `i` of a float tensor stores `x`, rounded to the tensor's type.
    /// `data` holds all elements, dense.
    ///
    /// # Errors
    /// [`Error::DType`] unless the tensor is `F32` or `F16`; [`Error::Shape`] on another length.
    pub fn store_f64(&mut self, data: &[f64]) -> Result<()> {
        Self::check_len(&self.shape, data.len())?;
        match self.dtype {
            DType::F32 => {
                for (word, &x) in self.words.iter_mut().zip(data) {
                    *word = (x as f32).to_bits();
                }
            }
            DType::F16 => {
                self.words.fill(0);
                self.pack_rows(|i| u32::from(f16::from_f64(data[i]).to_bits()), 16);
            }
            DType::I8 | DType::I32 | DType::U32 => return self.expect_dtype(DType::F32),
        }
        Ok(())
    }

    /// All elements of an `I8` tensor; `data` is dense. Row padding becomes zero.
    ///
    /// # Errors
    /// [`Error::DType`] for other types; [`Error::Shape`] on another length.
    pub fn store_i8(&mut self, data: &[i8]) -> Result<()> {
        self.expect_dtype(DType::I8)?;
        Self::check_len(&self.shape, data.len())?;
        self.words.fill(0);
        self.pack_rows(|i| u32::from(data[i] as u8), 8);
        Ok(())
    }

    /// The same words under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the padded sizes differ (a packed type whose rows need repacking).
    pub fn reshaped(self, shape: &[usize]) -> Result<Self> {
        if num_elements(shape) != self.len() {
            return Err(Error::shape(
                "reshape",
                "x",
                format!("as many elements as {shape:?}"),
                &self.shape,
            ));
        }
        Self::from_words(shape, self.dtype, self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_round_trip_with_padding() {
        let data: Vec<i8> = (0..15i32).map(|i| (i * 17 - 120) as i8).collect();
        let tensor = Tensor::from_i8(&[3, 5], &data).expect("shape fits");
        assert_eq!(tensor.words().len(), 6);
        assert_eq!(tensor.to_i8().expect("i8"), data);
        let halves = [0.5f32, -2.0, 65504.0, 1.0 / 3.0, 0.0, 7.0];
        let tensor = Tensor::from_f32_as_f16(&[2, 3], &halves).expect("shape fits");
        assert_eq!(tensor.words().len(), 4);
        assert_eq!(tensor.to_f32()[2], 65504.0);
        assert_eq!(tensor.to_f32()[5], 7.0);
    }

    #[test]
    fn wrong_length_is_an_error_with_both_sizes() {
        let error = Tensor::from_f32(&[2, 3], &[1.0])
            .expect_err("1 is not 6")
            .to_string();
        assert_eq!(
            error,
            "tensor: `data` has shape [2, 3], expected one of 1 elements"
        );
    }
}
