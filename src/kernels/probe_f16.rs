//! `y[i] = Σ_c s_c.x + s_c.y` after `16 · steps` times `s_c = s_c · a[i] + b[i]`, from `s_c = b[i] + c`
//!
//! `a`, `b`: f16 `[len, 2]`, `y`: f32 `[len]`. A measure of the device, as [`super::probe_f32`] is. Without
//! `native` each pair is unpacked once and its chains are f32, as the products of packed f16 are; with it, every
//! step is rounded to f16.

use super::matmul_f16::with_factor;
use super::probe::Chain;
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, ulp_f32};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Multiply-adds of pairs. Bindings: `a[len, 2]`, `b[len, 2]`, `y[len]`.
#[derive(Clone, Debug)]
pub struct ProbeF16 {
    /// Invocations.
    pub len: usize,
    /// Rounds of 16 steps.
    pub steps: usize,
    /// Independent chains (of pairs) of one invocation.
    pub chains: usize,
    /// Computes in native f16; needs [`Caps::f16`].
    pub native: bool,
}

const UNROLL: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    steps: u32,
}

impl ProbeF16 {
    /// Results and their bounds.
    fn results(&self, args: &[Tensor]) -> Vec<(f64, f64)> {
        // One ULP of an operation, relative.
        let unit = if self.native {
            2f64.powi(-10)
        } else {
            f64::from(f32::EPSILON)
        };
        let (a, b) = (args[0].to_f64(), args[1].to_f64());
        let pairs = a.chunks(2).zip(b.chunks(2));
        let result = |(a, b): (&[f64], &[f64])| {
            let chains = (0..self.chains).flat_map(|c| {
                let halves = a.iter().zip(b);
                halves.map(move |(&factor, &term)| Chain {
                    start: term + c as f64,
                    factor,
                    term,
                })
            });
            let (sum, error) = Chain::sum(chains, UNROLL * self.steps, unit);
            (sum, error + ulp_f32(sum))
        };
        pairs.map(result).collect()
    }
}

impl Kernel for ProbeF16 {
    fn name(&self) -> &'static str {
        "probe_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", DType::F16, [self.len, 2]),
            Binding::read("b", DType::F16, [self.len, 2]),
            Binding::write("y", DType::F32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let spec = Spec::new()
            .with("CHAINS", self.chains as u32)
            .with("UNROLL", UNROLL as u32);
        Ok(Launch {
            source: include_str!("../../shaders/probe_f16.wgsl").into(),
            spec: with_factor(spec, self.name(), self.native, caps)?,
            params: params_bytes(&Params {
                len: self.len as u32,
                steps: self.steps as u32,
            }),
            workgroups: grid_1d(self.len, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y: Vec<f64> = self.results(args).into_iter().map(|(y, _)| y).collect();
        args[2].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let bounds = self.results(args).into_iter().map(|(_, bound)| bound);
        Ok(vec![
            Agreement::Equal,
            Agreement::Equal,
            Agreement::Within(bounds.collect()),
        ])
    }

    fn operations(&self) -> f64 {
        4.0 * (self.len * self.chains * UNROLL * self.steps) as f64
    }

    /// As those of [`super::probe_f32`]: no chain overflows or comes near zero.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut pairs = |low: f32, high: f32| {
            let values: Vec<f64> = (0..2 * self.len)
                .map(|_| f64::from(rng.range(low, high)))
                .collect();
            let mut tensor = Tensor::zeros(&[self.len, 2], DType::F16);
            tensor.store_f64(&values).expect("two to a row");
            tensor
        };
        vec![
            pairs(0.9, 0.99),
            pairs(0.25, 1.0),
            Tensor::zeros(&[self.len], DType::F32),
        ]
    }
}

/// One invocation, and just over a workgroup. Packed only: native f16 is not everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1), (65, 3)]
        .into_iter()
        .map(|(len, steps)| {
            Box::new(ProbeF16 {
                len,
                steps,
                chains: 8,
                native: false,
            }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let probe = ProbeF16 {
            len: 1,
            steps: 1,
            chains: 1,
            native: false,
        };
        let mut args = [
            Tensor::from_f32_as_f16(&[1, 2], &[1.0, 0.0]).expect("fits"),
            Tensor::from_f32_as_f16(&[1, 2], &[0.5, 3.0]).expect("fits"),
            Tensor::zeros(&[1], DType::F32),
        ];
        probe.cpu(&mut args).expect("f16");
        // 0.5 and 16 times as much again; 3, however often.
        assert_eq!(args[2].as_f32().expect("f32"), [8.5 + 3.0]);
        assert_eq!(probe.operations(), 64.0);
    }
}
