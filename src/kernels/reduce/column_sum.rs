//! `y[c] = Σ_r x[r, c]`: the gradient of a bias
//!
//! f32; the order of the sum is fixed by the sizes, so that results are reproducible.

use super::super::frame::{boxed, equal_but, params, reads, writes};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, ulp_f32};
use crate::base::Tensor;
use crate::error::Result;

/// Sums of columns. Bindings: `x[rows, cols]`, `y[cols]`.
#[derive(Clone, Debug)]
pub struct ColumnSum {
    /// Rows of `x`.
    pub rows: usize,
    /// Columns of `x`, elements of `y`.
    pub cols: usize,
}

impl Kernel for ColumnSum {
    fn name(&self) -> &'static str {
        "column_sum_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        [
            reads(&[self.rows, self.cols], ["x"]),
            writes(&[self.cols], ["y"]),
        ]
        .concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        // Neighbours read neighbouring columns where there are enough of them; a few get a workgroup each.
        // Where there are few rows, an invocation adds all of its column.
        let columns = match (self.rows, self.cols) {
            (_, ..32) => 1,
            (..=64, 64..) => 64,
            _ => 8,
        };
        Ok(Launch {
            source: include_str!("../../../shaders/reduce/column_sum.wgsl").into(),
            spec: Spec::new().with("COLUMNS", columns as u32),
            params: params(self.name(), [self.rows.into(), self.cols.into()])?,
            workgroups: grid_1d(self.cols, columns, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.sums(&args[0].to_f64());
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let x = args[0].to_f64();
        let size = self.sums(&x.iter().map(|x| x.abs()).collect::<Vec<_>>());
        // Every element takes part in fewer than `rows` additions; the sum is then rounded once more by
        // being compared as f32.
        let bound = self.sums(&x).into_iter().zip(size).map(|(y, size)| {
            let error = gamma(self.rows) * size;
            error + ulp_f32(y.abs() + error)
        });
        equal_but(2, [(1, Agreement::Within(bound.collect()))])
    }

    fn operations(&self) -> f64 {
        (self.rows * self.cols) as f64
    }
}

impl ColumnSum {
    fn sums(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.cols];
        for row in x.chunks(self.cols) {
            for (y, x) in y.iter_mut().zip(row) {
                *y += x;
            }
        }
        y
    }
}

/// Shapes that hurt: one, a prime, few columns with many rows, tails of both tiles.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [(1, 1), (7, 13), (1009, 6), (257, 37), (11, 131)];
    boxed(cases.map(|(rows, cols)| ColumnSum { rows, cols }))
}
