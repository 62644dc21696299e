//! Numbers of a golden case, and PyTorch's layouts.

use safetensors::tensor::{Dtype, TensorView};
use wizen::base::Tensor;

/// Numbers of any stored type, exactly, in row-major order of PyTorch's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Self {
            shape: shape.to_vec(),
            data,
        }
    }

    /// The elements of a tensor, as they lie.
    pub fn of(tensor: &Tensor) -> Self {
        Self::new(tensor.shape(), tensor.to_f64())
    }

    /// The numbers of a stored tensor.
    pub fn read(name: &str, view: &TensorView) -> Result<Self, String> {
        fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            let (chunks, _) = data.as_chunks::<N>();
            chunks.iter().map(|&bytes| number(bytes)).collect()
        }
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
            Dtype::F64 => each(bytes, f64::from_le_bytes),
            Dtype::I8 => each(bytes, |b| f64::from(i8::from_le_bytes(b))),
            Dtype::U8 | Dtype::BOOL => each(bytes, |b| f64::from(u8::from_le_bytes(b))),
            Dtype::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
            Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
            other => {
                return Err(format!(
                    "tensor `{name}` is {other:?}, which no case has had"
                ));
            }
        };
        Ok(Self {
            shape: view.shape().to_vec(),
            data,
        })
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn reshaped(self, shape: &[usize]) -> Self {
        Self::new(shape, self.data)
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self::new(&self.shape, self.data.iter().map(|&x| f(x)).collect())
    }

    /// `[a, c, h, w]` → `[a, h, w, c]`: images, and convolution weights alike.
    pub fn channels_last(&self) -> Self {
        self.permuted([0, 2, 3, 1])
    }

    /// `[a, h, w, c]` → `[a, c, h, w]`.
    pub fn channels_first(&self) -> Self {
        self.permuted([0, 3, 1, 2])
    }

    /// Axis `i` of the result is axis `order[i]` of this.
    fn permuted(&self, order: [usize; 4]) -> Self {
        let old = self.dims4();
        let strides = [old[1] * old[2] * old[3], old[2] * old[3], old[3], 1];
        let new = order.map(|axis| old[axis]);
        let step = order.map(|axis| strides[axis]);
        let mut data = Vec::with_capacity(self.len());
        for a in 0..new[0] {
            for b in 0..new[1] {
                for c in 0..new[2] {
                    for d in 0..new[3] {
                        data.push(self.data[a * step[0] + b * step[1] + c * step[2] + d * step[3]]);
                    }
                }
            }
        }
        Self::new(&new, data)
    }

    /// The four axes of an image or a convolution weight.
    pub fn dims4(&self) -> [usize; 4] {
        self.shape
            .as_slice()
            .try_into()
            .unwrap_or_else(|_| panic!("{:?} has not four axes", self.shape))
    }

    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&x| x as f32).collect()
    }

    pub fn to_i32(&self) -> Vec<i32> {
        self.data.iter().map(|&x| x as i32).collect()
    }

    pub fn f32(&self) -> Tensor {
        Tensor::from_f32(&self.shape, &self.to_f32()).expect("as many elements as the shape says")
    }

    pub fn i32(&self) -> Tensor {
        Tensor::from_i32(&self.shape, &self.to_i32()).expect("as many elements as the shape says")
    }

    pub fn u32(&self) -> Tensor {
        let data: Vec<u32> = self.data.iter().map(|&x| x as u32).collect();
        Tensor::from_u32(&self.shape, &data).expect("as many elements as the shape says")
    }

    pub fn i8(&self) -> Tensor {
        let data: Vec<i8> = self.data.iter().map(|&x| x as i8).collect();
        assert!(
            data.iter()
                .zip(&self.data)
                .all(|(&q, &x)| f64::from(q) == x),
            "not int8"
        );
        Tensor::from_i8(&self.shape, &data).expect("as many elements as the shape says")
    }
}

#[test]
fn layouts_by_hand() {
    let image = Array::new(&[1, 2, 1, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
    let last = image.channels_last();
    assert_eq!(last.shape, [1, 1, 3, 2]);
    assert_eq!(last.data, [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    assert_eq!(last.channels_first(), image);
}
