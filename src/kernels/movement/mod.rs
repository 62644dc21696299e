//! Kernels that move elements and change none. All exact, for every element type: what counts is how
//! many elements a word holds.
//!
//! ```text
//! y[j]            = x[(j·mul + start) / div], or a fill     Gather: slices, pads, the gradient of a slice
//! y[o, start + k] = x[o, k]                                 Place: one operand of a concatenation
//! y               = x in rows of another length             Repack
//! y[j]            = x[i], i[order[k]] = j[k]                Permute: axes in another order
//! y[r, (i, j, c)] = x[n, oy + i, ox + j, c]               Patches: what a convolution reads, for some pixels
//! y               = x                                       Copy
//! ```

mod copy;
mod gather;
mod patches;
mod permute;
mod place;
mod repack;

pub use copy::Copy;
pub use gather::Gather;
pub use patches::Patches;
pub use permute::Permute;
pub use place::Place;
pub use repack::Repack;

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, MAX_ELEMENTS, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// The label for this many elements to a word.
fn label(names: [&'static str; 3], dtype: DType) -> &'static str {
    match dtype {
        DType::F32 | DType::I32 | DType::U32 => names[0],
        DType::F16 => names[1],
        DType::I8 => names[2],
    }
}

/// Word and lowest bit of every element, in order.
fn places(shape: &[usize], dtype: DType) -> impl Iterator<Item = (usize, usize)> {
    let (row, words, lanes) = (
        shape.last().copied().unwrap_or(1),
        row_words(shape, dtype),
        dtype.lanes(),
    );
    (0..num_elements(shape)).map(move |i| {
        let column = i % row;
        (
            i / row * words + column / lanes,
            column % lanes * (32 / lanes),
        )
    })
}

/// The bits of every element.
fn bits_of(tensor: &Tensor) -> Vec<u32> {
    let mask = u32::MAX >> (32 - 32 / tensor.dtype().lanes());
    places(tensor.shape(), tensor.dtype())
        .map(|(word, bit)| (tensor.words()[word] >> bit) & mask)
        .collect()
}

/// Stores the bits of every element; row padding becomes zero.
fn store_bits(tensor: &mut Tensor, bits: &[u32]) {
    let shape = tensor.shape().to_vec();
    let places = places(&shape, tensor.dtype());
    tensor.words_mut().fill(0);
    for ((word, bit), bits) in places.zip(bits) {
        tensor.words_mut()[word] |= bits << bit;
    }
}

/// Samples of all.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out = gather::samples();
    out.extend(patches::samples());
    out.extend(permute::samples());
    out.extend(place::samples());
    out.extend(repack::samples());
    out.extend(copy::samples());
    out
}
