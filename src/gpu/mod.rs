//! Devices, buffers, pipelines, recording, reading back: the host layer. It knows bytes, not shapes.
//!
//! Only this module and `graph::session` speak to wgpu.

mod buffer;
mod caps;
mod device;
mod disk_cache;
mod launch;
mod pipeline;
mod readback;
mod record;
mod shader;
mod tuning;
mod unroll;

pub use buffer::Buffers;
pub use caps::{AdapterSummary, Caps};
pub use device::{AdapterChoice, Gpu, GpuOptions, list_adapters};
pub use launch::{Access, Launch, grid_1d, grid_3d, params_bytes};
pub use pipeline::{Pipeline, PipelineRequest};
pub use readback::Pending;
pub use record::{PreparedStep, Timings, encode_steps, encode_steps_timed};
pub use shader::{Const, Spec, specialise};
