//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod relu_f32;
mod zz_scratch;
