//! One file per kernel: the shapes that hurt it.

mod all_samples;
mod binary;
mod loss;
mod map;
mod movement;
mod norm;
mod observe;
mod optimizer;
mod other_devices;
mod pool;
mod probe;
mod product;
mod quantize;
mod reduce;
mod resample;
mod topk;
