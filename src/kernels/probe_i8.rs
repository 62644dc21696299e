//! `y[i] = Σ_c s_c` after `16 · steps` times `s_c = s_c + Σ_j int8_j(s_c) · x[i, j]`, from `s_c = word(x[i]) + c`
//!
//! `x`: int8 `[len, 4]`, `y`: int32 `[len]`, all sums wrapping; `int8_j` is byte `j`, signed. A measure of the
//! device, as [`super::probe_f32`] is, of `dot4I8Packed`. Exact.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};

/// Dot products of four int8. Bindings: `x[len, 4]`, `y[len]`.
#[derive(Clone, Debug)]
pub struct ProbeI8 {
    /// Invocations.
    pub len: usize,
    /// Rounds of 16 steps.
    pub steps: usize,
    /// Independent chains of one invocation.
    pub chains: usize,
}

const UNROLL: usize = 16;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    steps: u32,
}

/// `dot4I8Packed`.
fn dot(a: u32, b: u32) -> i32 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let products = a.iter().zip(b);
    products
        .map(|(&a, b)| i32::from(a as i8) * i32::from(b as i8))
        .sum()
}

impl Kernel for ProbeI8 {
    fn name(&self) -> &'static str {
        "probe_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, [self.len, 4]),
            Binding::write("y", DType::I32, [self.len]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../shaders/probe_i8.wgsl").into(),
            spec: Spec::new()
                .with("CHAINS", self.chains as u32)
                .with("UNROLL", UNROLL as u32),
            params: params_bytes(&Params {
                len: self.len as u32,
                steps: self.steps as u32,
            }),
            workgroups: grid_1d(self.len, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        if args[0].dtype() != DType::I8 || args[1].dtype() != DType::I32 {
            return Err(Error::invalid(self.name(), "x is int8 and y int32"));
        }
        let (x, y) = args.split_at_mut(1);
        // A row of four is one word.
        for (&x, y) in x[0].words().iter().zip(y[0].words_mut()) {
            let chain = |c| {
                let start = x.wrapping_add(c) as i32;
                (0..UNROLL * self.steps).fold(start, |s, _| s.wrapping_add(dot(s as u32, x)))
            };
            let sum = (0..self.chains as u32).fold(0i32, |sum, c| sum.wrapping_add(chain(c)));
            *y = sum as u32;
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        8.0 * (self.len * self.chains * UNROLL * self.steps) as f64
    }
}

/// One invocation, and just over a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1), (65, 3)]
        .into_iter()
        .map(|(len, steps)| {
            Box::new(ProbeI8 {
                len,
                steps,
                chains: 8,
            }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(dot(0x0102_03ff, 0x0201_8002), 2 + 2 - 3 * 128 - 2);
        let probe = ProbeI8 {
            len: 1,
            steps: 1,
            chains: 2,
        };
        let mut x = Tensor::zeros(&[1, 4], DType::I8);
        x.store_i8(&[1, 0, 0, 0]).expect("fits");
        let mut args = [x, Tensor::zeros(&[1], DType::I32)];
        probe.cpu(&mut args).expect("int8");
        // The lowest byte, signed, is added to each chain: 1, 2, 4 … 64, 128 (which reads −128), 0; and 2, 4 …
        // the same a step earlier.
        assert_eq!(args[1].as_i32().expect("i32"), [0]);
        assert_eq!(probe.operations(), 256.0);
    }
}
