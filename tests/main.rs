//! One test binary: wgpu is linked once.

mod cli;
mod grad;
mod harness;
mod harness_fails;
mod kernels;
mod network;
mod plan;
mod prune;
mod shaders;
mod tidy;
mod tidy_text;
