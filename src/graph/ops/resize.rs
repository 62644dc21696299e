//! Images in another size.

use serde::{Deserialize, Serialize};

use super::super::channels::Ties;
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::Resample;
use super::operands::{Operands, REALS, like, one};
use super::resample::lower_resample;
use super::rules::{Operation, QuantRule, plain_rules};
use crate::error::{Error, Result};
use crate::kernels::resample::Taps;

/// `x [n, h, w, c] → y [n, to[0], to[1], c]`, as ONNX's `Resize` of opsets 18 and 19 defines it: every pixel of `y` lies
/// at some place of `x`, between its pixels; behind the edges these go on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Height and width of the result.
    pub to: [usize; 2],
    /// Length of the result by that of `x`, of heights and of widths. Where `to` is no rounded product of it and
    /// the length of `x`, the coordinates say which of the two counts.
    pub scale: [f32; 2],
    /// What is made of the pixels around the place.
    pub mode: ResizeMode,
    /// Where the place is.
    pub coordinates: Coordinates,
    /// Places behind the edges weigh nothing, and the others accordingly more.
    pub exclude_outside: bool,
    /// Where the result is smaller, every pixel takes part: weights reach over as many pixels as become one.
    pub antialias: bool,
}

/// What is made of the pixels around a place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// One of them.
    Nearest(NearestRounding),
    /// Two along each axis, by their distance.
    Linear,
    /// Four along each axis, by the cubic polynomials of this `a` (ONNX: −0.75; Keys: −0.5).
    Cubic {
        /// Slope at a distance of 1.
        a: f32,
    },
}

/// Which pixel is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NearestRounding {
    /// The nearest, of two as near the one before.
    RoundPreferFloor,
    /// The nearest, of two as near the one behind.
    RoundPreferCeil,
    /// The one before.
    Floor,
    /// The one behind.
    Ceil,
}

/// Where pixel `i` of the result lies in `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// `(i + ½) / scale − ½`.
    HalfPixel,
    /// The same, but 0 where the result is one pixel long.
    PytorchHalfPixel,
    /// `i · (length of x − 1) / (length of y − 1)`.
    AlignCorners,
    /// `i / scale`.
    Asymmetric,
    /// `(i + ½) / scale`.
    TfHalfPixelForNn,
    /// As `HalfPixel`, centred: what a rounded length leaves over is left out on both sides.
    HalfPixelSymmetric,
}

impl Resize {
    /// By `scale` along both axes, to the rounded product, in this mode with half-pixel coordinates.
    pub fn by(scale: f32, [h, w]: [usize; 2], mode: ResizeMode) -> Self {
        Self {
            to: [h, w].map(|size| (size as f32 * scale).max(1.0) as usize),
            scale: [scale; 2],
            mode,
            coordinates: Coordinates::HalfPixel,
            exclude_outside: false,
            antialias: false,
        }
    }

    fn check(&self, op: &str) -> Result<()> {
        let problem = match self.mode {
            ResizeMode::Nearest(_) if self.antialias => {
                "one pixel has nothing to smooth".to_owned()
            }
            ResizeMode::Cubic { a } if !a.is_finite() => format!("a = {a}"),
            ResizeMode::Nearest(_) | ResizeMode::Linear | ResizeMode::Cubic { .. } => {
                if self
                    .scale
                    .iter()
                    .all(|&scale| scale.is_normal() && scale > 0.0)
                    && !self.to.contains(&0)
                {
                    return Ok(());
                }
                format!(
                    "to {:?} by {:?}, expected positive numbers",
                    self.to, self.scale
                )
            }
        };
        Err(Error::invalid(op, problem))
    }

    /// The tables of an image of this size.
    fn taps(&self, [h, w]: [usize; 2]) -> Result<[Taps; 2]> {
        Ok([self.along(0, h)?, self.along(1, w)?])
    }
}

impl Operation for Resize {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", REALS)?;
        self.check(&x.at())?;
        let [n, _, _, c] = x.image(0, "x")?;
        let y = [n, self.to[0], self.to[1], c];
        match self.mode {
            ResizeMode::Nearest(_) => like(&y, x, 0),
            ResizeMode::Linear | ResizeMode::Cubic { .. } => one(&y, x.dtype(0)),
        }
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [_, h, w, _] = to.image(node.inputs[0])?;
        lower_resample(node, to, self.taps([h, w])?)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let x = tape.shape(node.inputs[0]);
        let [rows, columns] = self.taps([x[1], x[2]])?;
        let back = Resample { rows, columns }.transposed();
        tape.add(node, node.inputs[0], back, &[dy])
    }

    fn quantization(&self) -> QuantRule {
        match self.mode {
            ResizeMode::Nearest(_) => QuantRule::Operand,
            ResizeMode::Linear | ResizeMode::Cubic { .. } => QuantRule::Average,
        }
    }

    plain_rules!(fusion);

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, y) = (ties.last(node.inputs[0]), ties.last(node.outputs[0]));
        ties.tie(x, y);
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}
