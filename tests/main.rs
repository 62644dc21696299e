//! One test binary: wgpu is linked once.

mod harness;
mod kernels;
mod prune;
