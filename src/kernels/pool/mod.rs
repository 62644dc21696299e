//! Windows over images: the largest of each, the mean of each, and their gradients.
//!
//! ```text
//! tap (kh, kw) of window (oh, ow): row oh · stride[0] + kh · dilation[0] − padding[top], column likewise
//! max:  y[n, oh, ow, c] = max x[n, tap, c]                          over the taps inside the image
//! mean: y[n, oh, ow, c] = 1 / count[oh, ow] · Σ x[n, tap, c]        over the same
//! ```
//!
//! `x`: `[n, h, w, c]`, `y`: `[n, oh, ow, c]`, f32, f16 (packed) or int8. See [`Pool`] for sizes and counts.

mod avg;
mod avg_i8;
mod max;
mod window;

pub use avg::{AvgPool, AvgPoolGrad};
pub use avg_i8::AvgPoolI8;
pub(super) use avg_i8::samples as avg_i8_samples;
pub use max::{MaxPool, MaxPoolGrad};
pub use window::Pool;

use super::{Binding, Kernel, Spec};
use crate::base::DType;

/// The text of `part lanes`: how many elements a word holds, and what they are.
fn lanes(spec: Spec, dtype: DType, pairs: bool) -> Spec {
    match dtype {
        DType::F16 => spec.part("lanes", "common/lanes_f16.wgsl"),
        DType::I8 => spec.part("lanes", "common/lanes_i8.wgsl"),
        DType::F32 | DType::I32 | DType::U32 if pairs => {
            spec.part("lanes", "common/lanes_f32_pair.wgsl")
        }
        DType::F32 | DType::I32 | DType::U32 => spec,
    }
}

fn bindings(x: [usize; 4], pool: Pool, dtype: DType) -> Vec<Binding> {
    vec![
        Binding::read("x", dtype, x),
        Binding::write("y", dtype, pool.output_or_empty(x)),
    ]
}

/// Even and odd sizes, overlapping windows, padding, gaps between windows, odd channels, ends that a window hangs over.
fn cases() -> [([usize; 4], Pool); 7] {
    let uneven = Pool {
        kernel: [2, 3],
        stride: [3, 2],
        padding: [0, 1, 1, 2],
        dilation: [2, 2],
        ceil_mode: true,
        count_include_pad: true,
    };
    [
        ([1, 1, 1, 1], Pool::square(1, 1, 0)),
        ([2, 8, 8, 6], Pool::square(2, 2, 0)),
        ([3, 7, 5, 3], Pool::square(2, 2, 0)),
        ([1, 9, 7, 5], Pool::square(3, 2, 1)),
        ([2, 6, 6, 33], Pool::square(3, 1, 1)),
        ([1, 8, 11, 2], uneven),
        ([2, 5, 7, 6], Pool::whole(5, 7)),
    ]
}

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    max::samples()
        .into_iter()
        .chain(avg::samples())
        .chain(avg_i8::samples())
        .collect()
}
