//! The network: as mathematics ([`Graph`] of operations, [`ops`]), as steps ([`Plan`]), and its two executors.

pub mod channels;
mod compare;
mod executor;
mod finite;
mod lower;
mod lower_i8;
pub mod ops;
mod passes;
mod peaks;
mod plan;
mod rewriter;
mod run_cpu;
mod scores;
mod session;
mod tape;
mod tune;
mod value;
mod values;

pub use compare::{StepComparison, compare_steps, sqnr_db};
pub use executor::{Device, Executor, StepTime};
pub use finite::check_finite;
pub(crate) use finite::{not_finite, overflow};
pub use lower::{LowerOptions, lower, lower_with};
pub use ops::Op;
pub use passes::{
    affine_to_layers, bake_masks, drop_dead, equalize, fold_batch_norm, fold_constants,
    fuse_activations, fuse_residual, integer_operations, name_functions, optimize, scalable,
};
pub use peaks::{Limit, Peaks, Share, copy_gbs, measure_peaks};
pub use plan::{Kind, Plan, PlanBuilder, PlanValue, Step};
pub use rewriter::Rewriter;
pub use run_cpu::CpuSession;
pub use scores::scores;
pub use session::{Session, SessionOptions};
pub use tape::{Gradients, backward};
pub use tune::{Tuned, tune};
pub use values::{Graph, Node, Param, Source, Value, ValueId};
