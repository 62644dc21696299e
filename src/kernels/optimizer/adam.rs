//! Adam and AdamW, as PyTorch's `torch.optim.Adam` and `AdamW`:
//!
//! ```text
//! decoupled: w *= 1 − lr · weight_decay      else: g += weight_decay · w
//! m  = beta1 · m + (1 − beta1) · g
//! v  = beta2 · v + (1 − beta2) · g²
//! w -= lr / (1 − beta1ᵗ) · m / (√v / √(1 − beta2ᵗ) + eps)
//! ```
//!
//! `w`, `m`, `v` (updated; `m` and `v` start as zeros), `g`: f32 `[len]`. `step`: f32 `[3]` =
//! `[lr, 1 − beta1ᵗ, 1 − beta2ᵗ]` with `t` from 1 ([`Adam::step`]), on the device so that steps need
//! no new plan. Divisions and roots are as accurate as WGSL makes them: 2.5 and 4.5 ULP.

use super::super::elementwise::{halves, launch};
use super::super::frame::{Results, boxed, params, reads, store_all, updates, within_all};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, random_args, uniform};
use crate::base::{Rng, Tensor};
use crate::error::Result;

/// One step of Adam or AdamW. Bindings: `w` (updated), `g`, `m` (updated), `v` (updated), `step`.
#[derive(Clone, Debug)]
pub struct Adam {
    /// Elements of `w`, `g`, `m` and `v`.
    pub len: usize,
    /// Share of the old mean that stays.
    pub beta1: f32,
    /// Share of the old mean square that stays.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// L2 penalty, or the decay of the weights themselves; 0 for none.
    pub weight_decay: f32,
    /// AdamW: decay the weights, not the gradient.
    pub decoupled: bool,
}

impl Kernel for Adam {
    fn name(&self) -> &'static str {
        "adam_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let len = [self.len];
        let state = [
            updates(&len, ["w"]),
            reads(&len, ["g"]),
            updates(&len, ["m", "v"]),
        ];
        [state.concat(), reads(&[3], ["step"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let spec = Spec::new().with("DECOUPLED", self.decoupled);
        let (halves, spec) = halves(spec, self.len.is_multiple_of(2), caps);
        let words = self.len / halves;
        let params = params(
            self.name(),
            [
                words.into(),
                self.beta1.into(),
                (rest(self.beta1) as f32).into(),
                self.beta2.into(),
                (rest(self.beta2) as f32).into(),
                self.eps.into(),
                self.weight_decay.into(),
            ],
        )?;
        let source = include_str!("../../../shaders/optimizer/adam.wgsl");
        Ok(launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let results = self.update(args);
        store_all(args, results)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &self.update(args))
    }

    fn operations(&self) -> f64 {
        // Products, sums, two roots and three quotients.
        18.0 * self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[3] = uniform(&[self.len], 0.0, 2.0, rng);
        args[4] = Tensor::from_f32(&[3], &self.step(0.01, 3)).expect("three numbers");
        args
    }
}

/// `1 − beta`, exactly.
fn rest(beta: f32) -> f64 {
    1.0 - f64::from(beta)
}

impl Adam {
    /// The values of the binding `step` at step `t`, counted from 1: `[lr, 1 − beta1ᵗ, 1 − beta2ᵗ]`,
    /// of the same (f32) betas that the kernel uses.
    pub fn step(&self, lr: f32, t: u32) -> [f32; 3] {
        let t = f64::from(t);
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(t)) as f32;
        [lr, correction(self.beta1), correction(self.beta2)]
    }

    fn update(&self, args: &[Tensor]) -> Results {
        let [w, g, m, v, step] = [0, 1, 2, 3, 4].map(|i| Approx::elements(&args[i]));
        let [lr, correction1, correction2] = [step[0], step[1], step[2]];
        let (beta1, rest1) = (Approx::exact(self.beta1), Approx::rounded(rest(self.beta1)));
        let (beta2, rest2) = (Approx::exact(self.beta2), Approx::rounded(rest(self.beta2)));
        let (eps, weight_decay) = (Approx::exact(self.eps), Approx::exact(self.weight_decay));
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        for i in 0..self.len {
            let (mut w, mut g) = (w[i], g[i]);
            if self.decoupled {
                w = w * (Approx::exact(1.0) - lr * weight_decay);
            } else {
                g = g + weight_decay * w;
            }
            let m = beta1 * m[i] + rest1 * g;
            let v = beta2 * v[i] + rest2 * g * g;
            let denominator = v.sqrt() / correction2.sqrt() + eps;
            w = w - lr / correction1 * (m / denominator);
            for (out, x) in out.iter_mut().zip([w, m, v]) {
                out.push(x);
            }
        }
        [0, 2, 3].into_iter().zip(out).collect()
    }
}

/// Adam, Adam with a penalty, AdamW; lengths that hurt.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |(weight_decay, decoupled)| {
        [1, 257, 1031].map(|len| Adam {
            len,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay,
            decoupled,
        })
    };
    let variants = [(0.0, false), (0.01, false), (0.01, true)];
    boxed(variants.into_iter().flat_map(kernel))
}
