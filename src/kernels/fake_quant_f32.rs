//! `y[i] = (clamp(round_ties_even(x[i] · inv_scale[ch]) + zero_point[ch], qmin, qmax) − zero_point[ch]) · scale[ch]`
//!
//! `x`, `y`: f32, any shape; `ch` is the index of `i` along `axis`, or 0. `inv_scale` is `1 / scale`
//! rounded on the host. The zero point is added after rounding (PyTorch's CPU rule, per tensor and per
//! channel alike). NaN gives 0; ±inf the end of the range.

use super::channels::Channels;
use super::rounding::{candidates, example_params, unclamped};
use super::{
    Agreement, Binding, Caps, Const, Kernel, Launch, Spec, grid_1d, params_bytes, random_tensor,
};
use crate::base::{DType, Range, Rng, Shape, Tensor, num_elements};
use crate::error::Result;

/// Quantize, then dequantize. Bindings: `x`, `scale[c]`, `inv_scale[c]`, `zero_point[c]`, `y`.
#[derive(Clone, Debug)]
pub struct FakeQuantF32 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// The axis whose slices have parameters of their own; `None`: one for all (c = 1).
    pub axis: Option<usize>,
    /// Integers allowed.
    pub range: Range,
}

/// Elements of one invocation, a workgroup's width apart.
const STRIP: usize = 4;
const WORKGROUP: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    channels: u32,
    inner: u32,
    step_channels: u32,
    step_inner: u32,
}

/// The launch of an elementwise kernel over channels; shared with the gradient.
pub(super) fn elementwise(
    source: &'static str,
    (shape, axis, range): (&[usize], Option<usize>, Range),
    channels: Channels,
    caps: &Caps,
) -> Launch {
    let len = num_elements(shape);
    let inner = channels.inner.max(1);
    Launch {
        source: source.into(),
        spec: Spec::new()
            .with("PER_CHANNEL", axis.is_some())
            .with("QMIN", Const::I32(range.qmin))
            .with("QMAX", Const::I32(range.qmax)),
        params: params_bytes(&Params {
            len: len as u32,
            channels: channels.count as u32,
            inner: inner as u32,
            step_channels: (WORKGROUP / inner % channels.count.max(1)) as u32,
            step_inner: (WORKGROUP % inner) as u32,
        }),
        workgroups: grid_1d(len, WORKGROUP * STRIP, caps),
    }
}

impl FakeQuantF32 {
    fn channels(&self) -> Channels {
        Channels::of(&self.shape, self.axis)
    }
}

impl Kernel for FakeQuantF32 {
    fn name(&self) -> &'static str {
        "fake_quant_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let c = [self.channels().count];
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("scale", DType::F32, c),
            Binding::read("inv_scale", DType::F32, c),
            Binding::read("zero_point", DType::I32, c),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        let source = include_str!("../../shaders/fake_quant_f32.wgsl");
        Ok(elementwise(
            source,
            (&self.shape, self.axis, self.range),
            channels,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let channels = self.channels();
        let (x, scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (inv_scale, zero_point) = (args[2].as_f32()?, args[3].as_i32()?);
        let y: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(i, &x)| {
                let ch = channels.channel_of(i);
                let u = unclamped(x, inv_scale[ch], zero_point[ch]);
                let q = u.clamp(self.range.qmin, self.range.qmax);
                f64::from(q - zero_point[ch]) * f64::from(scale[ch])
            })
            .collect();
        args[4].store_f64(&y)
    }

    /// One step next to a tie of the product; elsewhere the product with the scale may be either
    /// neighbour, which [`Agreement::NearTie`] grants to floats.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let channels = self.channels();
        let (x, scale) = (args[0].as_f32()?, args[1].as_f32()?);
        let (inv_scale, zero_point) = (args[2].as_f32()?, args[3].as_i32()?);
        let Range { qmin, qmax } = self.range;
        let (mut near_tie, mut step) = (Vec::new(), Vec::new());
        for (i, &x) in x.iter().enumerate() {
            let ch = channels.channel_of(i);
            let (low, high) = candidates(x, inv_scale[ch], zero_point[ch]);
            near_tie.push(low.clamp(qmin, qmax) != high.clamp(qmin, qmax));
            step.push(f64::from(scale[ch]));
        }
        let mut out = vec![Agreement::Equal; 4];
        out.push(Agreement::NearTie { near_tie, step });
        Ok(out)
    }

    fn operations(&self) -> f64 {
        6.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let bindings = self.bindings();
        let mut args = vec![random_tensor(&bindings[0], rng)];
        args.extend(example_params(self.channels(), self.range, rng));
        args.push(Tensor::zeros(&self.shape, DType::F32));
        args
    }
}

/// Shapes and ranges shared with the gradients: one, primes, every axis, more channels than a strip
/// spans, all bit widths.
pub(super) fn cases() -> Vec<(Shape, Option<usize>, Range)> {
    vec![
        (vec![1], None, Range::affine(8)),
        (vec![7, 13, 11], None, Range::affine(4)),
        (vec![5, 3, 3, 7], Some(0), Range::symmetric(8)),
        (vec![3, 5, 2, 131], Some(1), Range::symmetric(2)),
        (vec![37, 6], Some(1), Range::affine(3)),
        (vec![2, 601], Some(1), Range::affine(1)),
        (vec![64, 1, 1, 1], Some(0), Range::symmetric(4)),
    ]
}

/// Shapes that hurt.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    cases()
        .into_iter()
        .map(|(shape, axis, range)| {
            Box::new(FakeQuantF32 { shape, axis, range }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2, 3], &[0.25, 0.75, 9.0, -1.0, f32::NAN, -9.0]).expect("fits"),
            Tensor::from_f32(&[2], &[0.5, 2.0]).expect("fits"),
            Tensor::from_f32(&[2], &[2.0, 0.5]).expect("fits"),
            Tensor::from_i32(&[2], &[1, 0]).expect("fits"),
            Tensor::zeros(&[2, 3], DType::F32),
        ];
        let kernel = FakeQuantF32 {
            shape: vec![2, 3],
            axis: Some(0),
            range: Range::affine(3),
        };
        kernel.cpu(&mut args).expect("f32");
        // Ties go to the even integer before the zero point is added; 3 − 1 = 2 steps are the most.
        let want = [0.0, 1.0, 1.0, 0.0, 0.0, -8.0];
        assert_eq!(args[4].as_f32().expect("f32"), want);
    }
}
