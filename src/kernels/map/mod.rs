//! Kernels that take one element and give one.

mod unary;

pub use unary::Unary;
