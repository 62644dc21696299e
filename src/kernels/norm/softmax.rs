//! Softmax of rows, its logarithm, and its gradient.
//!
//! ```text
//! y[r, c]  = exp(x[r, c] − m[r]) / Σ_k exp(x[r, k] − m[r])             m[r] = max_k x[r, k]
//! q[r, c]  = min(round_ties_even(256 · exp(scale · (q_x[r, c] − m[r])) / Σ_k …), 255) − 128        int8
//! y[r, c]  = x[r, c] − m[r] − log Σ_k exp(x[r, k] − m[r])               the logarithm
//! dx[r, c] = y[r, c] · (dy[r, c] − Σ_k y[r, k] · dy[r, k])
//! ```
//!
//! All `[rows, cols]`. The maximum is subtracted first, so that nothing overflows; in int8 it takes the zero point of
//! `x` with it. The int8 result has scale 1 / 256 and zero point −128, whatever the input is; it is computed in f32,
//! hence one step away where the exact value lies next to a tie.

use super::super::frame::{boxed, equal_but, no_program, params, reads, store_all};
use super::super::frame::{within_all, writes};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d};
use crate::base::{DType, QParams, Range, Tensor, row_words};
use crate::error::{Error, Result};

/// Softmax of each row. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Rows: everything but the last axis.
    pub rows: usize,
    /// The last axis.
    pub cols: usize,
    /// F32 or F16; [`SoftmaxI8`] has int8.
    pub dtype: DType,
}

/// The logarithm of [`Softmax`], without the detour. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct LogSoftmax {
    /// Rows: everything but the last axis.
    pub rows: usize,
    /// The last axis.
    pub cols: usize,
    /// F32 or F16.
    pub dtype: DType,
}

/// [`Softmax`] of int8. Bindings: `x`, `y`, which has the parameters [`SoftmaxI8::OUT`].
#[derive(Clone, Debug)]
pub struct SoftmaxI8 {
    /// Rows: everything but the last axis.
    pub rows: usize,
    /// The last axis.
    pub cols: usize,
    /// Real size of one step of `x`.
    pub scale: f32,
}

impl SoftmaxI8 {
    /// Parameters of the result.
    pub const OUT: QParams = QParams {
        scale: 1.0 / 256.0,
        zero_point: -128,
        range: Range::affine(8),
    };
}

const SOURCE: &str = include_str!("../../../shaders/norm/softmax.wgsl");
const WORKGROUP: usize = 64;

/// Invocations that share a row.
fn team(cols: usize) -> usize {
    if cols < 64 { 1 } else { WORKGROUP }
}

fn launch(
    op: &'static str,
    [rows, cols]: [usize; 2],
    (dtype, scale, log): (DType, f32, bool),
    caps: &Caps,
) -> Result<Launch> {
    let words = row_words(&[rows, cols], dtype);
    let spec = Spec::new().with("LANES", team(cols) as u32);
    let spec = if log { spec.with("LOG", true) } else { spec };
    Ok(Launch {
        source: SOURCE.into(),
        spec: match dtype {
            DType::F16 => spec.part("element", "common/element_f16.wgsl"),
            DType::I8 => spec.part("element", "common/element_i8.wgsl"),
            DType::F32 | DType::I32 | DType::U32 => spec,
        },
        params: params(op, [rows.into(), cols.into(), words.into(), scale.into()])?,
        workgroups: grid_1d(rows, WORKGROUP / team(cols), caps),
    })
}

/// `scale · (x − m)` of a row, `m` its maximum, their exponentials, and the sum of these.
pub(in crate::kernels) fn exponentials(
    x: &[Approx],
    scale: Option<Approx>,
) -> (Vec<Approx>, Vec<Approx>, Approx) {
    let largest = x.iter().map(|x| x.value).fold(f64::NEG_INFINITY, f64::max);
    let shift = |&x: &Approx| {
        let below = x - Approx::exact(largest);
        scale.map_or(below, |scale| below * scale)
    };
    let shifted: Vec<Approx> = x.iter().map(shift).collect();
    let powers: Vec<Approx> = shifted.iter().map(|x| x.exp()).collect();
    let total = Approx::sum(powers.iter().copied());
    (shifted, powers, total)
}

/// The shares of all rows.
pub(in crate::kernels) fn shares(x: &[Approx], cols: usize, scale: Option<Approx>) -> Vec<Approx> {
    let row = |x: &[Approx]| {
        let (_, powers, total) = exponentials(x, scale);
        let inv_total = Approx::exact(1.0) / total;
        powers.into_iter().map(move |power| power * inv_total)
    };
    x.chunks(cols).flat_map(row).collect()
}

fn bindings(shape: [usize; 2], dtype: DType) -> Vec<Binding> {
    vec![
        Binding::read("x", dtype, shape),
        Binding::write("y", dtype, shape),
    ]
}

impl Kernel for Softmax {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "softmax_f16",
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => "softmax_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings([self.rows, self.cols], self.dtype)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if !matches!(self.dtype, DType::F32 | DType::F16) {
            return Err(no_program("softmax", self.dtype, "f32 or f16"));
        }
        let elements = (self.dtype, 1.0, false);
        launch(self.name(), [self.rows, self.cols], elements, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = shares(&Approx::elements(&args[0]), self.cols, None);
        store_all(args, vec![(1, y)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // The device multiplies by a scale of 1.
        let scale = Some(Approx::exact(1.0));
        let y = shares(&Approx::elements(&args[0]), self.cols, scale);
        within_all(args, &vec![(1, y)])
    }

    fn operations(&self) -> f64 {
        6.0 * (self.rows * self.cols) as f64
    }
}

impl Kernel for LogSoftmax {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "log_softmax_f16",
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => "log_softmax_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings([self.rows, self.cols], self.dtype)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if !matches!(self.dtype, DType::F32 | DType::F16) {
            return Err(no_program("log_softmax", self.dtype, "f32 or f16"));
        }
        let elements = (self.dtype, 1.0, true);
        launch(self.name(), [self.rows, self.cols], elements, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.logarithms(args, None);
        store_all(args, vec![(1, y)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // The device multiplies by a scale of 1.
        let y = self.logarithms(args, Some(Approx::exact(1.0)));
        within_all(args, &vec![(1, y)])
    }

    fn operations(&self) -> f64 {
        5.0 * (self.rows * self.cols) as f64
    }
}

impl LogSoftmax {
    fn logarithms(&self, args: &[Tensor], scale: Option<Approx>) -> Vec<Approx> {
        let x = Approx::elements(&args[0]);
        let row = |x: &[Approx]| {
            let (shifted, _, total) = exponentials(x, scale);
            let total = total.ln();
            shifted.into_iter().map(move |x| x - total)
        };
        x.chunks(self.cols).flat_map(row).collect()
    }
}

impl Kernel for SoftmaxI8 {
    fn name(&self) -> &'static str {
        "softmax_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings([self.rows, self.cols], DType::I8)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.check()?;
        let elements = (DType::I8, self.scale, false);
        launch(self.name(), [self.rows, self.cols], elements, caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.check()?;
        let y: Vec<i8> = self.shares(args).iter().map(|p| step(p.value)).collect();
        args[1].store_i8(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let shares = self.shares(args);
        // The product with 256 is exact.
        let near = |p: &Approx| step(p.value - p.error) != step(p.value + p.error);
        let near_tie: Vec<bool> = shares.iter().map(near).collect();
        let step = vec![1.0; near_tie.len()];
        equal_but(2, [(1, Agreement::NearTie { near_tie, step })])
    }

    fn operations(&self) -> f64 {
        6.0 * (self.rows * self.cols) as f64
    }
}

/// The integer of a share.
fn step(share: f64) -> i8 {
    ((256.0 * share).round_ties_even().clamp(0.0, 255.0) - 128.0) as i8
}

impl SoftmaxI8 {
    fn check(&self) -> Result<()> {
        if self.scale.is_finite() && self.scale > 0.0 {
            return Ok(());
        }
        let problem = format!("scale {}, expected a positive number", self.scale);
        Err(Error::invalid(self.name(), problem))
    }

    fn shares(&self, args: &[Tensor]) -> Vec<Approx> {
        let scale = Some(Approx::exact(self.scale));
        shares(&Approx::elements(&args[0]), self.cols, scale)
    }
}

/// Gradient of [`Softmax`] in f32. Bindings: `y`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct SoftmaxGrad {
    /// Rows: everything but the last axis.
    pub rows: usize,
    /// The last axis.
    pub cols: usize,
}

impl Kernel for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let shape = [self.rows, self.cols];
        [reads(&shape, ["y", "dy"]), writes(&shape, ["dx"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let team = team(self.cols);
        Ok(Launch {
            source: include_str!("../../../shaders/norm/softmax_grad.wgsl").into(),
            spec: Spec::new().with("LANES", team as u32),
            params: params(self.name(), [self.rows.into(), self.cols.into()])?,
            workgroups: grid_1d(self.rows, WORKGROUP / team, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args);
        store_all(args, vec![(2, dx)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(2, self.gradients(args))])
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.cols) as f64
    }
}

impl SoftmaxGrad {
    fn gradients(&self, args: &[Tensor]) -> Vec<Approx> {
        let [y, dy] = [0, 1].map(|i| Approx::elements(&args[i]));
        let row = |(y, dy): (&[Approx], &[Approx])| -> Vec<Approx> {
            let pairs = || y.iter().zip(dy);
            let sum = Approx::sum(pairs().map(|(&y, &dy)| y * dy));
            pairs().map(|(&y, &dy)| y * (dy - sum)).collect()
        };
        y.chunks(self.cols)
            .zip(dy.chunks(self.cols))
            .flat_map(row)
            .collect()
    }
}

/// One row, one column, odd ones, more rows than a workgroup, teams.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [[1, 1], [3, 7], [67, 10], [3, 1001]];
    let float = |dtype| cases.map(|[rows, cols]| Softmax { rows, cols, dtype });
    let log = |dtype| cases.map(|[rows, cols]| LogSoftmax { rows, cols, dtype });
    let scale = 0.05;
    let int8 = cases.map(|[rows, cols]| SoftmaxI8 { rows, cols, scale });
    let mut samples = boxed([DType::F32, DType::F16].into_iter().flat_map(float));
    samples.extend(boxed([DType::F32, DType::F16].into_iter().flat_map(log)));
    samples.extend(boxed(int8));
    samples.extend(boxed(cases.map(|[rows, cols]| SoftmaxGrad { rows, cols })));
    samples
}
