//! One test binary: wgpu is linked once.

mod cli;
mod cli_errors;
mod golden;
mod golden_array;
mod golden_case;
mod golden_float;
mod golden_int8;
mod golden_prune;
mod golden_quant;
mod golden_train;
mod grad;
mod harness;
mod harness_fails;
mod images;
mod images_cli;
mod kernels;
mod network;
mod pipelines;
mod plan;
mod prune;
mod shaders;
mod tidy;
mod tidy_text;
