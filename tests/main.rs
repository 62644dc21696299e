//! One test binary: wgpu is linked once.

mod harness;
mod harness_fails;
mod kernels;
mod prune;
mod shaders;
mod tidy;
mod tidy_text;
