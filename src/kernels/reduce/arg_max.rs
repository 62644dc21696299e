//! `y[o, 0, i]` = the first `k` for which `x[o, k, i]` is the largest
//!
//! Floats are compared as integers that grow with them, so that every device finds the same one, subnormals or not. Both
//! zeros are equal, and NaN is larger than everything.

use super::super::frame::{boxed, no_program, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d};
use super::axis::{along, cases, check, reduced};
use crate::base::{DType, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::Result;

/// Where the largest of each slice along an axis stands. Bindings: `x`, `y` (int32).
#[derive(Clone, Debug)]
pub struct ArgMax {
    /// Shape of `x`.
    pub x: Shape,
    /// The axis.
    pub axis: usize,
    /// F32 or F16.
    pub dtype: DType,
}

impl Kernel for ArgMax {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "arg_max_f16",
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => "arg_max_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.x.clone()),
            Binding::write("y", DType::I32, reduced(&self.x, self.axis)),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.checked()?;
        let (x, axis) = (&self.x, self.axis);
        let last = axis + 1 == x.len();
        let inner = num_elements(&x[axis + 1..]);
        let row = match last {
            true => 1,
            false => x[x.len() - 1],
        };
        // Words of x from one element along the axis to the next; those of the last axis share words.
        let step = match last {
            true => 1,
            false => words_for(&x[axis + 1..], self.dtype),
        };
        let outputs = num_elements(&reduced(x, axis));
        // As many invocations share a result as there is work for.
        let columns = match (x[axis], outputs) {
            (..17, _) => 64,
            (..=256, 1024..) => 64,
            (_, 64..) => 8,
            _ => 1,
        };
        let spec = Spec::new()
            .with("COLUMNS", columns as u32)
            .with("LAST", last);
        let words = [
            outputs.into(),
            x[axis].into(),
            inner.into(),
            row.into(),
            row_words(x, self.dtype).into(),
            step.into(),
        ];
        Ok(Launch {
            source: include_str!("../../../shaders/reduce/arg_max.wgsl").into(),
            spec: match self.dtype {
                DType::F16 => spec.part("element", "common/element_f16.wgsl"),
                DType::F32 | DType::I8 | DType::I32 | DType::U32 => spec,
            },
            params: params(self.name(), words)?,
            workgroups: grid_1d(outputs, columns, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.checked()?;
        let x = args[0].to_f64();
        args[1].as_i32()?;
        let first = |terms: Vec<f64>| {
            let larger = |best: usize, k: usize| {
                let (a, b) = (terms[best], terms[k]);
                if !a.is_nan() && (b > a || b.is_nan()) {
                    k
                } else {
                    best
                }
            };
            (0..terms.len()).fold(0, larger) as u32
        };
        let all = along(&x, &self.x, self.axis).into_iter().map(first);
        for (word, k) in args[1].words_mut().iter_mut().zip(all) {
            *word = k;
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl ArgMax {
    fn checked(&self) -> Result<()> {
        if !matches!(self.dtype, DType::F32 | DType::F16) {
            return Err(no_program("arg_max", self.dtype, "f32 or f16"));
        }
        check(self.name(), &self.x, self.axis)
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |dtype| cases().map(|(x, axis)| ArgMax { x, axis, dtype });
    boxed([DType::F32, DType::F16].into_iter().flat_map(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let run = |axis, y: &[usize]| {
            let (x, dtype) = (vec![2, 3], DType::F32);
            let data = [-1.0, 4.0, 4.0, -0.0, 0.0, f32::NAN];
            let data = Tensor::from_f32(&x, &data).expect("fits");
            let mut args = [data, Tensor::zeros(y, DType::I32)];
            ArgMax { x, axis, dtype }.cpu(&mut args).expect("f32");
            args[1].as_i32().expect("i32").to_vec()
        };
        assert_eq!(run(1, &[2, 1]), [1, 2]);
        assert_eq!(run(0, &[1, 3]), [1, 0, 1]);
    }
}
