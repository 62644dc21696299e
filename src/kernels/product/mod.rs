//! Sums of products: matrix products and convolutions, in f32, f16 and int8, and their gradients.
//!
//! A program is put together from parts: what the elements are and how they are multiplied, where rows of a
//! convolution or a matrix lie, and what sums end with (bias, residual, activation or requantization). See `parts.rs`.

mod conv;
mod conv2d;
mod conv2d_grad_input;
mod conv2d_grad_weight;
mod conv2d_i8;
mod cooperative;
mod depthwise;
mod matmul;
mod matmul_grad;
mod matmul_i8;
mod parts;
mod reference;
mod residual_i8;
mod subgroup;
mod tile;
mod workgroup;

pub use conv::Conv;
pub use conv2d::Conv2d;
pub use conv2d_grad_input::Conv2dGradInput;
pub use conv2d_grad_weight::{Conv2dGradWeight, parts_for};
pub use conv2d_i8::Conv2dI8;
pub use matmul::Matmul;
pub use matmul_grad::{By, MatmulGrad};
pub use matmul_i8::MatmulI8;
pub use parts::Float;
pub use residual_i8::ResidualI8;

use super::{
    Agreement, Binding, Caps, Const, Kernel, Launch, OutI8, Spec, Variant, grid_1d, params_bytes,
    random_args,
};

pub(super) use conv2d_i8::samples as conv2d_i8_samples;
pub(super) use matmul_i8::samples as matmul_i8_samples;

/// Samples of every product.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [
        matmul::samples(),
        matmul_grad::samples(),
        matmul_i8::samples(),
        conv2d::samples(),
        conv2d_i8::samples(),
        conv2d_grad_input::samples(),
        conv2d_grad_weight::samples(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
