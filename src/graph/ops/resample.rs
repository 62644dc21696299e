//! Images whose pixels are weighted sums of those of others.

use serde::{Deserialize, Serialize};

use super::super::lower::Lowering;
use super::super::lower_i8::pool_out;
use super::super::tape::Tape;
use super::super::values::{Node, Type, ValueId};
use super::operands::{FLOATS, Operands, one};
use super::rules::{Operation, plain_rules};
use crate::base::DType;
use crate::error::Result;
use crate::kernels::resample::{self, ResampleI8, Taps};

/// `x [n, h, w, c] → y [n, oh, ow, c]`: every row and column the sum that a table states. The gradient of
/// [`Resize`](super::Resize) and of [`Pad`](super::Pad), and its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resample {
    /// The rows of `y`.
    pub rows: Taps,
    /// Its columns.
    pub columns: Taps,
}

impl Resample {
    /// Its gradient.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let (rows, columns) = (self.rows.transposed(), self.columns.transposed());
        Self { rows, columns }
    }
}

/// Appends the kernel for these rows and columns. Integers that stand for the same are only moved where each is one of
/// the others.
pub(super) fn lower_resample(
    node: &Node,
    to: &mut Lowering<'_>,
    [rows, columns]: [Taps; 2],
) -> Result<()> {
    let (x, dtype) = (to.image(node.inputs[0])?, to.dtype(node.inputs[0]));
    let (from, y) = (to.value(node.inputs[0])?, to.value(node.outputs[0])?);
    let same = dtype != DType::I8 || to.qparams(node.inputs[0])? == to.qparams(node.outputs[0])?;
    let moves = same && rows.selects() && columns.selects();
    if dtype == DType::I8 && !moves {
        let (x_zero_point, scale, out) = pool_out(to, node)?;
        let kernel = ResampleI8 {
            x,
            rows,
            columns,
            x_zero_point,
            scale,
            out,
        };
        let table = to.constant(node, "table", kernel.table());
        return to.launch(node, kernel, vec![from, table, y]);
    }
    let kernel = resample::Resample {
        x,
        rows,
        columns,
        dtype,
    };
    let table = to.constant(node, "table", kernel.table());
    to.launch(node, kernel, vec![from, table, y])
}

impl Operation for Resample {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(1)?;
        x.expect_dtype(0, "x", FLOATS)?;
        let [n, h, w, c] = x.image(0, "x")?;
        if [self.rows.size(), self.columns.size()] != [h, w] {
            let (rows, columns) = (self.rows.size(), self.columns.size());
            return Err(x.wrong_shape(0, "x", &format!("[n, {rows}, {columns}, c]")));
        }
        one(&[n, self.rows.len(), self.columns.len(), c], x.dtype(0))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        lower_resample(node, to, [self.rows.clone(), self.columns.clone()])
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        tape.add(node, node.inputs[0], self.transposed(), &[dy])
    }

    plain_rules!();
}
