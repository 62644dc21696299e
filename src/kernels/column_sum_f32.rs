//! `y[c] = Σ_r x[r, c]`
//!
//! f32: the gradient of a bias. `x` is `[rows, cols]`, `y` is `[cols]`.

use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// Column sums. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ColumnSumF32 {
    /// Rows of `x`.
    pub rows: usize,
    /// Columns of `x`.
    pub cols: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    cols: u32,
}

impl ColumnSumF32 {
    fn column(&self, x: &[f64], col: usize, f: impl Fn(f64) -> f64) -> f64 {
        (0..self.rows).map(|row| f(x[row * self.cols + col])).sum()
    }
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
        Ok(Launch {
            source: include_str!("../../shaders/column_sum_f32.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&Params {
                rows: self.rows as u32,
                cols: self.cols as u32,
            }),
            workgroups: grid_1d(self.cols, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = args[0].to_f64();
        let y: Vec<f64> = (0..self.cols)
            .map(|col| self.column(&x, col, |x| x))
            .collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let x = args[0].to_f64();
        let bound = |col| {
            let sum = self.column(&x, col, |x| x);
            gamma(self.rows) * self.column(&x, col, f64::abs) + ulp_f32(sum)
        };
        Ok(vec![
            Agreement::Equal,
            Agreement::Within((0..self.cols).map(bound).collect()),
        ])
    }

    fn operations(&self) -> f64 {
        (self.rows * self.cols) as f64
    }
}

/// One, primes, more rows than invocations.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let sizes = [(1, 1), (7, 5), (64, 10), (1009, 6), (130, 67)];
    sizes
        .into_iter()
        .map(|(rows, cols)| Box::new(ColumnSumF32 { rows, cols }) as Box<dyn Kernel>)
        .collect()
}
