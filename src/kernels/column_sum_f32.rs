//! `y[c] = Σ_r x[r, c]`: the gradient of a bias
//!
//! f32; the order of the sum is fixed by the sizes, so that results are reproducible.

use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Sums of columns. Bindings: `x[rows, cols]`, `y[cols]`.
#[derive(Clone, Debug)]
pub struct ColumnSumF32 {
    /// Rows of `x`.
    pub rows: usize,
    /// Columns of `x`, elements of `y`.
    pub cols: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    cols: u32,
}

impl Kernel for ColumnSumF32 {
    fn name(&self) -> &'static str {
        "column_sum_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.rows, self.cols]),
            Binding::write("y", DType::F32, [self.cols]),
        ]
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
            source: include_str!("../../shaders/column_sum_f32.wgsl").into(),
            spec: Spec::new().with("COLUMNS", columns as u32),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                cols: self.cols as u32,
            }),
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
        Ok(vec![Agreement::Equal, Agreement::Within(bound.collect())])
    }

    fn operations(&self) -> f64 {
        (self.rows * self.cols) as f64
    }
}

impl ColumnSumF32 {
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
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1), (7, 13), (1009, 6), (257, 37), (11, 131)]
        .into_iter()
        .map(|(rows, cols)| Box::new(ColumnSumF32 { rows, cols }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 10.0, -2.0, 0.5]).expect("fits"),
            Tensor::zeros(&[3], DType::F32),
        ];
        let kernel = ColumnSumF32 { rows: 2, cols: 3 };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[1].as_f32().expect("f32"), [11.0, 0.0, 3.5]);
    }
}
