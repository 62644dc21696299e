//! `dx[i] = dy[i]` if `qmin ≤ round_ties_even(x[i] · inv_scale[ch]) + zero_point[ch] ≤ qmax`, else 0
//!
//! The straight-through gradient of [`super::fake_quant_f32`]: the mask is taken before clamping, so
//! it passes inputs up to half a step beyond the ends (PyTorch's rule). `x`, `dy`, `dx`: f32, any
//! shape; `ch` is the index of `i` along `axis`, or 0. A selection: nothing is rounded.

use super::channels::Channels;
use super::fake_quant_f32::{cases, elementwise};
use super::rounding::{candidates, example_params, unclamped};
use super::{Agreement, Binding, Caps, Kernel, Launch, random_tensor};
use crate::base::{DType, Range, Rng, Shape, Tensor, num_elements};
use crate::error::Result;

/// Straight-through gradient. Bindings: `x`, `inv_scale[c]`, `zero_point[c]`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct FakeQuantGradF32 {
    /// Shape of `x`, `dy` and `dx`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None`: one for all (c = 1).
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
}

impl FakeQuantGradF32 {
    fn channels(&self) -> Channels {
        Channels::of(&self.shape, self.axis)
    }

    fn passes(&self, unclamped: i32) -> bool {
        (self.range.qmin..=self.range.qmax).contains(&unclamped)
    }
}

impl Kernel for FakeQuantGradF32 {
    fn name(&self) -> &'static str {
        "fake_quant_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = [self.channels().count];
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("inv_scale", DType::F32, c),
            Binding::read("zero_point", DType::I32, c),
            Binding::read("dy", DType::F32, self.shape.clone()),
            Binding::write("dx", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let source = include_str!("../../shaders/fake_quant_grad_f32.wgsl");
        Ok(elementwise(
            source,
            (&self.shape, self.axis, self.range),
            channels,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let channels = self.channels();
        let (x, inv_scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (zero_point, dy) = (args[2].as_i32()?, args[3].as_f32()?);
        let dx: Vec<f64> = (0..x.len())
            .map(|i| {
                let ch = channels.channel_of(i);
                if self.passes(unclamped(x[i], inv_scale[ch], zero_point[ch])) {
                    f64::from(dy[i])
                } else {
                    0.0
                }
            })
            .collect();
        args[4].store_f64(&dx)
    }

    /// Exact, but 0 or `dy` where the rounded value may fall to either side of an end.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let channels = self.channels();
        let (x, inv_scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (zero_point, dy) = (args[2].as_i32()?, args[3].as_f32()?);
        let (mut near_tie, mut step) = (Vec::new(), Vec::new());
        for (i, &x) in x.iter().enumerate() {
            let ch = channels.channel_of(i);
            let (low, high) = candidates(x, inv_scale[ch], zero_point[ch]);
            let ambiguous = self.passes(low) != self.passes(high);
            near_tie.push(ambiguous);
            // No step where there is no tie: the comparison is then exact.
            step.push(if ambiguous {
                f64::from(dy[i].abs())
            } else {
                0.0
            });
        }
        let mut out = vec![Agreement::Equal; 4];
        out.push(Agreement::NearTie { near_tie, step });
        Ok(out)
    }

    fn operations(&self) -> f64 {
        5.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let [_, inv_scale, zero_point] = example_params(self.channels(), self.range, rng);
        vec![
            random_tensor(&bindings[0], rng),
            inv_scale,
            zero_point,
            random_tensor(&bindings[3], rng),
            Tensor::zeros(&self.shape, DType::F32),
        ]
    }
}

/// The shapes of the forward kernel.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    cases()
        .into_iter()
        .map(|(shape, axis, range)| {
            Box::new(FakeQuantGradF32 { shape, axis, range }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_step_beyond_the_end_still_passes() {
        let mut args = [
            Tensor::from_f32(&[5], &[3.25, 3.75, -4.5, -4.75, f32::INFINITY]).expect("fits"),
            Tensor::from_f32(&[1], &[1.0]).expect("fits"),
            Tensor::from_i32(&[1], &[0]).expect("fits"),
            Tensor::from_f32(&[5], &[1.0, 2.0, 3.0, 4.0, 5.0]).expect("fits"),
            Tensor::zeros(&[5], DType::F32),
        ];
        let kernel = FakeQuantGradF32 {
            shape: vec![5],
            axis: None,
            range: Range::affine(3),
        };
        kernel.cpu(&mut args).expect("f32");
        let want = [1.0, 0.0, 3.0, 0.0, 0.0];
        assert_eq!(args[4].as_f32().expect("f32"), want);
    }
}
