//! One file per kernel: the shapes that hurt it.

mod add_i8;
mod all_samples;
mod conv2d_i8;
mod dequantize_i32;
mod dequantize_i8;
mod global_avg_pool_i8;
mod matmul_i8;
mod matmul_i8_i32;
mod max_pool_i8;
mod quantize_i8;
mod relu_f32;
mod repack_f16;
mod repack_i8;
