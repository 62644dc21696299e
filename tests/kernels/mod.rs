//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod fake_quant_f32;
mod fake_quant_grad_f32;
mod fake_quant_scale_grad_f32;
mod observe_histogram_f32;
mod observe_histogram_range_f32;
mod observe_min_max_f32;
mod observe_moving_average_f32;
mod relu_f32;
