//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod binary;
mod conv2d_f16;
mod conv2d_f32;
mod conv2d_grad_input_f32;
mod conv2d_grad_weight_f32;
mod conv2d_i8;
mod loss;
mod map;
mod matmul_f16;
mod matmul_f32;
mod matmul_grad_input_f32;
mod matmul_grad_weight_f32;
mod matmul_i8;
mod matmul_i8_i32;
mod movement;
mod norm;
mod observe;
mod optimizer;
mod other_devices;
mod pool;
mod probe;
mod quantize;
mod reduce;
mod topk;
