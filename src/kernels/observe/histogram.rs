//! `counts[clamp(floor(x[i] · 2^−exponent) − first, 0, bins − 1)] += 1` for every finite `x[i]`
//!
//! `range = [_, _, first, exponent]` as [`ObserveHistogramRange`] leaves it, which has
//! seen the minimum and maximum of `x`, so that nothing is clamped. NaN and ±inf are not counted (the
//! min-max observer does). Integers only: equal on every device. Counts are modulo 2³².

use super::super::elementwise::halves;
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d};
use super::float_bits::{bin_of, key_of};
use super::histogram_range::check_bins;
use super::{HistogramState, MinMaxState, ObserveHistogramRange};
use crate::base::{DType, Rng, Shape, Tensor, num_elements};
use crate::error::Result;

/// Counts a batch into a histogram. Bindings: `x`, `range[4]`, `counts[bins]` (updated).
#[derive(Clone, Debug)]
pub struct ObserveHistogram {
    /// Shape of `x`.
    pub shape: Shape,
    /// Bins, as in [`ObserveHistogramRange`].
    pub bins: usize,
}

impl Kernel for ObserveHistogram {
    fn name(&self) -> &'static str {
        "observe_histogram_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("range", DType::U32, [4]),
            Binding::update("counts", DType::U32, [self.bins]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_bins(self.name(), self.bins, caps)?;
        let len = num_elements(&self.shape);
        // A workgroup clears and adds all bins once: give it several times as many values.
        let groups = len.div_ceil(4 * self.bins.max(1024)).clamp(1, 256);
        let (each, spec) = halves(Spec::new(), len.is_multiple_of(2), caps);
        Ok(Launch {
            source: include_str!("../../../shaders/observe/histogram.wgsl").into(),
            spec: spec.with("BINS", self.bins as u32),
            params: params(
                self.name(),
                [
                    len.into(),
                    len.div_ceil(groups).next_multiple_of(each).into(),
                ],
            )?,
            workgroups: grid_1d(groups, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (inputs, counts) = args.split_at_mut(2);
        let (x, range) = (inputs[0].as_f32()?, inputs[1].as_u32()?);
        let (first, exponent) = (range[2] as i32, range[3] as i32);
        counts[0].as_u32()?;
        let counts = counts[0].words_mut();
        for &x in x.iter().filter(|x| x.is_finite()) {
            let bin = (bin_of(x, exponent) - first).clamp(0, self.bins as i32 - 1) as usize;
            counts[bin] = counts[bin].wrapping_add(1);
        }
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(3, [])
    }

    fn operations(&self) -> f64 {
        4.0 * num_elements(&self.shape) as f64
    }

    /// Values as after a ReLU (half of them 0) with some that are not finite, and their range.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let scale = 4f32.powf(rng.range(-3.0, 3.0));
        let x: Vec<f32> = (0..num_elements(&self.shape))
            .map(|_| match rng.below(100) {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                2 => -1e-40,
                3..50 => 0.0,
                _ => scale * rng.range(-0.25, 1.0),
            })
            .collect();
        let mut batch = MinMaxState::observe(&x).expect("f32");
        let x = Tensor::from_f32(&self.shape, &x).expect("as many values");
        // A batch before was wider on one side.
        batch.words_mut()[1] = batch.words()[1].max(key_of(scale * rng.range(0.5, 3.0)));
        let counts = HistogramState::initial_counts(self.bins);
        let mut args = [batch, HistogramState::initial_range(), counts];
        let widen = ObserveHistogramRange { bins: self.bins };
        widen.cpu(&mut args).expect("states");
        let [_, range, mut counts] = args;
        for word in counts.words_mut() {
            *word = rng.below(3) as u32;
        }
        vec![x, range, counts]
    }
}

/// One value, fewer than a workgroup, several workgroups, few bins, bins that no workgroup divides.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], usize); 4] = [
        (&[1], 2048),
        (&[7, 13], 2048),
        (&[3, 29, 401], 2048),
        (&[2, 3, 1009], 257),
    ];
    boxed(cases.map(|(shape, bins)| ObserveHistogram {
        shape: shape.to_vec(),
        bins,
    }))
}
