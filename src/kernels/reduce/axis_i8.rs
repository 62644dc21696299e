//! Sums and means along an axis of int8.
//!
//! ```text
//! acc[o, i]  = Σ_k (x[o, k, i] − x_zero_point)                                       int32, exact
//! y[o, 0, i] = clamp(requant(acc) + zero_point, qmin, qmax)
//! ```
//!
//! `M = s_x / s_y` for a sum, `s_x / (s_y · n)` for a mean.

use super::super::frame::{boxed, equal_but};
use super::super::out_i8::sample_outs;
use super::super::{Agreement, Binding, Caps, Kernel, Launch, OutI8};
use super::ReduceKind;
use super::axis::{along, cases, check, launch, reduced};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// An axis reduced to one element. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ReduceI8 {
    /// Sum or mean; [`super::Reduce`] has the others.
    pub kind: ReduceKind,
    /// Shape of `x`.
    pub x: Shape,
    /// The axis.
    pub axis: usize,
    /// The integer of `x` that stands for 0, within −128 ..= 127.
    pub x_zero_point: i32,
    /// `s_x / s_y`.
    pub scale: f64,
    /// How an accumulator becomes an output.
    pub out: OutI8,
}

/// Elements whose sum surely fits an int32.
const MOST_TERMS: usize = (i32::MAX / 255) as usize;

impl ReduceI8 {
    fn checked(&self) -> Result<()> {
        self.out.range.check(self.name())?;
        check(self.name(), &self.x, self.axis)?;
        let len = self.x[self.axis];
        let problem = if self.kind.selects() {
            format!("{:?} is no sum", self.kind)
        } else if len > MOST_TERMS {
            format!("{len} terms, whose sum may overflow")
        } else if !(-128..=127).contains(&self.x_zero_point) {
            format!("zero point {} of x is no int8", self.x_zero_point)
        } else {
            return Ok(());
        };
        Err(Error::invalid(self.name(), problem))
    }

    fn multiplier(&self) -> [u32; 2] {
        let count = match self.kind {
            ReduceKind::Mean => self.x[self.axis] as f64,
            ReduceKind::Sum | ReduceKind::Max | ReduceKind::Min => 1.0,
        };
        self.out.multiplier(self.scale / count)
    }

    fn sums(&self, args: &[Tensor]) -> Result<Vec<i32>> {
        self.checked()?;
        let real = |q: i8| i32::from(q) - self.x_zero_point;
        let all = along(&args[0].to_i8()?, &self.x, self.axis);
        let sum = |terms: Vec<i8>| terms.into_iter().map(real).sum();
        Ok(all.into_iter().map(sum).collect())
    }
}

impl Kernel for ReduceI8 {
    fn name(&self) -> &'static str {
        "reduce_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, self.x.clone()),
            Binding::write("y", DType::I8, reduced(&self.x, self.axis)),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.checked()?;
        let (out, x) = (self.out, (self.x.as_slice(), self.axis, DType::I8));
        let range = out.range;
        let integers = [self.x_zero_point, out.zero_point, range.qmin, range.qmax];
        let what = (self.name(), self.kind);
        launch(what, x, (integers, self.multiplier()), out.spec(), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let sums = self.sums(args)?;
        self.out.store(&sums, &self.multiplier(), &mut args[1])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let sums = self.sums(args)?;
        equal_but(2, [(1, self.out.agreement(&sums, &self.multiplier()))])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let mut kernels = Vec::new();
    for kind in [ReduceKind::Mean, ReduceKind::Sum] {
        for out in sample_outs() {
            kernels.extend(cases().map(|(x, axis)| ReduceI8 {
                kind,
                x,
                axis,
                x_zero_point: -3,
                scale: 0.3,
                out,
            }));
        }
    }
    boxed(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let [_, out, _] = sample_outs();
        let mut kernel = ReduceI8 {
            kind: ReduceKind::Sum,
            x: vec![1, 2, 2],
            axis: 1,
            x_zero_point: 2,
            scale: 0.5,
            out,
        };
        let x = Tensor::from_i8(&kernel.x, &[4, 1, 8, 2]).expect("fits");
        let mut args = [x, Tensor::zeros(&[1, 1, 2], DType::I8)];
        // Sums of 8 and −1, halves away from zero, and a zero point of −3.
        kernel.cpu(&mut args).expect("i8");
        assert_eq!(args[1].to_i8().expect("i8"), [1, -4]);
        kernel.kind = ReduceKind::Mean;
        kernel.cpu(&mut args).expect("i8");
        assert_eq!(args[1].to_i8().expect("i8"), [-1, -3]);
        kernel.kind = ReduceKind::Max;
        assert!(kernel.launch(&Caps::portable()).is_err(), "no sum");
    }
}
