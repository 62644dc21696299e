//! Training: backward as a rewrite of the graph, optimisers as ordinary nodes, and the loop.
//!
//! Forward, loss, backward and update are one graph, lowered like any other: a step is one submission.

mod optimizer;
mod schedule;
mod trainer;

pub use optimizer::{Optimizer, ParamGroup};
pub use schedule::LrSchedule;
pub use trainer::{Trainer, argmax_rows, evaluate};
