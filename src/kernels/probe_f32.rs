//! `y[i] = Σ_c s_c` after `32 · steps` times `s_c = s_c · a[i] + b[i]`, from `s_c = b[i] + c`
//!
//! `a`, `b`, `y`: f32. A measure of the device, not part of a network: nothing but multiply-adds, in
//! `chains` independent chains to an invocation, whose operands are data, so that no compiler can shorten
//! them.

use super::probe::Chain;
use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, ulp_f32, uniform,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Multiply-adds in f32. Bindings: `a[len]`, `b[len]`, `y[len]`.
#[derive(Clone, Debug)]
pub struct ProbeF32 {
    /// Invocations.
    pub len: usize,
    /// Rounds of 32 steps.
    pub steps: usize,
    /// Independent chains of one invocation.
    pub chains: usize,
    /// Asks for fused multiply-adds by name; otherwise the driver may fuse or not.
    pub fused: bool,
}

const UNROLL: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    steps: u32,
}

impl ProbeF32 {
    /// The result for one pair, and its bound.
    fn result(&self, a: f32, b: f32) -> (f64, f64) {
        let (factor, term) = (f64::from(a), f64::from(b));
        let chains = (0..self.chains).map(|c| Chain {
            start: term + c as f64,
            factor,
            term,
        });
        let (sum, error) = Chain::sum(chains, UNROLL * self.steps, f64::from(f32::EPSILON));
        (sum, error + ulp_f32(sum))
    }
}

impl Kernel for ProbeF32 {
    fn name(&self) -> &'static str {
        "probe_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", DType::F32, [self.len]),
            Binding::read("b", DType::F32, [self.len]),
            Binding::write("y", DType::F32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../shaders/probe_f32.wgsl").into(),
            spec: Spec::new()
                .with("CHAINS", self.chains as u32)
                .with("UNROLL", UNROLL as u32)
                .with("FUSED", self.fused),
            params: params_bytes(&Params {
                len: self.len as u32,
                steps: self.steps as u32,
            }),
            workgroups: grid_1d(self.len, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let pairs = args[0].as_f32()?.iter().zip(args[1].as_f32()?);
        let y: Vec<f64> = pairs.map(|(&a, &b)| self.result(a, b).0).collect();
        args[2].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let pairs = args[0].as_f32()?.iter().zip(args[1].as_f32()?);
        let bound = pairs.map(|(&a, &b)| self.result(a, b).1).collect();
        Ok(vec![
            Agreement::Equal,
            Agreement::Equal,
            Agreement::Within(bound),
        ])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.len * self.chains * UNROLL * self.steps) as f64
    }

    /// Factors just below 1 and positive terms: chains stay finite and far from zero however long they are.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let len = [self.len];
        vec![
            uniform(&len, 0.9, 0.99, rng),
            uniform(&len, 0.25, 1.0, rng),
            Tensor::zeros(&len, DType::F32),
        ]
    }
}

/// One invocation, and just over a workgroup; both ways to ask.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 8, false), (65, 2, 8, true), (65, 2, 10, false)]
        .into_iter()
        .map(|(len, steps, chains, fused)| {
            Box::new(ProbeF32 {
                len,
                steps,
                chains,
                fused,
            }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let probe = ProbeF32 {
            len: 1,
            steps: 1,
            chains: 2,
            fused: false,
        };
        let mut args = [
            Tensor::from_f32(&[1], &[1.0]).expect("fits"),
            Tensor::from_f32(&[1], &[0.5]).expect("fits"),
            Tensor::zeros(&[1], DType::F32),
        ];
        probe.cpu(&mut args).expect("f32");
        // 0.5 and 1.5, 32 times 0.5 added to each.
        assert_eq!(args[2].as_f32().expect("f32"), [34.0]);
        assert_eq!(probe.operations(), 128.0);
    }
}
