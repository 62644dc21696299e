//! ```text
//! loss = 1 / rows · Σ_r (log Σ_k exp(logits[r, k]) − logits[r, labels[r]])
//! ```
//!
//! `logits`: f32 `[rows, classes]`; `labels`: u32 `[rows]`, each less than `classes` (the caller sees to it: the reference
//! refuses others, a device cannot); `loss`: f32 `[1]`. PyTorch's `cross_entropy` with `reduction = "mean"`. The row's
//! maximum is subtracted first, so that nothing overflows. One workgroup adds up all rows, in the same
//! order on every run: fine up to a few thousand of them.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, store, uniform,
    within_f32,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Mean cross entropy of the softmax of each row. Bindings: `logits`, `labels`, `loss`.
#[derive(Clone, Debug)]
pub struct SoftmaxCrossEntropyF32 {
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

impl Kernel for SoftmaxCrossEntropyF32 {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("logits", DType::F32, [self.rows, self.classes]),
            Binding::read("labels", DType::U32, [self.rows]),
            Binding::write("loss", DType::F32, [1]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = Params {
            rows: self.rows as u32,
            classes: self.classes as u32,
            inv_rows: (1.0 / self.rows as f64) as f32,
        };
        Ok(Launch {
            source: include_str!("../../shaders/softmax_cross_entropy_f32.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&params),
            workgroups: grid_1d(1, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let loss = self.loss(args)?;
        store(&mut args[2], &[loss])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let loss = within_f32(&[self.loss(args)?]);
        Ok(vec![Agreement::Equal, Agreement::Equal, loss])
    }

    fn operations(&self) -> f64 {
        4.0 * (self.rows * self.classes) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let logits = uniform(&[self.rows, self.classes], -4.0, 4.0, rng);
        let labels: Vec<u32> = (0..self.rows)
            .map(|_| rng.below(self.classes) as u32)
            .collect();
        let labels = Tensor::from_u32(&[self.rows], &labels).expect("one per row");
        vec![logits, labels, Tensor::zeros(&[1], DType::F32)]
    }
}

/// The labels, checked.
///
/// # Errors
/// [`Error::Invalid`] naming the first label that is no class; [`Error::DType`] unless they are u32.
pub(super) fn checked_labels(labels: &Tensor, classes: usize) -> Result<Vec<usize>> {
    let labels = labels.as_u32()?.iter().map(|&label| label as usize);
    let check = |(row, label)| {
        if label < classes {
            return Ok(label);
        }
        let problem = format!("`labels[{row}]` is {label}, expected less than {classes} classes");
        Err(Error::invalid("softmax_cross_entropy", problem))
    };
    labels.enumerate().map(check).collect()
}

/// `logits − max`, their exponentials, and the sum of these.
pub(super) fn exponentials(logits: &[Approx]) -> (Vec<Approx>, Vec<Approx>, Approx) {
    let largest = logits.iter().map(|x| x.value);
    let largest = Approx::exact(largest.fold(f64::NEG_INFINITY, f64::max));
    let shifted: Vec<Approx> = logits.iter().map(|&x| x - largest).collect();
    let powers: Vec<Approx> = shifted.iter().map(|x| x.exp()).collect();
    let total = Approx::sum(powers.iter().copied());
    (shifted, powers, total)
}

impl SoftmaxCrossEntropyF32 {
    fn loss(&self, args: &[Tensor]) -> Result<Approx> {
        let logits = Approx::elements(&args[0]);
        let labels = checked_labels(&args[1], self.classes)?;
        let row = |(logits, label): (&[Approx], usize)| {
            let (shifted, _, total) = exponentials(logits);
            total.ln() - shifted[label]
        };
        let losses = logits.chunks(self.classes).zip(labels).map(row);
        Ok(Approx::sum(losses) * Approx::rounded(1.0 / self.rows as f64))
    }
}

/// One row, one class, primes, more rows than a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel =
        |(rows, classes)| Box::new(SoftmaxCrossEntropyF32 { rows, classes }) as Box<dyn Kernel>;
    [(1, 2), (3, 1), (7, 13), (64, 10), (131, 5), (2, 1000)]
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
            Tensor::zeros(&[1], DType::F32),
        ];
        let kernel = SoftmaxCrossEntropyF32 {
            rows: 2,
            classes: 2,
        };
        kernel.cpu(&mut args).expect("f32");
        let want = (2f32.ln() + (4.0 / 3.0f32).ln()) / 2.0;
        assert!((args[2].to_f32()[0] - want).abs() < 1e-6, "{args:?}");
    }

    #[test]
    fn a_label_too_large_is_an_error() {
        let kernel = SoftmaxCrossEntropyF32 {
            rows: 2,
            classes: 3,
        };
        let mut args = [
            Tensor::zeros(&[2, 3], DType::F32),
            Tensor::from_u32(&[2], &[2, 3]).expect("fits"),
            Tensor::zeros(&[1], DType::F32),
        ];
        let error = kernel.cpu(&mut args).expect_err("3 of 0..3").to_string();
        assert_eq!(
            error,
            "softmax_cross_entropy: `labels[1]` is 3, expected less than 3 classes"
        );
    }
}
