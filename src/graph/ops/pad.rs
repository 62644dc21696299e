//! More elements around a tensor.

use serde::{Deserialize, Serialize};

use super::super::channels::{Kept, Ties};
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{Operands, REALS, like};
use super::resample::{Resample, lower_resample};
use super::rules::{Operation, QuantRule, plain_rules};
use super::{Op, Slice};
use crate::base::{DType, MAX_ELEMENTS};
use crate::error::{Error, Result};
use crate::kernels::movement::Gather;
use crate::kernels::resample::Taps;

/// `x → y`: so many elements more before and after it along every axis. Those that continue `x` instead of holding a
/// value are rows and columns of images `[n, h, w, c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    /// Elements before, along every axis.
    pub before: Vec<usize>,
    /// Elements after.
    pub after: Vec<usize>,
    /// What they are.
    #[serde(default)]
    pub mode: PadMode,
    /// The value of [`PadMode::Constant`].
    pub value: f32,
}

/// What is put around a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// A value: `v v | a b c | v v`.
    #[default]
    Constant,
    /// The element at the edge: `a a | a b c | c c`.
    Edge,
    /// The elements mirrored at that of the edge: `c b | a b c | b a`.
    Reflect,
    /// The elements from the other side: `b c | a b c | a b`.
    Wrap,
}

impl PadMode {
    /// The element of `size` that is seen at `at`, which may lie before or behind them.
    fn place(self, at: i64, size: i64) -> i64 {
        match self {
            Self::Constant | Self::Edge => at.clamp(0, size - 1),
            Self::Reflect => {
                let period = (2 * (size - 1)).max(1);
                let at = at.rem_euclid(period);
                at.min(period - at).min(size - 1)
            }
            Self::Wrap => at.rem_euclid(size),
        }
    }
}

impl Pad {
    /// Elements before and after the rows and the columns of an image of this size.
    fn sides(&self, op: &str, size: [usize; 2]) -> Result<[[usize; 2]; 2]> {
        let (before, after) = (self.before.as_slice(), self.after.as_slice());
        let (&[0, top, left, 0], &[0, bottom, right, 0]) = (before, after) else {
            let problem = format!(
                "{before:?} before and {after:?} after it, expected rows and columns of [n, h, w, c]"
            );
            return Err(Error::invalid(op, problem));
        };
        let sides = [[top, bottom], [left, right]];
        for ([before, after], size) in sides.into_iter().zip(size) {
            if before.saturating_add(after).saturating_add(size) > MAX_ELEMENTS {
                let problem = format!("{before} before and {after} after {size} are too many");
                return Err(Error::invalid(op, problem));
            }
        }
        Ok(sides)
    }

    /// Where the rows and columns come from.
    fn taps(&self, op: &str, size: [usize; 2]) -> Result<[Taps; 2]> {
        let [rows, columns] = self.sides(op, size)?;
        let along = |[before, after]: [usize; 2], size: usize| {
            let (first, behind) = (-(before as i64), (size + after) as i64);
            let place = |at| self.mode.place(at, size as i64) as usize;
            Taps::select(size, (first..behind).map(place))
        };
        Ok([along(rows, size[0])?, along(columns, size[1])?])
    }
}

impl Operation for Pad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        if self.before.first() != Some(&0) || self.after.first() != Some(&0) {
            return Err(Error::invalid(x.at(), "the batch cannot be padded"));
        }
        if self.mode == PadMode::Constant {
            let gather = Gather::pad(x.shape(0), [&self.before, &self.after], 0.0, x.dtype(0))?;
            return like(&gather.y(), x, 0);
        }
        let [n, h, w, c] = x.image(0, "x")?;
        let [[top, bottom], [left, right]] = self.sides(&x.at(), [h, w])?;
        like(&[n, top + h + bottom, left + w + right, c], x, 0)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        if self.mode != PadMode::Constant {
            let [_, h, w, _] = to.image(node.inputs[0])?;
            return lower_resample(node, to, self.taps(&node.name, [h, w])?);
        }
        let (x, dtype) = (to.shape(node.inputs[0]), to.dtype(node.inputs[0]));
        let fill = match dtype {
            DType::I8 => to.qparams(node.inputs[0])?.quantize(self.value) as f32,
            DType::F32 | DType::F16 | DType::I32 | DType::U32 => self.value,
        };
        let kernel = Gather::pad(x, [&self.before, &self.after], fill, dtype)?;
        to.step(node, kernel)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let size = tape.shape(node.inputs[0]);
        if self.mode != PadMode::Constant {
            let [rows, columns] = self.taps(&node.name, [size[1], size[2]])?;
            return tape.add(
                node,
                node.inputs[0],
                Resample { rows, columns }.transposed(),
                &[dy],
            );
        }
        let slice = Slice {
            start: self.before.clone(),
            step: vec![1; size.len()],
            size,
        };
        tape.add(node, node.inputs[0], slice, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Operand
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        let before = self.before[x.1];
        ties.tie_by(x, y, |i| Some(i + before));
    }

    fn thinned(&self, node: &Node, kept: &Kept<'_>) -> Result<Op> {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let last = self.before.len().saturating_sub(1);
        let mut thinned = self.clone();
        if let Some(left) = kept.of((y, last)) {
            let before = left.iter().filter(|&&i| i < self.before[last]).count();
            thinned.before[last] = before;
            thinned.after[last] = left.len() - before - kept.count((x, last));
        }
        Ok(thinned.into())
    }

    plain_rules!(updates);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_continues_a_row() {
        let places = |mode: PadMode, size: i64| -> Vec<i64> {
            (-5..size + 5).map(|at| mode.place(at, size)).collect()
        };
        let wrapped = [1, 2, 0, 1, 2, 0, 1, 2, 0, 1];
        assert_eq!(
            places(PadMode::Edge, 2),
            [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
        );
        assert_eq!(
            places(PadMode::Reflect, 3),
            [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
        );
        assert_eq!(places(PadMode::Reflect, 1), [0; 11]);
        assert_eq!(places(PadMode::Wrap, 3)[..10], wrapped);
    }
}
