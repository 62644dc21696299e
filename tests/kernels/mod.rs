//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod cast_f16_f32;
mod cast_f32_f16;
mod column_sum_f32;
mod conv2d_f16;
mod conv2d_f32;
mod conv2d_grad_input_f32;
mod conv2d_grad_weight_f32;
mod matmul_f16;
mod matmul_f32;
mod matmul_grad_input_f32;
mod matmul_grad_weight_f32;
mod other_devices;
mod relu_f32;
