//! Tensors of a file in host memory, of whatever type the file gives them.

use half::{bf16, f16};
use prost::bytes::Bytes;

use super::proto::TensorProto;
use crate::base::{DType, MAX_ELEMENTS, Tensor, num_elements};
use crate::error::{Error, Result};

/// Element types, with their numbers in `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elem {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    BF16 = 16,
    U4 = 21,
    I4 = 22,
}

const ELEMS: [Elem; 15] = [
    Elem::F32,
    Elem::U8,
    Elem::I8,
    Elem::U16,
    Elem::I16,
    Elem::I32,
    Elem::I64,
    Elem::Bool,
    Elem::F16,
    Elem::F64,
    Elem::U32,
    Elem::U64,
    Elem::BF16,
    Elem::U4,
    Elem::I4,
];

impl Elem {
    pub fn from_number(number: i32) -> Result<Self> {
        let found = ELEMS.into_iter().find(|elem| *elem as i32 == number);
        found.ok_or_else(|| {
            let what = match number {
                0 => "no element type".to_owned(),
                8 => "strings".to_owned(),
                14 | 15 => "complex numbers".to_owned(),
                17..=20 | 23 | 24 => "floats of 8 or fewer bits".to_owned(),
                other => format!("elements of type {other}"),
            };
            Error::invalid("onnx", format!("a tensor of {what}, which cannot be read"))
        })
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::F64 | Self::BF16)
    }

    fn bits(self) -> usize {
        match self {
            Self::U4 | Self::I4 => 4,
            Self::U8 | Self::I8 | Self::Bool => 8,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 16,
            Self::F32 | Self::I32 | Self::U32 => 32,
            Self::F64 | Self::I64 | Self::U64 => 64,
        }
    }

    /// Smallest and largest integer; `None` for floats and for what is wider than 32 bits.
    pub fn range(self) -> Option<[i64; 2]> {
        Some(match self {
            Self::U4 => [0, 15],
            Self::I4 => [-8, 7],
            Self::U8 => [0, 255],
            Self::I8 => [-128, 127],
            Self::U16 => [0, 65_535],
            Self::I16 => [-32_768, 32_767],
            Self::I32 => [i64::from(i32::MIN), i64::from(i32::MAX)],
            Self::Bool
            | Self::U32
            | Self::I64
            | Self::U64
            | Self::F32
            | Self::F16
            | Self::F64
            | Self::BF16 => return None,
        })
    }
}

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    /// Also truth values, as 0 and 1.
    Int(Vec<i64>),
}

/// A tensor that is known when the file is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub elem: Elem,
    pub data: Data,
}

/// Elements of a tensor that is made while a file is read, at most: a few bytes may ask for any number.
const MOST_MADE: usize = 1 << 28;

/// The sizes of a tensor that is made from nothing but these numbers, if they are of a reasonable one.
pub(super) fn made_shape(dims: &[i64]) -> Result<Vec<usize>> {
    let shape = checked_shape(dims)?;
    match num_elements(&shape) <= MOST_MADE {
        true => Ok(shape),
        false => {
            let problem = format!(
                "it makes a tensor of shape {dims:?}, expected at most {MOST_MADE} elements"
            );
            Err(Error::invalid("onnx", problem))
        }
    }
}

/// The sizes of a tensor, if they are sizes of one that fits into memory.
pub(super) fn checked_shape(dims: &[i64]) -> Result<Vec<usize>> {
    let mut shape = Vec::with_capacity(dims.len());
    let mut elements = 1usize;
    for &dim in dims {
        let size = usize::try_from(dim).unwrap_or(usize::MAX);
        elements = elements.saturating_mul(size.max(1));
        if elements > MAX_ELEMENTS {
            let problem =
                format!("a tensor of shape {dims:?}, expected at most {MAX_ELEMENTS} elements");
            return Err(Error::invalid("onnx", problem));
        }
        shape.push(size);
    }
    Ok(shape)
}

impl Array {
    pub fn float(shape: &[usize], data: Vec<f32>) -> Self {
        Self {
            shape: shape.to_vec(),
            elem: Elem::F32,
            data: Data::Float(data),
        }
    }

    pub fn ints(shape: &[usize], data: Vec<i64>) -> Self {
        Self {
            shape: shape.to_vec(),
            elem: Elem::I64,
            data: Data::Int(data),
        }
    }

    /// Integers in a list.
    pub fn list(data: Vec<i64>) -> Self {
        Self::ints(&[data.len()], data)
    }

    pub fn len(&self) -> usize {
        num_elements(&self.shape)
    }

    /// From a tensor of a file; `external` reads what lies in another one.
    pub fn read(
        proto: &TensorProto,
        external: &dyn Fn(&TensorProto) -> Result<Bytes>,
    ) -> Result<Self> {
        let name = proto.name.as_deref().unwrap_or("without a name");
        let named = |e: Error| Error::invalid(format!("tensor `{name}`"), super::words(&e));
        let shape = checked_shape(&proto.dims).map_err(named)?;
        let elem = Elem::from_number(proto.data_type.unwrap_or(0)).map_err(named)?;
        let len = num_elements(&shape);
        let raw = match proto.data_location {
            Some(1) => Some(external(proto).map_err(named)?),
            _ => proto.raw_data.clone().filter(|raw| !raw.is_empty()),
        };
        let wrong = |have: String| {
            let problem = format!("its shape {shape:?} stands for {len} elements, it has {have}");
            Error::invalid(format!("tensor `{name}`"), problem)
        };
        let data = match raw {
            Some(raw) => {
                if raw.len() != (len * elem.bits()).div_ceil(8) {
                    return Err(wrong(format!("{} bytes", raw.len())));
                }
                from_bytes(elem, &raw, len)
            }
            None => from_fields(elem, proto, len),
        };
        let have = match &data {
            Data::Float(data) => data.len(),
            Data::Int(data) => data.len(),
        };
        if have != len {
            return Err(wrong(have.to_string()));
        }
        Ok(Self { shape, elem, data })
    }

    /// As reals.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(data) => data.clone(),
            Data::Int(data) => data.iter().map(|&x| x as f32).collect(),
        }
    }

    /// As integers; floats lose what is behind the point.
    pub fn to_i64(&self) -> Vec<i64> {
        match &self.data {
            Data::Float(data) => data.iter().map(|&x| x as i64).collect(),
            Data::Int(data) => data.clone(),
        }
    }

    /// The only element.
    pub fn scalar(&self) -> Option<f32> {
        (self.len() == 1).then(|| self.to_f32()[0])
    }

    /// The same elements in another shape of as many.
    pub fn reshaped(mut self, shape: &[usize]) -> Self {
        debug_assert_eq!(num_elements(shape), self.len());
        self.shape = shape.to_vec();
        self
    }

    /// Axis `k` of the result is axis `order[k]`.
    pub fn transposed(&self, order: &[usize]) -> Self {
        let shape: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let from = gather_order(&self.shape, order);
        let data = match &self.data {
            Data::Float(data) => Data::Float(from.map(|i| data[i]).collect()),
            Data::Int(data) => Data::Int(from.map(|i| data[i]).collect()),
        };
        Self {
            shape,
            elem: self.elem,
            data,
        }
    }

    /// A matrix whose column `j` is column `from[j]` of this one.
    pub fn with_columns(&self, from: &[i64]) -> Self {
        let k = from.len();
        let at = (0..self.len()).map(|i| i / k * k + from[i % k] as usize);
        let data = match &self.data {
            Data::Float(data) => Data::Float(at.map(|i| data[i]).collect()),
            Data::Int(data) => Data::Int(at.map(|i| data[i]).collect()),
        };
        Self {
            shape: self.shape.clone(),
            elem: self.elem,
            data,
        }
    }

    /// As a float parameter of the graph.
    pub fn tensor(&self, dtype: DType) -> Result<Tensor> {
        match (&self.data, dtype) {
            (Data::Float(data), DType::F16) => Tensor::from_f32_as_f16(&self.shape, data),
            (Data::Float(data), _) => Tensor::from_f32(&self.shape, data),
            (Data::Int(_), DType::F16) => Tensor::from_f32_as_f16(&self.shape, &self.to_f32()),
            (Data::Int(_), _) => Tensor::from_f32(&self.shape, &self.to_f32()),
        }
    }
}

/// Positions in a tensor of `shape` in the order in which its transpose wants them.
pub(super) fn gather_order(
    shape: &[usize],
    order: &[usize],
) -> impl Iterator<Item = usize> + use<> {
    let strides = strides(shape);
    let axes: Vec<(usize, usize)> = order.iter().map(|&a| (shape[a], strides[a])).collect();
    let len = num_elements(shape);
    let mut at = vec![0usize; axes.len()];
    let mut position = 0usize;
    (0..len).map(move |_| {
        let now = position;
        for (index, &(size, stride)) in at.iter_mut().zip(&axes).rev() {
            *index += 1;
            position += stride;
            if *index < size {
                break;
            }
            position -= *index * stride;
            *index = 0;
        }
        now
    })
}

/// Elements from one slice of an axis to the next.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

fn from_bytes(elem: Elem, raw: &[u8], len: usize) -> Data {
    fn chunks<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (chunks, _) = raw.as_chunks::<N>();
        chunks.iter().map(|&bytes| convert(bytes)).collect()
    }
    let nibbles = |convert: fn(u8) -> i64| -> Vec<i64> {
        let both = raw.iter().flat_map(|&byte| [byte & 15, byte >> 4]);
        both.take(len).map(convert).collect()
    };
    match elem {
        Elem::F32 => Data::Float(chunks(raw, f32::from_le_bytes)),
        Elem::F64 => Data::Float(chunks(raw, |b| f64::from_le_bytes(b) as f32)),
        Elem::F16 => Data::Float(chunks(raw, |b| f16::from_le_bytes(b).to_f32())),
        Elem::BF16 => Data::Float(chunks(raw, |b| bf16::from_le_bytes(b).to_f32())),
        Elem::U8 => Data::Int(raw.iter().map(|&x| i64::from(x)).collect()),
        Elem::Bool => Data::Int(raw.iter().map(|&x| i64::from(x != 0)).collect()),
        Elem::I8 => Data::Int(raw.iter().map(|&x| i64::from(x as i8)).collect()),
        Elem::U16 => Data::Int(chunks(raw, |b| i64::from(u16::from_le_bytes(b)))),
        Elem::I16 => Data::Int(chunks(raw, |b| i64::from(i16::from_le_bytes(b)))),
        Elem::U32 => Data::Int(chunks(raw, |b| i64::from(u32::from_le_bytes(b)))),
        Elem::I32 => Data::Int(chunks(raw, |b| i64::from(i32::from_le_bytes(b)))),
        Elem::I64 => Data::Int(chunks(raw, i64::from_le_bytes)),
        // Sizes and indices; what does not fit int64 is as large as int64 allows.
        Elem::U64 => Data::Int(chunks(raw, |b| {
            i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX)
        })),
        Elem::U4 => Data::Int(nibbles(i64::from)),
        Elem::I4 => Data::Int(nibbles(|x| i64::from((x << 4) as i8 >> 4))),
    }
}

fn from_fields(elem: Elem, proto: &TensorProto, len: usize) -> Data {
    let narrow = || proto.int32_data.iter().map(|&x| x as u16);
    match elem {
        Elem::F32 => Data::Float(proto.float_data.clone()),
        Elem::F64 => Data::Float(proto.double_data.iter().map(|&x| x as f32).collect()),
        Elem::F16 => Data::Float(narrow().map(|x| f16::from_bits(x).to_f32()).collect()),
        Elem::BF16 => Data::Float(narrow().map(|x| bf16::from_bits(x).to_f32()).collect()),
        Elem::I64 => Data::Int(proto.int64_data.clone()),
        Elem::U32 | Elem::U64 => {
            let wide = proto.uint64_data.iter();
            Data::Int(
                wide.map(|&x| i64::try_from(x).unwrap_or(i64::MAX))
                    .collect(),
            )
        }
        Elem::U8 | Elem::I8 | Elem::U16 | Elem::I16 | Elem::I32 | Elem::Bool => {
            Data::Int(proto.int32_data.iter().map(|&x| i64::from(x)).collect())
        }
        Elem::U4 | Elem::I4 => {
            let bytes: Vec<u8> = proto.int32_data.iter().map(|&x| x as u8).collect();
            match bytes.len() == len.div_ceil(2) {
                true => from_bytes(elem, &bytes, len),
                false => Data::Int(Vec::new()),
            }
        }
    }
}
