//! How far results are from what is wanted: one number, and its gradient.
//!
//! ```text
//! cross entropy   loss = 1 / rows · Σ_r (log Σ_k exp(x[r, k]) − x[r, wanted[r]])
//!                 dx   = (softmax(x)[r, k] − (k = wanted[r])) / rows
//! mean square     loss = 1 / (rows · cols) · Σ (x − wanted)²
//!                 dx   = 2 / (rows · cols) · (x − wanted)
//! distillation    loss = T² / rows · Σ_r KL(softmax(wanted / T)[r] ‖ softmax(x / T)[r])
//!                 dx   = T / rows · (softmax(x / T) − softmax(wanted / T))
//! ```
//!
//! `x`, `dx`: f32 `[rows, cols]`; `wanted`: the same, or u32 `[rows]`, classes less than `cols` (the caller sees to it:
//! the reference refuses others, a device cannot); `loss`: f32 `[1]`. PyTorch's `cross_entropy`, `mse_loss` and `T² ·
//! kl_div(…, reduction = "batchmean")`. A row's maximum is subtracted first, so that nothing overflows. One workgroup
//! adds up the loss, in the same order on every run. The gradient of the loss itself is 1.

use serde::{Deserialize, Serialize};

use super::frame::{boxed, params, reads, store_all, within_all, writes};
use super::norm::{exponentials, shares};
use super::{Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, uniform};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Of the softmax of a row, against its class.
    CrossEntropy,
    /// Mean of the squared differences.
    MeanSquare,
    /// Kullback-Leibler divergence of the softmax of a row from that of a teacher's.
    Distill {
        /// What logits are divided by; positive.
        temperature: f32,
    },
}

/// The loss. Bindings: `x`, `wanted`, `loss`.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Which loss.
    pub criterion: Criterion,
    /// Rows: examples of the batch.
    pub rows: usize,
    /// Columns: classes.
    pub cols: usize,
}

/// Its gradient. Bindings: `x`, `wanted`, `dx`.
#[derive(Clone, Debug)]
pub struct LossGrad {
    /// Which loss.
    pub criterion: Criterion,
    /// Rows: examples of the batch.
    pub rows: usize,
    /// Columns: classes.
    pub cols: usize,
}

impl Criterion {
    fn inputs(self, rows: usize, cols: usize) -> Vec<Binding> {
        let shape = [rows, cols];
        match self {
            Self::CrossEntropy => {
                let wanted = Binding::read("wanted", DType::U32, [rows]);
                [reads(&shape, ["x"]), vec![wanted]].concat()
            }
            Self::MeanSquare | Self::Distill { .. } => reads(&shape, ["x", "wanted"]),
        }
    }

    /// What divides logits.
    fn temperature(self) -> f64 {
        match self {
            Self::CrossEntropy | Self::MeanSquare => 1.0,
            Self::Distill { temperature } => f64::from(temperature),
        }
    }

    /// What logits are multiplied by, where they are.
    fn inv_temperature(self) -> Approx {
        match self {
            Self::CrossEntropy | Self::MeanSquare => Approx::exact(1.0),
            Self::Distill { .. } => Approx::rounded(1.0 / self.temperature()),
        }
    }

    /// What the sum of the terms, and each gradient, is multiplied by.
    fn factors(self, rows: usize, cols: usize) -> [f64; 2] {
        let (rows, t) = (rows as f64, self.temperature());
        match self {
            Self::CrossEntropy => [1.0 / rows; 2],
            Self::MeanSquare => [1.0, 2.0].map(|k| k / (rows * cols as f64)),
            Self::Distill { .. } => [t * t / rows, t / rows],
        }
    }

    fn launch(
        self,
        (op, source): (&str, &'static str),
        [rows, cols]: [usize; 2],
        (factor, grid): (f64, Option<&Caps>),
    ) -> Result<Launch> {
        self.check(op)?;
        let terms = match self {
            Self::CrossEntropy | Self::Distill { .. } => rows,
            Self::MeanSquare => rows * cols,
        };
        let (factor, inv) = (factor as f32, self.inv_temperature().value as f32);
        Ok(Launch {
            source: source.into(),
            spec: Spec::new(),
            params: params(op, [terms.into(), cols.into(), factor.into(), inv.into()])?,
            workgroups: grid.map_or([1; 3], |caps| grid_1d(terms, 32, caps)),
        })
    }

    fn check(self, op: &str) -> Result<()> {
        let t = self.temperature();
        if t.is_finite() && t > 0.0 {
            return Ok(());
        }
        Err(Error::invalid(
            op,
            format!("temperature {t}, expected a positive number"),
        ))
    }

    fn example_args(self, rows: usize, cols: usize, out: &[usize], rng: &mut Rng) -> Vec<Tensor> {
        let mut logits = || uniform(&[rows, cols], -4.0, 4.0, rng);
        let (x, mut wanted) = (logits(), logits());
        if self == Self::CrossEntropy {
            wanted = Tensor::zeros(&[rows], DType::U32);
            for class in wanted.words_mut() {
                *class = rng.below(cols) as u32;
            }
        }
        vec![x, wanted, Tensor::zeros(out, DType::F32)]
    }
}

/// The classes, checked.
///
/// # Errors
/// [`Error::Invalid`] naming the first that is none; [`Error::DType`] unless they are u32.
fn classes(wanted: &Tensor, cols: usize) -> Result<Vec<usize>> {
    let classes = wanted.as_u32()?.iter().map(|&class| class as usize);
    let check = |(row, class)| {
        if class < cols {
            return Ok(class);
        }
        let problem = format!("`wanted[{row}]` is {class}, expected less than {cols} classes");
        Err(Error::invalid("cross_entropy", problem))
    };
    classes.enumerate().map(check).collect()
}

impl Kernel for Loss {
    fn name(&self) -> &'static str {
        match self.criterion {
            Criterion::CrossEntropy => "cross_entropy_f32",
            Criterion::MeanSquare => "mse_f32",
            Criterion::Distill { .. } => "distill_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let inputs = self.criterion.inputs(self.rows, self.cols);
        [inputs, writes(&[1], ["loss"])].concat()
    }

    fn launch(&self, _caps: &Caps) -> Result<Launch> {
        let source = match self.criterion {
            Criterion::CrossEntropy => include_str!("../../../shaders/loss/cross_entropy.wgsl"),
            Criterion::MeanSquare => include_str!("../../../shaders/loss/mse.wgsl"),
            Criterion::Distill { .. } => include_str!("../../../shaders/loss/distill.wgsl"),
        };
        let [factor, _] = self.criterion.factors(self.rows, self.cols);
        let shape = [self.rows, self.cols];
        self.criterion
            .launch((self.name(), source), shape, (factor, None))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let loss = self.loss(args)?;
        store_all(args, vec![(2, vec![loss])])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(2, vec![self.loss(args)?])])
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.cols) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.criterion.example_args(self.rows, self.cols, &[1], rng)
    }
}

impl Loss {
    fn loss(&self, args: &[Tensor]) -> Result<Approx> {
        self.criterion.check(self.name())?;
        let (x, cols) = (Approx::elements(&args[0]), self.cols);
        let scale = Some(self.criterion.inv_temperature());
        let terms: Vec<Approx> = match self.criterion {
            Criterion::CrossEntropy => {
                let row = |(x, class): (&[Approx], usize)| {
                    let (shifted, _, total) = exponentials(x, scale);
                    total.ln() - shifted[class]
                };
                x.chunks(cols)
                    .zip(classes(&args[1], cols)?)
                    .map(row)
                    .collect()
            }
            Criterion::MeanSquare => {
                let square = |(x, wanted): (&Approx, Approx)| (*x - wanted) * (*x - wanted);
                x.iter()
                    .zip(Approx::elements(&args[1]))
                    .map(square)
                    .collect()
            }
            Criterion::Distill { .. } => {
                let wanted = Approx::elements(&args[1]);
                let row = |(x, wanted): (&[Approx], &[Approx])| {
                    let (a, powers, p_total) = exponentials(wanted, scale);
                    let (b, _, q_total) = exponentials(x, scale);
                    let products = (0..cols).map(|k| powers[k] * (a[k] - b[k]));
                    Approx::sum(products) / p_total + q_total.ln() - p_total.ln()
                };
                x.chunks(cols).zip(wanted.chunks(cols)).map(row).collect()
            }
        };
        let [factor, _] = self.criterion.factors(self.rows, cols);
        Ok(Approx::sum(terms) * Approx::rounded(factor))
    }
}

impl Kernel for LossGrad {
    fn name(&self) -> &'static str {
        match self.criterion {
            Criterion::CrossEntropy => "cross_entropy_grad_f32",
            Criterion::MeanSquare => "mse_grad_f32",
            Criterion::Distill { .. } => "distill_grad_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let inputs = self.criterion.inputs(self.rows, self.cols);
        [inputs, writes(&[self.rows, self.cols], ["dx"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let source = match self.criterion {
            Criterion::CrossEntropy => {
                include_str!("../../../shaders/loss/cross_entropy_grad.wgsl")
            }
            Criterion::MeanSquare => include_str!("../../../shaders/loss/mse_grad.wgsl"),
            Criterion::Distill { .. } => include_str!("../../../shaders/loss/distill_grad.wgsl"),
        };
        let [_, factor] = self.criterion.factors(self.rows, self.cols);
        let shape = [self.rows, self.cols];
        self.criterion
            .launch((self.name(), source), shape, (factor, Some(caps)))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args)?;
        store_all(args, vec![(2, dx)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(2, self.gradients(args)?)])
    }

    fn operations(&self) -> f64 {
        6.0 * (self.rows * self.cols) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let shape = [self.rows, self.cols];
        self.criterion
            .example_args(self.rows, self.cols, &shape, rng)
    }
}

impl LossGrad {
    fn gradients(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        self.criterion.check(self.name())?;
        let (x, cols) = (Approx::elements(&args[0]), self.cols);
        let [_, factor] = self.criterion.factors(self.rows, cols);
        let scale = Some(self.criterion.inv_temperature());
        let (x, wanted) = match self.criterion {
            Criterion::CrossEntropy => {
                let mut hot = vec![Approx::default(); x.len()];
                for (row, class) in classes(&args[1], cols)?.into_iter().enumerate() {
                    hot[row * cols + class] = Approx::exact(1.0);
                }
                (shares(&x, cols, scale), hot)
            }
            Criterion::MeanSquare => (x, Approx::elements(&args[1])),
            Criterion::Distill { .. } => {
                let wanted = Approx::elements(&args[1]);
                (shares(&x, cols, scale), shares(&wanted, cols, scale))
            }
        };
        let gradient = |(x, wanted)| (x - wanted) * Approx::rounded(factor);
        Ok(x.into_iter().zip(wanted).map(gradient).collect())
    }
}

/// One row, one class, primes, more rows than a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let temperature = 4.0;
    let mut samples = Vec::new();
    for criterion in [
        Criterion::CrossEntropy,
        Criterion::MeanSquare,
        Criterion::Distill { temperature },
    ] {
        let cases = [(1, 2), (7, 13), (64, 10), (131, 5), (2, 1000)];
        samples.extend(boxed(cases.map(|(rows, cols)| Loss {
            criterion,
            rows,
            cols,
        })));
        samples.extend(boxed(cases.map(|(rows, cols)| LossGrad {
            criterion,
            rows,
            cols,
        })));
    }
    samples
}
