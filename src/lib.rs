//! Neural networks, compressed on any GPU: pruned, calibrated, quantized, fine-tuned and run in fp16 and
//! int8 through WGSL compute shaders on wgpu, with a CPU reference for every kernel.
//!
//! This page is the architecture. The command line's manual is `wizen --help`; README has the numbers.
//!
//! # One picture
//!
//! ```text
//! safetensors ─► Graph ─► passes (fold batch norm, fuse ReLU) ─► quant / prune / train : Graph → Graph
//!                                            │
//!                         lower(Caps) ─► Plan: steps + buffer slots      pure data, printable
//!                                            │
//!                   ┌────────────────────────┴───────────────┐
//!             CpuSession::new(plan)               Session::new(&gpu, plan) ─► run(inputs):
//!             the references                      one encoder, one pass, one submission, one await
//! ```
//!
//! * **[`graph::Op`] is mathematics, [`kernels::Kernel`] is implementation.** Passes, pruning, quantization
//!   and autodiff rewrite a [`graph::Graph`]; [`graph::lower`] alone maps operations to kernels and is the
//!   only place that asks what the device can do.
//! * **A kernel is a value with two faces**: `launch` (what a GPU runs) and `cpu` (what must come out), and
//!   `agreement`, how closely they have to agree. The agreement is computed from the arguments, never chosen.
//! * **CPU and GPU run the same [`graph::Plan`]**, so any network can be compared step by step:
//!   [`graph::compare_steps`], or `wizen compare`.
//! * **Backward is graph → graph.** [`train::backward`] appends ordinary nodes; forward, loss, backward and
//!   update are one submission. Inference contains no gradient code. Post-training quantization and
//!   quantization-aware training end in the same [`quant::freeze`].
//! * **The library never blocks**: it is async where a device is opened, a plan made resident, a result
//!   read. A thread per device drives callbacks where the platform does not.
//! * **Embeddable**: [`gpu::Gpu::from_wgpu`] takes the application's device, [`graph::Session::record`] its
//!   encoder, [`graph::SessionOptions::external`] its buffers.
//!
//! # Layers
//!
//! Arrows point down only, siblings do not see each other, and a test holds it so:
//!
//! | module | knows |
//! |---|---|
//! | `cli`, `main` | everything; prints |
//! | [`models`], [`io`], [`quant`], [`prune`], [`train`], [`report`] | graphs; never a device of their own |
//! | [`graph`] | operations, passes, lowering, plans, the two executors |
//! | [`kernels`] | one file per kernel: formula, bindings, launch, reference, agreement |
//! | [`gpu`] | devices, buffers, pipelines, recording, reading back: bytes, not shapes |
//! | [`base`] | tensors, element types, the quantization equations, random numbers |
//!
//! # The agreement between GPU and CPU
//!
//! | what | GPU against the reference |
//! |---|---|
//! | int32 accumulators, masks, max-pool, packing, int8 networks with [`base::Requant::Fixed`] | equal |
//! | int8 with [`base::Requant::Float`], quantize, fake-quant | equal, but for one step where the exact value is within a few ULP of a tie |
//! | f32 and f16 matmul, convolution, norm, loss, gradients | within the computed bound, `γ(k)·Σ\|x\|\|w\|` and its like |
//!
//! # A new kernel
//!
//! `shaders/<name>.wgsl`, `src/kernels/<name>.rs`, one line in `kernels/mod.rs`, `tests/kernels/<name>.rs`
//! with the shapes that hurt. Validation, reflection against the bindings, random checks with guards and
//! poison come from the harness. From outside the crate: implement [`kernels::Kernel`] and put it into a
//! graph with [`graph::Op::Kernel`] (`examples/custom_kernel.rs`). A new operation owes an answer in three
//! exhaustive matches: shapes, lowering, gradient.
//!
//! # Example
//!
//! ```no_run
//! use wizen::graph::{Device, lower, optimize};
//! use wizen::quant::{self, Observer, Scheme};
//! use wizen::{base::Requant, gpu::Gpu, io, models};
//!
//! # async fn example() -> wizen::Result<()> {
//! let device = Device::Gpu(Gpu::open().await?);
//! let digits = io::load_splits("mnist")?.train;
//! let weights = models::random_weights("lenet5", 1)?;
//! let float = optimize(&models::lenet5(32, &weights)?)?;
//!
//! let schemes = Scheme::INT8.into();
//! let batches = (0..4).map(|i| Ok(digits.batch(&(32 * i..32 * i + 32).collect::<Vec<_>>())?.0));
//! let found = quant::calibrate(&device, &float, batches, Observer::Auto, &schemes).await?;
//! let params = found.with_weights(quant::choose_weights(&float, &schemes, None)?);
//! let int8 = quant::freeze(&float, &params, Requant::Fixed)?;
//! let mut network = device.load(lower(&int8, &device.caps())?).await?;
//! let images = digits.batch(&(0..32).collect::<Vec<_>>())?.0;
//! println!("{:?}", network.run(&[&images]).await?[0].to_f32());
//! # Ok(())
//! # }
//! ```

mod atomic;
pub mod base;
pub mod compress;
pub mod data;
mod error;
pub mod gpu;
pub mod graph;
pub mod io;
pub mod kernels;
pub mod models;
mod network;
mod open;
pub mod prune;
pub mod quant;
#[cfg(feature = "report")]
pub mod report;
pub mod train;

pub use error::{Error, Result};
pub use network::{Event, LayerInfo, Network};
pub use open::open;
pub use wgpu;

/// README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
