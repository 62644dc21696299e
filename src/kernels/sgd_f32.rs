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

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// One step of SGD. Bindings: `w` (updated), `g`, `v` (updated), `lr`.
#[derive(Clone, Debug)]
pub struct SgdF32 {
    /// Elements of `w`, `g` and `v`.
    pub len: usize,
    /// Share of the old velocity that stays; 0 for none.
    pub momentum: f32,
    /// L2 penalty; 0 for none.
    pub weight_decay: f32,
    /// Look ahead by one step of momentum.
    pub nesterov: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    momentum: f32,
    weight_decay: f32,
}

impl Kernel for SgdF32 {
    fn name(&self) -> &'static str {
        "sgd_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("w", DType::F32, [self.len]),
            Binding::read("g", DType::F32, [self.len]),
            Binding::update("v", DType::F32, [self.len]),
            Binding::read("lr", DType::F32, [1]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&Params {
            len: self.len as u32,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
        });
        let source = include_str!("../../shaders/sgd_f32.wgsl");
        let spec = Spec::new()
            .with("MOMENTUM", self.momentum != 0.0)
            .with("NESTEROV", self.nesterov);
        Ok(elementwise::launch(source, spec, params, self.len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (w, v) = self.step(args);
        store(&mut args[0], &w)?;
        store(&mut args[2], &v)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let (w, v) = self.step(args);
        Ok(vec![
            within_f32(&w),
            Agreement::Equal,
            within_f32(&v),
            Agreement::Equal,
        ])
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

impl SgdF32 {
    fn step(&self, args: &[Tensor]) -> (Vec<Approx>, Vec<Approx>) {
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
        w.iter().zip(&g).zip(&v).map(update).unzip()
    }
}

/// Plain, with momentum, with everything; lengths that hurt.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let variants = [
        (0.0, 0.0, false),
        (0.9, 0.0, false),
        (0.9, 5e-4, false),
        (0.9, 5e-4, true),
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (momentum, weight_decay, nesterov) in variants {
        for len in [1, 257, 1031] {
            out.push(Box::new(SgdF32 {
                len,
                momentum,
                weight_decay,
                nesterov,
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let step = |momentum, weight_decay, nesterov| {
            let one = |x| Tensor::from_f32(&[1], &[x]).expect("fits");
            let mut args = [one(1.0), one(2.0), one(4.0), one(0.5)];
            let kernel = SgdF32 {
                len: 1,
                momentum,
                weight_decay,
                nesterov,
            };
            kernel.cpu(&mut args).expect("f32");
            (args[0].to_f32()[0], args[2].to_f32()[0])
        };
        assert_eq!(step(0.0, 0.0, false), (0.0, 4.0));
        assert_eq!(step(0.5, 0.0, false), (-1.0, 4.0));
        assert_eq!(step(0.5, 1.0, false), (-1.5, 5.0));
        assert_eq!(step(0.5, 1.0, true), (-1.75, 5.0));
    }
}
