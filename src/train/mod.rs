//! Training: backward as a rewrite of the graph, optimisers as ordinary nodes, and the loop.
//!
//! Forward, loss, backward and update are one graph, lowered like any other: a step is one submission.

mod batch_norm;
mod loss;
mod optimizer;
mod schedule;
mod trainer;

pub use batch_norm::{MOMENTUM, train_batch_norms};
pub use loss::{Append, Distillation, Loss};
pub use optimizer::{Optimizer, ParamGroup};
pub use schedule::LrSchedule;
pub use trainer::{Trainer, argmax_rows};
