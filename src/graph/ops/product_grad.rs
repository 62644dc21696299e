//! Gradients of layers with weights.

use serde::{Deserialize, Serialize};

use super::super::lower::Lowering;
use super::super::values::{Node, Type};
use super::operands::{F32, Operands, one, rows_of};
use super::rules::{Operation, plain_rules};
use crate::base::{DType, Shape};
use crate::error::{Error, Result};
use crate::kernels::{
    Conv,
    product::{self, By, MatmulGrad, parts_for},
    reduce::ColumnSum,
};

/// `dy [m, n], w [n, k] → dx [m, k]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearGradInput;

/// `dy [m, n], x [m, k] → dw [n, k]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearGradWeight;

/// `dy [.., c] → column sums [c]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BiasGrad;

/// `dy, w → dx`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2dGradInput {
    /// Geometry of the forward convolution.
    pub conv: Conv,
    /// Shape of `x`.
    pub x: Shape,
}

/// `dy, x → dw`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2dGradWeight {
    /// Geometry of the forward convolution.
    pub conv: Conv,
    /// Shape of `w`.
    pub w: Shape,
}

impl Operation for LinearGradInput {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let ([m, n], [wn, k]) = (x.matrix(0, "dy")?, x.matrix(1, "w")?);
        x.expect_dtype(0, "dy", F32)?;
        x.expect_dtype(1, "w", F32)?;
        if wn != n {
            return Err(x.wrong_shape(1, "w", &format!("[{n}, k] (n of dy)")));
        }
        one(&[m, k], DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [m, n] = to.matrix(node.inputs[0])?;
        let k = to.shape(node.inputs[1])[1];
        let by = By::Input;
        to.step(node, MatmulGrad { m, n, k, by })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for LinearGradWeight {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let ([m, n], [xm, k]) = (x.matrix(0, "dy")?, x.matrix(1, "x")?);
        x.expect_dtype(0, "dy", F32)?;
        x.expect_dtype(1, "x", F32)?;
        if xm != m {
            return Err(x.wrong_shape(1, "x", &format!("[{m}, k] (m of dy)")));
        }
        one(&[n, k], DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [m, n] = to.matrix(node.inputs[0])?;
        let k = to.shape(node.inputs[1])[1];
        let by = By::Weight;
        to.step(node, MatmulGrad { m, n, k, by })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for BiasGrad {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "dy", F32)?;
        let axes = x.shape(0).len();
        one(&x.shape(0)[axes.saturating_sub(1)..], DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (rows, cols) = rows_of(to.shape(node.inputs[0]));
        to.step(node, ColumnSum { rows, cols })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for Conv2dGradInput {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let image = <[usize; 4]>::try_from(self.x.as_slice())
            .map_err(|_| Error::shape(x.at(), "x", "[n, h, w, c]", &self.x))?;
        let y = self.conv.output_shape(image, x.image(1, "w")?)?;
        x.expect_dtype(0, "dy", F32)?;
        x.expect_shape(0, "dy", &y)?;
        one(&self.x, DType::F32)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, w) = (to.image(node.outputs[0])?, to.image(node.inputs[1])?);
        let conv = self.conv;
        to.step(node, product::Conv2dGradInput { x, w, conv })
    }

    plain_rules!(no_gradient);
    plain_rules!();
}

impl Operation for Conv2dGradWeight {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(2)?;
        let w = <[usize; 4]>::try_from(self.w.as_slice())
            .map_err(|_| Error::shape(x.at(), "w", "[o, kh, kw, c]", &self.w))?;
        let y = self.conv.output_shape(x.image(1, "x")?, w)?;
        x.expect_dtype(0, "dy", F32)?;
        x.expect_shape(0, "dy", &y)?;
        one(&self.w, DType::F32)
    }

    /// The parts of the sum, if there are several, and then their sum.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, w) = (to.image(node.inputs[1])?, to.image(node.outputs[0])?);
        let parts = parts_for(x, w, to.caps);
        let conv = self.conv;
        let kernel = product::Conv2dGradWeight { x, w, conv, parts };
        if parts == 1 {
            return to.step(node, kernel);
        }
        let [o, kernel_h, kernel_w, channels] = w;
        let shape = [parts, o, kernel_h, kernel_w, channels];
        let partial = to.temp(format!("{}:parts", node.name), &shape);
        let (dy, x) = (to.value(node.inputs[0])?, to.value(node.inputs[1])?);
        to.launch(node, kernel, vec![dy, x, partial])?;
        let sum = ColumnSum {
            rows: parts,
            cols: o * kernel_h * kernel_w * channels,
        };
        let out = to.value(node.outputs[0])?;
        to.launch(node, sum, vec![partial, out])
    }

    plain_rules!(no_gradient);
    plain_rules!();
}
