//! Neural networks, compressed on any GPU: pruned, calibrated, quantized, fine-tuned and run in fp16 and
//! int8 through WGSL compute shaders on wgpu, with a CPU reference for every kernel.
//!
//! This page is the architecture. The command line's manual is `wizen --help`; README has the numbers.
//!
//! # One picture
//!
//! ```text
//! .safetensors  .pth ─► io, models ─► Network { graph, preprocess, labels, history }    what files hold
//!              .onnx ◄─► onnx ◄──────►┘
//!                                        │
//!             compress::{quantize, qat, prune, train} : Network → Network              progress, cancellation
//!                                        │ built from Graph → Graph passes in quant, prune, train
//!                         lower(Caps) ─► Plan: steps + buffer slots                    pure data, printable
//!                                        │
//!                   ┌────────────────────┴───────────────────┐
//!             CpuSession::new(plan)               Session::new(&gpu, plan) ─► run(inputs):
//!             the references                      one encoder, one pass, one submission, one await
//! ```
//!
//! * **[`graph::Op`] is mathematics, [`kernels::Kernel`] is implementation.** Passes, pruning, quantization
//!   and autodiff rewrite a [`graph::Graph`]; lowering alone asks what the device can do.
//! * **Everything an operation is stands in one place**: a type in [`graph::ops`] answers shapes, kernels,
//!   gradient, quantization and channels, without defaults. Nothing outside takes operations apart.
//! * **Quantization belongs to a value**: [`graph::Value`] says what its integers stand for. There is one
//!   convolution, one addition, one pooling; lowering picks the kernel by element type and computes
//!   multipliers and corrected biases there.
//! * **Channels know what goes with them**: operations tie the slices of their operands
//!   ([`graph::channels`]); what is tied leaves together, through additions, batch norms, depthwise and
//!   flattened layers.
//! * **A kernel is a value with two faces**: `launch` (what a GPU runs) and `cpu` (what must come out), and
//!   `agreement`, how closely they have to agree. The agreement is computed from the arguments, never chosen.
//!   Kernels come in families; element types and functions of single elements are values in them, not files.
//! * **CPU and GPU run the same [`graph::Plan`]**, so any network can be compared step by step:
//!   [`graph::compare_steps`], or `wizen compare`.
//! * **Backward is graph → graph.** [`graph::backward`] appends ordinary nodes; forward, loss, backward and
//!   update are one submission. Inference contains no gradient code. Post-training quantization and
//!   quantization-aware training end in the same [`quant::freeze`].
//! * **The library never blocks**: it is async where a device is opened, a plan made resident, a result
//!   read. A thread per device drives callbacks where the platform does not.
//! * **Embeddable**: [`gpu::Gpu::from_wgpu`] takes the application's device, [`graph::Session::record`] its
//!   encoder, [`graph::SessionOptions::external`] its buffers, [`data::Data`] its inputs.
//!
//! # Layers
//!
//! Arrows point down only, siblings do not see each other, and a test holds it so:
//!
//! | module | knows |
//! |---|---|
//! | `cli`, `main` | everything; prints |
//! | [`compress`], [`io`], [`models`], `onnx`, [`report`], [`open`] | whole networks: workflows, files, architectures |
//! | [`quant`], [`prune`], [`train`], `network` | graphs; never a device of their own |
//! | [`graph`] | operations, passes, lowering, plans, the two executors |
//! | [`kernels`] | one folder a family: formula, bindings, launch, reference, agreement |
//! | [`gpu`] | devices, buffers, pipelines, recording, reading back: bytes, not shapes |
//! | [`base`], [`data`] | tensors, element types, the quantization equations, random numbers; where inputs come from |
//!
//! # The agreement between GPU and CPU
//!
//! | what | GPU against the reference |
//! |---|---|
//! | int32 accumulators, masks, max-pool, packing, movement, int8 networks with [`base::Requant::Fixed`] | equal |
//! | int8 with [`base::Requant::Float`], quantize, fake-quant, int8 softmax | equal, but for one step where the exact value is within a few ULP of a tie |
//! | f32 and f16 matmul, convolution, norm, functions, loss, gradients | within the computed bound, `γ(k)·Σ\|x\|\|w\|` and its like |
//!
//! # Something new
//!
//! *A function of single elements* is one row in `kernels/map/unary.rs`: its WGSL, its formula with error
//! bound, both for the derivative. It then exists in f32, f16 and int8, with a gradient, fused behind products:
//! floats go through its formula, integers through a table.
//!
//! *An operation* is a type in `graph/ops/` and one name in its list; what it owes does not compile until it is
//! answered. *A kernel* is a file in its family, its shader, and the shapes that hurt in the family's test;
//! validation, reflection against the bindings, random checks with guards and poison come from the harness.
//! From outside the crate: implement [`kernels::Kernel`] and put it into a graph with [`graph::ops::Custom`]
//! (`examples/custom_kernel.rs`).
//!
//! # Example
//!
//! ```no_run
//! use wizen::compress::{Job, QuantizeOptions, quantize};
//! use wizen::{data::FromFn, gpu::Gpu, graph::Device};
//!
//! # async fn example(photos: Vec<wizen::base::Tensor>) -> wizen::Result<()> {
//! let device = Device::Gpu(Gpu::open().await?);
//! let network = wizen::open("resnet18.safetensors", None)?;
//! let images = FromFn::new("photos", photos.len(), |i| Ok(vec![photos[i].clone()]));
//! let int8 = quantize(&Job::new(&device), &network, &images, &QuantizeOptions::default()).await?;
//! int8.network.save("int8.safetensors")?;
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
#[cfg(feature = "onnx")]
pub mod onnx;
mod open;
pub mod prune;
pub mod quant;
#[cfg(feature = "report")]
pub mod report;
pub mod train;

pub use error::{Error, Result};
pub use network::{Event, LayerInfo, Network, TrainState};
pub use open::{OpenOptions, open, open_with, save};
pub use wgpu;

/// README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
