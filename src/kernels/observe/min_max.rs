//! `state[ch] = [min(state[ch, 0], key(x)), max(state[ch, 1], key(x)), + finite values, + others]` over the channel's `x`
//!
//! `key` maps the bits of a float to an integer that grows with it, so minima and maxima are integer
//! atomics: independent of the order, equal on every device. NaN and ±inf change neither; they are
//! counted in the last number. Counts are modulo 2³². `x`: f32, any shape. [`MinMaxState`] makes and
//! reads the state.

use crate::base::parallel::*;

use super::super::channels::{Channels, chunks_up_to};
use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, random_args};
use super::float_bits::{float_of_key, key_of};
use crate::base::{DType, Rng, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// Minimum, maximum and counts of each channel. Bindings: `x`, `state[c, 4]` (updated).
#[derive(Clone, Debug)]
pub struct ObserveMinMax {
    /// Shape of `x`.
    pub shape: Shape,
    /// The axis whose slices are observed one by one; `None`: all together (c = 1).
    pub axis: Option<usize>,
}

/// What [`ObserveMinMax`] has seen of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinMaxState {
    /// Smallest finite value; `None` before the first.
    pub min: Option<f32>,
    /// Largest finite value; `None` before the first.
    pub max: Option<f32>,
    /// Finite values seen, modulo 2³².
    pub finite: u32,
    /// NaN and infinite values seen, modulo 2³².
    pub not_finite: u32,
}

impl MinMaxState {
    /// The words of a channel that has seen nothing.
    pub const EMPTY: [u32; 4] = [u32::MAX, 0, 0, 0];

    /// The state of `channels` channels that have seen nothing: u32 `[channels, 4]`.
    pub fn initial(channels: usize) -> Tensor {
        Tensor::from_u32(&[channels, 4], &Self::EMPTY.repeat(channels)).expect("four per channel")
    }

    /// The state after these values, by the reference: u32 `[1, 4]`.
    ///
    /// # Errors
    /// None that can occur.
    pub fn observe(x: &[f32]) -> Result<Tensor> {
        let shape = vec![x.len()];
        let mut args = [Tensor::from_f32(&shape, x)?, Self::initial(1)];
        ObserveMinMax { shape, axis: None }.cpu(&mut args)?;
        let [_, state] = args;
        Ok(state)
    }

    /// Reads a state, one entry per channel.
    ///
    /// # Errors
    /// [`Error::DType`] or [`Error::Shape`] if it is not u32 `[c, 4]`.
    pub fn decode(state: &Tensor) -> Result<Vec<Self>> {
        let words = state.as_u32()?;
        if state.shape().last() != Some(&4) {
            return Err(Error::shape(
                "min-max state",
                "state",
                "[c, 4]",
                state.shape(),
            ));
        }
        Ok(words.chunks_exact(4).map(Self::of).collect())
    }

    fn of(words: &[u32]) -> Self {
        let seen = words[0] <= words[1];
        Self {
            min: seen.then(|| float_of_key(words[0])),
            max: seen.then(|| float_of_key(words[1])),
            finite: words[2],
            not_finite: words[3],
        }
    }

    /// Minimum and maximum; `None` if no finite value was seen.
    pub fn range(self) -> Option<(f32, f32)> {
        self.min.zip(self.max)
    }
}

const WORKGROUP: usize = 64;
/// Channels that are worth an invocation each.
const MANY: usize = 16;

impl ObserveMinMax {
    fn channels(&self) -> Channels {
        Channels::of(&self.shape, self.axis)
    }
}

impl Kernel for ObserveMinMax {
    fn name(&self) -> &'static str {
        "observe_min_max_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::update("state", DType::U32, [self.channels().count, 4]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::checked(self.name(), &self.shape, self.axis)?;
        // Every invocation waits for one element after another: a GPU has room for many of them.
        let most = if caps.software { 256 } else { 2048 };
        let len = channels.len();
        let last = channels.inner == 1 && channels.count >= MANY;
        let (tiles, chunks) = if last {
            let tiles = channels.count.div_ceil(WORKGROUP);
            (tiles, chunks_up_to(most, len * WORKGROUP).min(len.max(1)))
        } else {
            (channels.count, chunks_up_to(most, len))
        };
        Ok(Launch {
            source: include_str!("../../../shaders/observe/min_max.wgsl").into(),
            spec: Spec::new()
                .with("CONTIGUOUS", channels.outer == 1)
                .with("LAST", last)
                .with("WORKGROUP", WORKGROUP as u32),
            params: params(
                self.name(),
                [
                    channels.count.into(),
                    channels.inner.max(1).into(),
                    len.into(),
                    len.div_ceil(chunks).into(),
                    chunks.into(),
                ],
            )?,
            workgroups: grid_1d(chunks * tiles, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let channels = self.channels();
        let (x, state) = args.split_at_mut(1);
        let x = x[0].as_f32()?;
        state[0].as_u32()?;
        state[0]
            .words_mut()
            .par_chunks_exact_mut(4)
            .enumerate()
            .for_each(|(ch, state)| {
                for e in 0..channels.len() {
                    let x = x[channels.index(ch, e)];
                    if x.is_finite() {
                        state[0] = state[0].min(key_of(x));
                        state[1] = state[1].max(key_of(x));
                        state[2] = state[2].wrapping_add(1);
                    } else {
                        state[3] = state[3].wrapping_add(1);
                    }
                }
            });
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(2, [])
    }

    fn operations(&self) -> f64 {
        4.0 * num_elements(&self.shape) as f64
    }

    /// Random values with some that are not finite; a state that has seen a batch before.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut x = random_args(&self.bindings(), rng).swap_remove(0);
        for word in x.words_mut() {
            match rng.below(50) {
                0 => *word = f32::NAN.to_bits(),
                1 => *word = f32::INFINITY.to_bits(),
                2 => *word = f32::NEG_INFINITY.to_bits(),
                3 => *word = (-1e-40f32).to_bits(),
                _ => {}
            }
        }
        let mut state = MinMaxState::initial(self.channels().count);
        for words in state.words_mut().chunks_exact_mut(4) {
            if rng.below(3) > 0 {
                let (a, b) = (rng.range(-3.0, 3.0), rng.range(-3.0, 3.0));
                let seen = [key_of(a.min(b)), key_of(a.max(b)), rng.next_u32(), 5];
                words.copy_from_slice(&seen);
            }
        }
        vec![x, state]
    }
}

/// Shapes that hurt: one, primes, every axis, several chunks.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], Option<usize>); 7] = [
        (&[1], None),
        (&[7, 13, 11], None),
        (&[5, 3, 3, 7], Some(0)),
        (&[3, 5, 2, 131], Some(1)),
        (&[2, 601], Some(1)),
        (&[3, 14, 14, 33], None),
        (&[3, 14, 14, 33], Some(3)),
    ];
    boxed(cases.map(|(shape, axis)| ObserveMinMax {
        shape: shape.to_vec(),
        axis,
    }))
}
