//! The network: as mathematics ([`Graph`] of [`Op`]s), as steps ([`Plan`]), and its two executors.

mod executor;
mod plan;
mod run_cpu;
mod session;

pub use executor::{Device, Executor, StepTime};
pub use plan::{Kind, Plan, PlanBuilder, PlanValue, Step};
pub use run_cpu::CpuSession;
pub use session::{Session, SessionOptions};
