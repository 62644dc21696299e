//! The network: as mathematics ([`Graph`] of [`Op`]s), as steps ([`Plan`]), and its two executors.

mod compare;
mod executor;
mod infer;
mod lower;
mod lower_op;
mod network;
mod op;
mod passes;
mod peaks;
mod plan;
mod rewriter;
mod run_cpu;
mod session;
mod tune;

pub use compare::{StepComparison, compare_steps, sqnr_db};
pub use executor::{Device, Executor, StepTime};
pub use lower::{LowerOptions, lower, lower_with};
pub use network::{Graph, Node, Source, Value, ValueId};
pub use op::Op;
pub use passes::{drop_dead, fold_batch_norm, fuse_relu, fuse_residual, optimize};
pub use peaks::{Limit, Peaks, Share, copy_gbs, measure_peaks};
pub use plan::{Kind, Plan, PlanBuilder, PlanValue, Step};
pub use rewriter::Rewriter;
pub use run_cpu::CpuSession;
pub use session::{Session, SessionOptions};
pub use tune::{Tuned, tune};
