//! `y[i] = Σ_c s_c` after `8 · steps` times `s_c = s_c + Σ_j int8_j(a) · int8_j(b_{(c + u) % 8})`, `c` in 0..8
//!
//! `u` counts the steps; before each, `a = a + 0x9e3779b9`. At first `s_c = a = word(x[i])`; `b_c = word(x[i]) · (2c + 1)`.
//! `x`: int8 `[len, 4]`, `y`: int32 `[len]`, all sums and products of words wrapping; `int8_j` is byte `j`, signed. A
//! measure of the device, as [`super::probe_f32`] is, of `dot4I8Packed`: as in a tile, every word is unpacked for
//! eight products. Exact.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};

/// Dot products of four int8. Bindings: `x[len, 4]`, `y[len]`.
#[derive(Clone, Debug)]
pub struct ProbeI8 {
    /// Invocations.
    pub len: usize,
    /// Rounds of 8 steps.
    pub steps: usize,
}

/// Independent chains of one invocation, and steps of a round.
const CHAINS: u32 = 8;
/// Makes every `a` another.
const ADD: u32 = 0x9e37_79b9;

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
            spec: Spec::new().with("CHAINS", CHAINS).with("ADD", ADD),
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
            let chain = |c: u32| {
                let (mut s, mut a) = (x as i32, x);
                for u in 0..CHAINS * self.steps as u32 {
                    a = a.wrapping_add(ADD);
                    let b = x.wrapping_mul(2 * ((c + u) % CHAINS) + 1);
                    s = s.wrapping_add(dot(a, b));
                }
                s
            };
            let sum = (0..CHAINS).fold(0i32, |sum, c| sum.wrapping_add(chain(c)));
            *y = sum as u32;
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        8.0 * (self.len * self.steps) as f64 * f64::from(CHAINS * CHAINS)
    }
}

/// One invocation, and just over a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1), (65, 3)]
        .into_iter()
        .map(|(len, steps)| Box::new(ProbeI8 { len, steps }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(dot(0x0102_03ff, 0x0201_8002), 2 + 2 - 3 * 128 - 2);
        let probe = ProbeI8 { len: 1, steps: 1 };
        // x = 0: every b is 0, and nothing is added.
        let mut args = [
            Tensor::zeros(&[1, 4], DType::I8),
            Tensor::zeros(&[1], DType::I32),
        ];
        probe.cpu(&mut args).expect("int8");
        assert_eq!(args[1].as_i32().expect("i32"), [0]);
        // x = 1: b_c = 2c + 1 has one byte. The lowest bytes of a, signed, each times the sum of all b, 64; and 1
        // from the start of each chain.
        args[0].store_i8(&[1, 0, 0, 0]).expect("fits");
        probe.cpu(&mut args).expect("int8");
        let lowest = (1..=8u32).map(|u| i32::from(ADD.wrapping_mul(u).wrapping_add(1) as u8 as i8));
        assert_eq!(
            args[1].as_i32().expect("i32"),
            [8 + 64 * lowest.sum::<i32>()]
        );
        assert_eq!(probe.operations(), 512.0);
    }
}
