//! Stochastic gradient descent with momentum, as PyTorch's `torch.optim.SGD`:
//!
//! ```text
//! g' = g + weight_decay · w
//! v  = momentum · v + g'
//! d  = nesterov ? g' + momentum · v : v
//! w -= lr · d
//! ```
//!
//! `w`, `v` (both updated), `g`: f32 `[len]`; `lr`: f32 `[1]`, on the device so that schedules need no new plan.
//! `v` starts as zeros, which makes the first step PyTorch's `v = g'`. With momentum 0, `d = g'` and
//! `v` is left alone. No dampening.

use super::super::elementwise::launch;
use super::super::frame::{Results, boxed, params, reads, store_all, updates, within_all};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec};
use crate::base::Tensor;
use crate::error::Result;

/// One step of SGD. Bindings: `w` (updated), `g`, `v` (updated), `lr`.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Elements of `w`, `g` and `v`.
    pub len: usize,
    /// Share of the old velocity that stays; 0 for none.
    pub momentum: f32,
    /// L2 penalty; 0 for none.
    pub weight_decay: f32,
    /// Look ahead by one step of momentum.
    pub nesterov: bool,
}

impl Kernel for Sgd {
    fn name(&self) -> &'static str {
        "sgd_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let len = [self.len];
        let state = [
            updates(&len, ["w"]),
            reads(&len, ["g"]),
            updates(&len, ["v"]),
        ];
        [state.concat(), reads(&[1], ["lr"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params(
            self.name(),
            [
                self.len.into(),
                self.momentum.into(),
                self.weight_decay.into(),
            ],
        )?;
        let source = include_str!("../../../shaders/optimizer/sgd.wgsl");
        let spec = Spec::new()
            .with("MOMENTUM", self.momentum != 0.0)
            .with("NESTEROV", self.nesterov);
        Ok(launch(source, spec, params, self.len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let results = self.step(args);
        store_all(args, results)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &self.step(args))
    }

    fn operations(&self) -> f64 {
        let per_element = match (self.momentum != 0.0, self.nesterov) {
            (false, _) => 4.0,
            (true, false) => 6.0,
            (true, true) => 8.0,
        };
        per_element * self.len as f64
    }
}

impl Sgd {
    fn step(&self, args: &[Tensor]) -> Results {
        let [w, g, v, lr] = [0, 1, 2, 3].map(|i| Approx::elements(&args[i]));
        let momentum = Approx::exact(self.momentum);
        let weight_decay = Approx::exact(self.weight_decay);
        let update = |((&w, &g), &v)| {
            let g = g + weight_decay * w;
            if self.momentum == 0.0 {
                return (w - lr[0] * g, v);
            }
            let v = momentum * v + g;
            let direction = if self.nesterov { g + momentum * v } else { v };
            (w - lr[0] * direction, v)
        };
        let (w, v) = w.iter().zip(&g).zip(&v).map(update).unzip();
        vec![(0, w), (2, v)]
    }
}

/// Plain, with momentum, with everything; lengths that hurt.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let variants = [
        (0.0, 0.0, false),
        (0.9, 0.0, false),
        (0.9, 5e-4, false),
        (0.9, 5e-4, true),
    ];
    let kernel = |(momentum, weight_decay, nesterov)| {
        [1, 257, 1031].map(|len| Sgd {
            len,
            momentum,
            weight_decay,
            nesterov,
        })
    };
    boxed(variants.into_iter().flat_map(kernel))
}
