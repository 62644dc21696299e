//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod channel_mask_expand;
mod channel_norm_f32;
mod relu_f32;
mod topk_begin;
mod topk_histogram_f32;
mod topk_mask_f32;
mod topk_select;
