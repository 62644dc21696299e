//! `state[ch] += [constant · (min − state[ch, 0]), constant · (max − state[ch, 1]), 1]`, then `batch[ch]` starts anew
//!
//! `batch`: what [`super::ObserveMinMax`] saw of one batch. The first batch sets minimum and
//! maximum; a batch without finite values changes nothing (PyTorch's `MovingAverageMinMaxObserver`).

use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, ulp_f32};
use super::MinMaxState;
use super::float_bits::key_of;
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Moving average of minimum and maximum. Bindings: `batch[c, 4]` (reset), `state[c, 3]` (updated:
/// minimum, maximum, batches).
#[derive(Clone, Debug)]
pub struct ObserveMovingAverage {
    /// Channels, c.
    pub channels: usize,
    /// Weight of a new batch; PyTorch's default is 0.01.
    pub constant: f32,
}

impl ObserveMovingAverage {
    /// The state before the first batch: f32 `[channels, 3]`.
    pub fn initial(channels: usize) -> Tensor {
        Tensor::zeros(&[channels, 3], DType::F32)
    }

    /// Reads a state: minimum and maximum of each channel, `None` where no batch was seen.
    ///
    /// # Errors
    /// [`Error::DType`] or [`Error::Shape`] if it is not f32 `[c, 3]`.
    pub fn decode(state: &Tensor) -> Result<Vec<Option<(f32, f32)>>> {
        let data = state.as_f32()?;
        if state.shape().last() != Some(&3) {
            return Err(Error::shape(
                "moving average state",
                "state",
                "[c, 3]",
                state.shape(),
            ));
        }
        Ok(data
            .chunks_exact(3)
            .map(|s| (s[2] > 0.0).then_some((s[0], s[1])))
            .collect())
    }
}

impl Kernel for ObserveMovingAverage {
    fn name(&self) -> &'static str {
        "observe_moving_average_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("batch", DType::U32, [self.channels, 4]),
            Binding::update("state", DType::F32, [self.channels, 3]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../../shaders/observe/moving_average.wgsl").into(),
            spec: Spec::new(),
            params: params(self.name(), [self.channels.into(), self.constant.into()])?,
            workgroups: grid_1d(self.channels, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let batch = MinMaxState::decode(&args[0])?;
        let mut state = args[1].to_f64();
        for (seen, state) in batch.into_iter().zip(state.chunks_exact_mut(3)) {
            let Some((min, max)) = seen.range() else {
                continue;
            };
            let first = state[2] == 0.0;
            for (m, batch) in state.iter_mut().zip([min, max]) {
                let batch = f64::from(batch);
                *m = if first {
                    batch
                } else {
                    *m + f64::from(self.constant) * (batch - *m)
                };
            }
            state[2] += 1.0;
        }
        args[0] = MinMaxState::initial(self.channels);
        args[1].store_f64(&state)
    }

    /// An ULP of the difference (times the constant), of the product and of the sum, and one more for
    /// the twin's own rounding. The first batch and the count are exact.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let batch = MinMaxState::decode(&args[0])?;
        let constant = f64::from(self.constant).abs();
        let mut bound = Vec::new();
        for (seen, state) in batch.into_iter().zip(args[1].to_f64().chunks_exact(3)) {
            for (m, batch) in state[..2].iter().zip([seen.min, seen.max]) {
                bound.push(match batch {
                    Some(batch) if state[2] > 0.0 => {
                        let difference = (f64::from(batch) - m).abs();
                        let product = constant * difference;
                        constant * ulp_f32(difference)
                            + ulp_f32(product)
                            + 2.0 * ulp_f32(m.abs() + product)
                    }
                    _ => 0.0,
                });
            }
            bound.push(0.0);
        }
        equal_but(2, [(1, Agreement::Within(bound))])
    }

    fn operations(&self) -> f64 {
        6.0 * self.channels as f64
    }

    /// Batches of which a few saw nothing; states of which a few are new.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut batch = MinMaxState::initial(self.channels);
        let mut state = Self::initial(self.channels);
        let words = batch.words_mut().chunks_exact_mut(4);
        for (batch, state) in words.zip(state.words_mut().chunks_exact_mut(3)) {
            if rng.below(5) > 0 {
                let (min, max) = (rng.range(-3.0, 0.0), rng.range(0.0, 3.0));
                batch.copy_from_slice(&[key_of(min), key_of(max), 10, 1]);
            }
            if rng.below(3) > 0 {
                let seen = [rng.range(-3.0, 0.0), rng.range(0.0, 3.0), 4.0];
                state.copy_from_slice(&seen.map(f32::to_bits));
            }
        }
        vec![batch, state]
    }
}

/// One channel, a prime, more than a workgroup.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    boxed([1, 13, 131].map(|channels| ObserveMovingAverage {
        channels,
        constant: 0.01,
    }))
}
