//! Tensors of a file, from ours.

use prost::bytes::Bytes;

use crate::base::{DType, Tensor};
use crate::graph::Value;
use crate::onnx::array::Elem;
use crate::onnx::proto::TensorProto;

/// `TensorProto.DataType.INT64`
pub const INT64: i32 = Elem::I64 as i32;

/// The file's number for an element type.
pub fn number(dtype: DType) -> i32 {
    let elem = match dtype {
        DType::F32 => Elem::F32,
        DType::F16 => Elem::F16,
        DType::I8 => Elem::I8,
        DType::I32 => Elem::I32,
        DType::U32 => Elem::U32,
    };
    elem as i32
}

fn tensor(elem: Elem, shape: &[usize], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&size| size as i64).collect(),
        data_type: Some(elem as i32),
        raw_data: Some(Bytes::from(raw)),
        ..TensorProto::default()
    }
}

/// Floats, f32 or f16.
pub fn floats(shape: &[usize], data: &[f32], dtype: DType) -> TensorProto {
    match dtype {
        DType::F16 => {
            let halves = data.iter().map(|&x| half::f16::from_f32(x));
            let raw = halves.flat_map(half::f16::to_le_bytes).collect();
            tensor(Elem::F16, shape, raw)
        }
        DType::F32 | DType::I8 | DType::I32 | DType::U32 => {
            let raw = data.iter().flat_map(|x| x.to_le_bytes()).collect();
            tensor(Elem::F32, shape, raw)
        }
    }
}

/// A list of int64.
pub fn ints(list: &[i64]) -> TensorProto {
    let raw = list.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(Elem::I64, &[list.len()], raw)
}

/// int8.
pub fn bytes(shape: &[usize], data: &[i8]) -> TensorProto {
    tensor(Elem::I8, shape, data.iter().map(|&x| x as u8).collect())
}

/// int32.
pub fn words(shape: &[usize], data: &[i32]) -> TensorProto {
    let raw = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(Elem::I32, shape, raw)
}

/// int4, two to a byte, the first in the lower half.
pub fn nibbles(shape: &[usize], data: &[i8]) -> TensorProto {
    let pairs = data.chunks(2).map(|pair| {
        let high = pair.get(1).copied().unwrap_or(0);
        (pair[0] as u8 & 15) | (high as u8) << 4
    });
    tensor(Elem::I4, shape, pairs.collect())
}

/// True for weights whose integers fit four bits.
pub fn is_int4(value: &Value) -> bool {
    let quant = value.quant.as_ref().filter(|_| value.dtype == DType::I8);
    quant.is_some_and(|quant| quant.range.qmin >= -8 && quant.range.qmax <= 7)
}

/// Elements of a stored tensor in the order that its transpose has.
pub fn transposed<T: Copy>(tensor: &Tensor, data: &[T], axes: &[usize]) -> (Vec<usize>, Vec<T>) {
    let shape = tensor.shape();
    let order = crate::onnx::array::gather_order(shape, axes);
    let data = order.map(|i| data[i]).collect();
    (axes.iter().map(|&axis| shape[axis]).collect(), data)
}
