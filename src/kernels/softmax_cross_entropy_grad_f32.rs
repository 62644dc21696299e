//! ```text
//! dlogits[r, k] = (exp(logits[r, k]) / Σ_j exp(logits[r, j]) − (k = labels[r] ? 1 : 0)) / rows
//! ```
//!
//! `logits`, `dlogits`: f32 `[rows, classes]`; `labels`: u32 `[rows]`, each less than `classes`. The row's maximum is
//! subtracted first. One division per row (2.5 ULP); the gradient of the loss itself is 1.

use super::softmax_cross_entropy_f32::{checked_labels, exponentials};
use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, store, uniform,
    within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Gradient of [`super::softmax_cross_entropy_f32::SoftmaxCrossEntropyF32`]. Bindings: `logits`, `labels`, `dlogits`.
#[derive(Clone, Debug)]
pub struct SoftmaxCrossEntropyGradF32 {
    /// Rows: examples of the batch.
    pub rows: usize,
    /// Columns: classes.
    pub classes: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    classes: u32,
    inv_rows: f32,
}

impl Kernel for SoftmaxCrossEntropyGradF32 {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("logits", DType::F32, [self.rows, self.classes]),
            Binding::read("labels", DType::U32, [self.rows]),
            Binding::write("dlogits", DType::F32, [self.rows, self.classes]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = Params {
            rows: self.rows as u32,
            classes: self.classes as u32,
            inv_rows: (1.0 / self.rows as f64) as f32,
        };
        Ok(Launch {
            source: include_str!("../../shaders/softmax_cross_entropy_grad_f32.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&params),
            workgroups: grid_1d(self.rows, 32, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dlogits = self.gradients(args)?;
        store(&mut args[2], &dlogits)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let dlogits = within_f32(&self.gradients(args)?);
        Ok(vec![Agreement::Equal, Agreement::Equal, dlogits])
    }

    fn operations(&self) -> f64 {
        6.0 * (self.rows * self.classes) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let logits = uniform(&[self.rows, self.classes], -4.0, 4.0, rng);
        let labels: Vec<u32> = (0..self.rows)
            .map(|_| rng.below(self.classes) as u32)
            .collect();
        let labels = Tensor::from_u32(&[self.rows], &labels).expect("one per row");
        vec![
            logits,
            labels,
            Tensor::zeros(&[self.rows, self.classes], DType::F32),
        ]
    }
}

impl SoftmaxCrossEntropyGradF32 {
    fn gradients(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let logits = Approx::elements(&args[0]);
        let labels = checked_labels(&args[1], self.classes)?;
        let inv_rows = Approx::rounded(1.0 / self.rows as f64);
        let mut out = Vec::with_capacity(logits.len());
        for (logits, label) in logits.chunks(self.classes).zip(labels) {
            let (_, powers, total) = exponentials(logits);
            let inv_total = Approx::exact(1.0) / total;
            for (k, power) in powers.into_iter().enumerate() {
                let hot = Approx::exact(f64::from(u8::from(k == label)));
                out.push((power * inv_total - hot) * inv_rows);
            }
        }
        Ok(out)
    }
}

/// One row, one class, primes, more rows than a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel =
        |(rows, classes)| Box::new(SoftmaxCrossEntropyGradF32 { rows, classes }) as Box<dyn Kernel>;
    [(1, 2), (7, 13), (64, 10), (131, 5), (2, 1000)]
        .into_iter()
        .map(kernel)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2, 2], &[1000.0, 1000.0, 0.0, 3f32.ln()]).expect("fits"),
            Tensor::from_u32(&[2], &[0, 1]).expect("fits"),
            Tensor::zeros(&[2, 2], DType::F32),
        ];
        let kernel = SoftmaxCrossEntropyGradF32 {
            rows: 2,
            classes: 2,
        };
        kernel.cpu(&mut args).expect("f32");
        let got = args[2].to_f32();
        for (got, want) in got.iter().zip([-0.25, 0.25, 0.125, -0.125]) {
            assert!((got - want).abs() < 1e-7, "{got} {want}");
        }
    }
}
