//! Optimisers, appended to a graph as in-place updates.

use crate::base::{DType, Tensor};
use crate::error::Result;
use crate::graph::ops::Custom;
use crate::graph::{Gradients, Graph, ValueId};
use crate::kernels::map::{MapInPlace, Unary};
use crate::kernels::optimizer::{Adam, Sgd};

/// An update rule, with PyTorch's semantics and names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the old velocity kept.
        momentum: f32,
        /// Look ahead along the velocity.
        nesterov: bool,
    },
    /// Adam, or AdamW when decoupled.
    Adam {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        eps: f32,
        /// Decay weights directly (AdamW) instead of through the gradient.
        decoupled: bool,
    },
}

impl Optimizer {
    /// SGD with momentum 0.9 and Nesterov's look-ahead.
    pub const SGD: Self = Self::Sgd {
        momentum: 0.9,
        nesterov: true,
    };
    /// Adam with PyTorch's defaults.
    pub const ADAM: Self = Self::Adam {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        decoupled: false,
    };
    /// AdamW with PyTorch's defaults.
    pub const ADAMW: Self = Self::Adam {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        decoupled: true,
    };

    /// The per-step numbers that the update reads: `[lr]`, or `[lr, 1 − β₁ᵗ, 1 − β₂ᵗ]` for step `t ≥ 1`.
    pub fn hyper(&self, lr: f32, step: u32) -> Vec<f32> {
        match self {
            Self::Sgd { .. } => vec![lr],
            Self::Adam { beta1, beta2, .. } => {
                let correction = |beta: f32| (1.0 - f64::from(beta).powi(step as i32)) as f32;
                vec![lr, correction(*beta1), correction(*beta2)]
            }
        }
    }

    /// Appends the update of `param`, reading per-step numbers from `hyper`.
    pub(super) fn append(
        &self,
        graph: &mut Graph,
        param: ValueId,
        gradient: ValueId,
        hyper: ValueId,
        weight_decay: f32,
    ) -> Result<()> {
        let value = graph.value(param);
        let (name, shape) = (value.name.clone(), value.shape.clone());
        let len = crate::base::num_elements(&shape);
        let flat = |graph: &mut Graph, suffix: &str| {
            graph.param(
                &format!("{name}:{suffix}"),
                Tensor::zeros(&[len], DType::F32),
            )
        };
        match *self {
            Self::Sgd { momentum, nesterov } => {
                let velocity = flat(graph, "velocity");
                let kernel = Sgd {
                    len,
                    momentum,
                    weight_decay,
                    nesterov,
                };
                let op = Custom::new(kernel);
                graph.push_all(
                    &format!("sgd {name}"),
                    op,
                    &[param, gradient, velocity, hyper],
                )?;
            }
            Self::Adam {
                beta1,
                beta2,
                eps,
                decoupled,
            } => {
                let (m, v) = (flat(graph, "m"), flat(graph, "v"));
                let kernel = Adam {
                    len,
                    beta1,
                    beta2,
                    eps,
                    weight_decay,
                    decoupled,
                };
                let op = Custom::new(kernel);
                graph.push_all(&format!("adam {name}"), op, &[param, gradient, m, v, hyper])?;
            }
        }
        Ok(())
    }
}

/// Parameters that share a learning rate.
#[derive(Clone, Debug)]
pub struct ParamGroup {
    /// What is trained.
    pub params: Vec<ValueId>,
    /// The schedule's learning rate times this.
    pub lr_factor: f32,
    /// L2 penalty (or decoupled decay).
    pub weight_decay: f32,
    /// Keep parameters at or above this after each update: learned scales must stay positive.
    pub min: Option<f32>,
}

impl ParamGroup {
    /// Weights: the schedule's own learning rate, no decay.
    pub fn weights(params: Vec<ValueId>) -> Self {
        Self {
            params,
            lr_factor: 1.0,
            weight_decay: 0.0,
            min: None,
        }
    }
}

/// Appends all updates and returns the hyper-parameter inputs, one per group.
pub(super) fn append_updates(
    graph: &mut Graph,
    optimizer: Optimizer,
    groups: &[ParamGroup],
    gradients: &Gradients,
) -> Result<Vec<ValueId>> {
    let width = optimizer.hyper(0.0, 1).len();
    let mut inputs = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let hyper = graph.input(&format!("hyper{i}"), DType::F32, &[width]);
        inputs.push(hyper);
        for &param in &group.params {
            // A parameter that the loss does not reach stays as it is.
            let Some(&gradient) = gradients.get(&param) else {
                continue;
            };
            optimizer.append(graph, param, gradient, hyper, group.weight_decay)?;
            if let Some(min) = group.min {
                let name = format!("clamp {}", graph.value(param).name);
                let len = crate::base::num_elements(&graph.value(param).shape);
                let max = f32::MAX;
                let f = Unary::Clip { min, max };
                graph.push_all(&name, Custom::new(MapInPlace { len, f }), &[param])?;
            }
        }
    }
    Ok(inputs)
}
