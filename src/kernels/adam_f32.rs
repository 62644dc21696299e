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
//! `[lr, 1 − beta1ᵗ, 1 − beta2ᵗ]` with `t` from 1 ([`AdamF32::step`]), on the device so that steps need
//! no new plan. Divisions and roots are as accurate as WGSL makes them: 2.5 and 4.5 ULP.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes,
    random_tensor, store, uniform, within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// One step of Adam or AdamW. Bindings: `w` (updated), `g`, `m` (updated), `v` (updated), `step`.
#[derive(Clone, Debug)]
pub struct AdamF32 {
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

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    weight_decay: f32,
}

impl Kernel for AdamF32 {
    fn name(&self) -> &'static str {
        "adam_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("w", DType::F32, [self.len]),
            Binding::read("g", DType::F32, [self.len]),
            Binding::update("m", DType::F32, [self.len]),
            Binding::update("v", DType::F32, [self.len]),
            Binding::read("step", DType::F32, [3]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let spec = Spec::new().with("DECOUPLED", self.decoupled);
        let (halves, spec) = elementwise::halves(spec, self.len.is_multiple_of(2), caps);
        let words = self.len / halves;
        let params = params_bytes(&Params {
            words: words as u32,
            beta1: self.beta1,
            rest1: rest(self.beta1) as f32,
            beta2: self.beta2,
            rest2: rest(self.beta2) as f32,
            eps: self.eps,
            weight_decay: self.weight_decay,
        });
        let source = include_str!("../../shaders/adam_f32.wgsl");
        Ok(elementwise::launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let [w, m, v] = self.update(args);
        store(&mut args[0], &w)?;
        store(&mut args[2], &m)?;
        store(&mut args[3], &v)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [w, m, v] = self.update(args);
        Ok(vec![
            within_f32(&w),
            Agreement::Equal,
            within_f32(&m),
            within_f32(&v),
            Agreement::Equal,
        ])
    }

    fn operations(&self) -> f64 {
        // Products, sums, two roots and three quotients.
        18.0 * self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args: Vec<Tensor> = bindings.iter().map(|b| random_tensor(b, rng)).collect();
        args[3] = uniform(&[self.len], 0.0, 2.0, rng);
        args[4] = Tensor::from_f32(&[3], &self.step(0.01, 3)).expect("three numbers");
        args
    }
}

/// `1 − beta`, exactly.
fn rest(beta: f32) -> f64 {
    1.0 - f64::from(beta)
}

impl AdamF32 {
    /// The values of the binding `step` at step `t`, counted from 1: `[lr, 1 − beta1ᵗ, 1 − beta2ᵗ]`,
    /// of the same (f32) betas that the kernel uses.
    pub fn step(&self, lr: f32, t: u32) -> [f32; 3] {
        let t = f64::from(t);
        let correction = |beta: f32| (1.0 - f64::from(beta).powf(t)) as f32;
        [lr, correction(self.beta1), correction(self.beta2)]
    }

    fn update(&self, args: &[Tensor]) -> [Vec<Approx>; 3] {
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
        out
    }
}

/// Adam, Adam with a penalty, AdamW; lengths that hurt.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (weight_decay, decoupled) in [(0.0, false), (0.01, false), (0.01, true)] {
        for len in [1, 257, 1031] {
            out.push(Box::new(AdamF32 {
                len,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay,
                decoupled,
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_size_of_the_learning_rate() {
        let one = |x| Tensor::from_f32(&[1], &[x]).expect("fits");
        for decoupled in [false, true] {
            let kernel = AdamF32 {
                len: 1,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: if decoupled { 0.5 } else { 0.0 },
                decoupled,
            };
            let step = Tensor::from_f32(&[3], &kernel.step(0.125, 1)).expect("fits");
            let mut args = [one(2.0), one(-3.0), one(0.0), one(0.0), step];
            kernel.cpu(&mut args).expect("f32");
            let want = if decoupled {
                2.0 - 0.125 + 0.125
            } else {
                2.0 + 0.125
            };
            assert!((args[0].to_f32()[0] - want).abs() < 1e-6, "{args:?}");
            assert!((args[2].to_f32()[0] + 0.3).abs() < 1e-6, "{args:?}");
            assert!((args[3].to_f32()[0] - 0.009).abs() < 1e-6, "{args:?}");
        }
    }
}
