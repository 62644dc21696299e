//! Measures of a device, not parts of a network: nothing but multiply-adds, in independent chains whose operands are
//! data, so that no compiler can shorten them.
//!
//! ```text
//! f32   y[i] = Σ_c s_c          after 32 · steps times s_c = s_c · a[i] + b[i], from s_c = b[i] + c
//! f16   y[i] = Σ_c s_c.x + s_c.y        after 16 · steps times the same, of pairs
//! int8  y[i] = Σ_c s_c          after 8 · steps times s_c = s_c + Σ_j int8_j(a) · int8_j(b_{(c + u) % 8}), c in 0..8
//! ```
//!
//! `a`, `b`: f32 `[len]` or f16 `[len, 2]`, `y`: f32 `[len]`. Without native f16 each pair is unpacked once and its
//! chains are f32, as the products of packed f16 are; with it, every step is rounded to f16.
//!
//! int8: `x`: `[len, 4]`, `y`: int32 `[len]`. `u` counts the steps; before each, `a = a + 0x9e3779b9`. At first `s_c = a =
//! word(x[i])`; `b_c = word(x[i]) · (2c + 1)`. All sums and products of words wrap; `int8_j` is byte `j`, signed: a measure
//! of `dot4I8Packed`, where, as in a tile, every word is unpacked for eight products. Exact.

use super::frame::{boxed, equal_but, params};
use super::{Agreement, Binding, Caps, Const, Kernel, Launch, Spec, gamma, grid_1d, ulp_f32};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// What is multiplied and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32; the driver may fuse or not.
    F32,
    /// f32, asking for fused multiply-adds by name.
    F32Fused,
    /// Packed f16, computed in f32.
    F16,
    /// Native f16; needs [`Caps::f16`].
    F16Native,
    /// Dot products of four int8.
    I8,
}

/// Chains of multiply-adds. Bindings: `a`, `b`, `y`, or `x`, `y` of int8.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Invocations.
    pub len: usize,
    /// Rounds of steps.
    pub steps: usize,
    /// Independent chains of one invocation; int8 always has 8.
    pub chains: usize,
    /// What is multiplied and added.
    pub arithmetic: Arithmetic,
}

/// Independent chains of one invocation, and steps of a round, in int8.
const CHAINS_I8: usize = 8;
/// Makes every `a` another.
const ADD: u32 = 0x9e37_79b9;

impl Arithmetic {
    /// Type, elements of one operand, steps of a round, an ULP of an operation (relative).
    fn properties(self) -> (DType, usize, usize, f64) {
        match self {
            Self::F32 | Self::F32Fused => (DType::F32, 1, 32, f64::from(f32::EPSILON)),
            Self::F16 => (DType::F16, 2, 16, f64::from(f32::EPSILON)),
            Self::F16Native => (DType::F16, 2, 16, 2f64.powi(-10)),
            Self::I8 => (DType::I8, 4, CHAINS_I8, 0.0),
        }
    }
}

impl Kernel for Probe {
    fn name(&self) -> &'static str {
        match self.arithmetic {
            Arithmetic::F32 | Arithmetic::F32Fused => "probe_f32",
            Arithmetic::F16 | Arithmetic::F16Native => "probe_f16",
            Arithmetic::I8 => "probe_i8",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let (dtype, per, ..) = self.arithmetic.properties();
        let x = [self.len, per];
        if self.arithmetic == Arithmetic::I8 {
            let y = Binding::write("y", DType::I32, [self.len]);
            return vec![Binding::read("x", dtype, x), y];
        }
        let y = Binding::write("y", DType::F32, [self.len]);
        vec![
            Binding::read("a", dtype, x),
            Binding::read("b", dtype, x),
            y,
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let (_, _, unroll, _) = self.arithmetic.properties();
        let spec = Spec::new()
            .with("CHAINS", self.chains as u32)
            .with("UNROLL", unroll as u32);
        let probe_f32 = include_str!("../../../shaders/probe/probe_f32.wgsl");
        let probe_f16 = include_str!("../../../shaders/probe/probe_f16.wgsl");
        let (source, spec) = match self.arithmetic {
            Arithmetic::F32 => (probe_f32, spec),
            Arithmetic::F32Fused => (probe_f32, spec.with("FUSED", true)),
            Arithmetic::F16 => (probe_f16, spec),
            Arithmetic::F16Native if caps.f16 => {
                (probe_f16, spec.with("Factor", Const::Type("f16")))
            }
            Arithmetic::F16Native => {
                return Err(Error::Unsupported {
                    op: self.name().into(),
                    problem: "it has no native f16; probe packed f16".into(),
                });
            }
            Arithmetic::I8 => {
                let spec = Spec::new()
                    .with("CHAINS", CHAINS_I8 as u32)
                    .with("ADD", ADD);
                (include_str!("../../../shaders/probe/probe_i8.wgsl"), spec)
            }
        };
        Ok(Launch {
            source: source.into(),
            spec,
            params: params(self.name(), [self.len.into(), self.steps.into()])?,
            workgroups: grid_1d(self.len, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        if self.arithmetic == Arithmetic::I8 {
            // A row of four is one word.
            let y: Vec<i32> = args[0].words().iter().map(|&x| self.dots(x)).collect();
            args[1] = Tensor::from_i32(&[self.len], &y)?;
            return Ok(());
        }
        let y: Vec<f64> = self.results(args).into_iter().map(|(y, _)| y).collect();
        args[2].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.arithmetic == Arithmetic::I8 {
            return equal_but(2, []);
        }
        let bounds = self.results(args).into_iter().map(|(_, bound)| bound);
        equal_but(3, [(2, Agreement::Within(bounds.collect()))])
    }

    fn operations(&self) -> f64 {
        let (_, per, unroll, _) = self.arithmetic.properties();
        let chains = match self.arithmetic {
            Arithmetic::I8 => CHAINS_I8,
            Arithmetic::F32 | Arithmetic::F32Fused | Arithmetic::F16 | Arithmetic::F16Native => {
                self.chains
            }
        };
        2.0 * (self.len * per * chains * unroll * self.steps) as f64
    }

    /// Factors just below 1 and positive terms: chains stay finite and far from zero however long they are.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = super::random_args(&self.bindings(), rng);
        if self.arithmetic != Arithmetic::I8 {
            for (arg, (low, high)) in args.iter_mut().zip([(0.9, 0.99), (0.25, 1.0)]) {
                let values: Vec<f64> = (0..arg.len())
                    .map(|_| f64::from(rng.range(low, high)))
                    .collect();
                arg.store_f64(&values).expect("a float for each");
            }
        }
        args
    }
}

impl Probe {
    /// Float results and their bounds.
    fn results(&self, args: &[Tensor]) -> Vec<(f64, f64)> {
        let (_, per, unroll, unit) = self.arithmetic.properties();
        let (a, b) = (args[0].to_f64(), args[1].to_f64());
        let result = |(a, b): (&[f64], &[f64])| {
            let (mut sum, mut size, mut error) = (0.0, 0.0, 0.0);
            for (&factor, &term) in a.iter().zip(b) {
                for c in 0..self.chains {
                    let (value, off) =
                        chain([term + c as f64, factor, term], unroll * self.steps, unit);
                    sum += value;
                    error += off;
                    size += value.abs() + off;
                }
            }
            let error = error + gamma(per * self.chains) * size;
            (sum, error + ulp_f32(sum))
        };
        a.chunks(per).zip(b.chunks(per)).map(result).collect()
    }

    /// The int8 result of a word.
    fn dots(&self, x: u32) -> i32 {
        let chains = CHAINS_I8 as u32;
        let chain = |c: u32| {
            let (mut s, mut a) = (x as i32, x);
            for u in 0..chains * self.steps as u32 {
                a = a.wrapping_add(ADD);
                let b = x.wrapping_mul(2 * ((c + u) % chains) + 1);
                let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
                let dot = products.map(|(a, b)| i32::from(a as i8) * i32::from(b as i8));
                s = s.wrapping_add(dot.sum());
            }
            s
        };
        (0..chains).fold(0i32, |sum, c| sum.wrapping_add(chain(c)))
    }
}

/// A chain's value after some steps, exactly, and how far a device may be from it whose operations (the start is one,
/// a step two) are each off by `unit`, relative. Nothing here is small enough to be flushed.
fn chain([start, factor, term]: [f64; 3], steps: usize, unit: f64) -> (f64, f64) {
    let mut value = start;
    let mut error = unit * value.abs();
    for _ in 0..steps {
        let product = value * factor;
        error *= factor.abs();
        error += unit * (product.abs() + error);
        value = product + term;
        error += unit * (value.abs() + error);
    }
    (value, error)
}

/// One invocation, and just over a workgroup. Packed f16 only: native f16 is not everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [
        (1, 1, 8, Arithmetic::F32),
        (65, 2, 8, Arithmetic::F32Fused),
        (65, 2, 10, Arithmetic::F32),
        (1, 1, 8, Arithmetic::F16),
        (65, 3, 8, Arithmetic::F16),
        (1, 1, 8, Arithmetic::I8),
        (65, 3, 8, Arithmetic::I8),
    ];
    boxed(cases.map(|(len, steps, chains, arithmetic)| Probe {
        len,
        steps,
        chains,
        arithmetic,
    }))
}
