//! `y[o, 0, i]` = sum, mean, largest or smallest over `k` of `x[o, k, i]`
//!
//! `x`: `[outer, len, inner]`, any number of axes before and behind the one that is reduced and stays with one element.
//! f32 and f16 are summed in f32, a mean is then divided by the count (2.5 ULP); the order of a sum is fixed by the
//! sizes. The largest and smallest are selections, of int8 too; NaN may win or lose (WGSL leaves it open).

use serde::{Deserialize, Serialize};

use super::super::frame::{boxed, no_program, params, within};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, store};
use crate::base::{DType, MAX_ELEMENTS, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// What becomes of the elements along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReduceKind {
    /// `Σ x / n`.
    Mean,
    /// `Σ x`.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl ReduceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Sum, Self::Max, Self::Min];

    /// True if the result is one of the elements.
    pub fn selects(self) -> bool {
        matches!(self, Self::Max | Self::Min)
    }
}

/// An axis reduced to one element. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What becomes of its elements.
    pub kind: ReduceKind,
    /// Shape of `x`.
    pub x: Shape,
    /// The axis.
    pub axis: usize,
    /// F32 or F16; I8 for the largest and the smallest, sums of which are [`super::ReduceI8`].
    pub dtype: DType,
}

/// A shape with one element along an axis.
pub(super) fn reduced(x: &[usize], axis: usize) -> Shape {
    let mut y = x.to_vec();
    if let Some(size) = y.get_mut(axis) {
        *size = 1;
    }
    y
}

/// Checks that there is such an axis, with elements.
pub(super) fn check(op: &str, x: &[usize], axis: usize) -> Result<()> {
    if axis >= x.len() {
        let problem = format!("`x` of shape {x:?} has no axis {axis}");
        return Err(Error::invalid(op, problem));
    }
    if num_elements(x) == 0 || num_elements(x) > MAX_ELEMENTS {
        let problem = format!("`x` of shape {x:?} has no elements, or more than {MAX_ELEMENTS}");
        return Err(Error::invalid(op, problem));
    }
    Ok(())
}

/// The elements of `x` along the axis, for every result.
pub(super) fn along<T: Copy>(x: &[T], shape: &[usize], axis: usize) -> Vec<Vec<T>> {
    let inner: usize = shape[axis + 1..].iter().product();
    let slices = x.chunks(shape[axis] * inner);
    let column = |slice: &[T], i: usize| slice.iter().skip(i).step_by(inner).copied().collect();
    slices
        .flat_map(|slice| (0..inner).map(move |i| column(slice, i)))
        .collect()
}

/// The numbers that follow those of the geometry in the uniform: zero points, range and multiplier of integers.
pub(super) type Integers = ([i32; 4], [u32; 2]);

/// The launch of `shaders/reduce/axis.wgsl`.
pub(super) fn launch(
    (op, kind): (&str, ReduceKind),
    (x, axis, dtype): (&[usize], usize, DType),
    (integers, multiplier): Integers,
    spec: Spec,
    caps: &Caps,
) -> Result<Launch> {
    let y = reduced(x, axis);
    let last = axis + 1 == x.len();
    // Words of x from one term to the next, and terms of a word of y.
    let (inner, terms) = match last {
        true => (1, row_words(x, dtype)),
        false => (words_for(&x[axis + 1..], dtype), x[axis]),
    };
    let outputs = words_for(&y, dtype);
    // Neighbours read neighbouring words: of several results where these lie side by side and are enough, of one
    // otherwise. Where there are few terms, an invocation takes all of its result.
    let columns = match (inner, terms, outputs) {
        (1, 17.., _) => 1,
        (1, _, _) => 64,
        (_, _, ..32) => 1,
        (_, ..=64, 64..) => 64,
        _ => 8,
    };
    let spec = match dtype {
        DType::F16 => spec.part("lanes", "common/reduce_f16.wgsl"),
        DType::I8 => spec.part("lanes", "common/reduce_i8.wgsl"),
        DType::F32 | DType::I32 | DType::U32 => spec,
    };
    let number = match kind {
        ReduceKind::Sum => 0,
        ReduceKind::Mean => 1,
        ReduceKind::Max => 2,
        ReduceKind::Min => 3,
    };
    let row = y.last().copied().unwrap_or(1);
    let [x_zero_point, zero_point, qmin, qmax] = integers;
    let words = [
        outputs.into(),
        terms.into(),
        inner.into(),
        x[axis].into(),
        row.into(),
        row_words(&y, dtype).into(),
        x_zero_point.into(),
        zero_point.into(),
        qmin.into(),
        qmax.into(),
        multiplier[0].into(),
        multiplier[1].into(),
    ];
    Ok(Launch {
        source: include_str!("../../../shaders/reduce/axis.wgsl").into(),
        spec: spec
            .with("COLUMNS", columns as u32)
            .with("KIND", number)
            .with("LAST", last),
        params: params(op, words)?,
        workgroups: grid_1d(outputs, columns, caps),
    })
}

impl Kernel for Reduce {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "reduce_f16",
            DType::I8 => "reduce_select_i8",
            DType::F32 | DType::I32 | DType::U32 => "reduce_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.x.clone()),
            Binding::write("y", self.dtype, reduced(&self.x, self.axis)),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.checked()?;
        let what = (self.name(), self.kind);
        let x = (self.x.as_slice(), self.axis, self.dtype);
        // Nothing is rounded: integers are those of x.
        launch(what, x, ([0, 0, -128, 127], [0; 2]), Spec::new(), caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.results(args)?;
        if self.dtype == DType::I8 {
            return args[1].store_i8(&y.iter().map(|y| y.value as i8).collect::<Vec<_>>());
        }
        store(&mut args[1], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let y = match self.kind.selects() {
            true => Agreement::Equal,
            false => within(self.dtype, &self.results(args)?),
        };
        Ok(vec![Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl Reduce {
    fn checked(&self) -> Result<()> {
        let known = match self.dtype {
            DType::F32 | DType::F16 => true,
            DType::I8 => self.kind.selects(),
            DType::I32 | DType::U32 => false,
        };
        if !known {
            return Err(no_program("reduce", self.dtype, "f32 or f16"));
        }
        check(self.name(), &self.x, self.axis)
    }

    fn results(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        self.checked()?;
        let x = Approx::elements(&args[0]);
        let largest = |terms: &[Approx]| {
            let values = terms.iter().map(|x| x.value);
            Approx::exact(values.fold(f64::NEG_INFINITY, f64::max))
        };
        let result = |terms: Vec<Approx>| match self.kind {
            ReduceKind::Sum => Approx::sum(terms),
            ReduceKind::Mean => {
                let count = Approx::exact(terms.len() as f64);
                Approx::sum(terms) / count
            }
            ReduceKind::Max => largest(&terms),
            ReduceKind::Min => -largest(&terms.into_iter().map(|x| -x).collect::<Vec<_>>()),
        };
        let all = along(&x, &self.x, self.axis);
        Ok(all.into_iter().map(result).collect())
    }
}

/// First, middle and last axes; few terms, many of few results, tails of words, many results.
pub(super) fn cases() -> [(Shape, usize); 9] {
    [
        (vec![1], 0),
        (vec![7, 13], 0),
        (vec![7, 13], 1),
        (vec![3, 70], 1),
        (vec![2, 5, 3, 7], 1),
        (vec![2, 3, 5, 6], 2),
        (vec![2, 131, 9], 1),
        (vec![67, 3, 5], 2),
        (vec![1, 71, 129], 1),
    ]
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let mut kernels = Vec::new();
    for kind in ReduceKind::ALL {
        for dtype in [DType::F32, DType::F16, DType::I8] {
            if dtype == DType::I8 && !kind.selects() {
                continue;
            }
            kernels.extend(cases().map(|(x, axis)| Reduce {
                kind,
                x,
                axis,
                dtype,
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
        let data = [1.0, -2.0, 3.0, 5.0, 0.5, -4.0];
        let run = |kind, axis, dtype| {
            let x = vec![1, 2, 3];
            let kernel = Reduce {
                kind,
                x,
                axis,
                dtype,
            };
            let bindings = kernel.bindings().into_iter();
            let mut args: Vec<Tensor> =
                bindings.map(|b| Tensor::zeros(&b.shape, b.dtype)).collect();
            args[0].store_f64(&data).expect("fits");
            kernel.cpu(&mut args).expect("floats");
            args[1].to_f32()
        };
        for dtype in [DType::F32, DType::F16] {
            assert_eq!(run(ReduceKind::Sum, 1, dtype), [6.0, -1.5, -1.0]);
            assert_eq!(run(ReduceKind::Mean, 1, dtype), [3.0, -0.75, -0.5]);
            assert_eq!(run(ReduceKind::Max, 2, dtype), [3.0, 5.0]);
            assert_eq!(run(ReduceKind::Min, 2, dtype), [-2.0, -4.0]);
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let kernel = |axis, dtype, kind| Reduce {
            kind,
            x: vec![2, 3],
            axis,
            dtype,
        };
        let caps = Caps::portable();
        for wrong in [
            kernel(2, DType::F32, ReduceKind::Max),
            kernel(1, DType::I8, ReduceKind::Sum),
            kernel(1, DType::I32, ReduceKind::Max),
        ] {
            assert!(wrong.launch(&caps).is_err(), "{wrong:?}");
        }
    }
}
