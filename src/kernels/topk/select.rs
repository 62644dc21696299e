//! The digit in which the `remaining`-th smallest key lies; `state` narrows to it, `hist = 0`
//!
//! ```text
//! d with Σ_{b<d} hist[b] < remaining ≤ Σ_{b≤d} hist[b]
//! ```
//! `state` u32 `[4]`, `hist` u32 `[2048]`: see [`super`]. If bin `d` goes as a whole, the lower
//! digits of the threshold become all ones and the state is found; so it is if `remaining` exceeds the
//! sum, with a threshold above every key. Exact: integers only.

use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec};
use super::{BINS, Digit, FOUND, MAGNITUDE, SEARCHING, STATE, digits};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Chooses one digit of the threshold. Bindings: `state`, `hist` (both updated).
#[derive(Clone, Debug)]
pub struct TopkSelect {
    /// The digit that was counted.
    pub digit: Digit,
}

impl Kernel for TopkSelect {
    fn name(&self) -> &'static str {
        "topk_select"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("state", DType::U32, [STATE]),
            Binding::update("hist", DType::U32, [BINS]),
        ]
    }

    fn launch(&self, _caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../../shaders/topk/select.wgsl").into(),
            spec: Spec::new()
                .with("BINS", BINS as u32)
                .with("BY_INDEX", self.digit.by_index),
            params: params(self.name(), [self.digit.shift.into()])?,
            workgroups: [1, 1, 1],
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (state, hist) = args.split_at_mut(1);
        let (state, hist) = (state[0].words_mut(), hist[0].words_mut());
        if state[3] == SEARCHING {
            let mut rank = state[0];
            let bin = hist.iter().position(|&count| {
                let here = rank <= count;
                rank -= if here { 0 } else { count };
                here
            });
            match bin {
                Some(bin) => {
                    let whole = rank == hist[bin];
                    let low = if whole {
                        (1 << self.digit.shift) - 1
                    } else {
                        0
                    };
                    let digit = (bin as u32) << self.digit.shift | low;
                    state[0] = rank;
                    if self.digit.by_index {
                        state[2] |= digit;
                    } else {
                        state[1] |= digit;
                        state[2] = if whole { u32::MAX } else { 0 };
                    }
                    state[3] = u32::from(whole);
                }
                None => state[1..].copy_from_slice(&[MAGNITUDE, u32::MAX, FOUND]),
            }
        }
        hist.fill(0);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(2, [])
    }

    fn operations(&self) -> f64 {
        BINS as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut hist = Tensor::zeros(&[BINS], DType::U32);
        for count in &mut hist.words_mut()[..1 << self.digit.width] {
            *count = rng.below(4) as u32;
        }
        let total: u32 = hist.words().iter().sum();
        // From 1 up to one more than there are.
        let rank = 1 + rng.below(total as usize + 1) as u32;
        let mut state = Tensor::zeros(&[STATE], DType::U32);
        state.words_mut().copy_from_slice(&[rank, 0, 0, SEARCHING]);
        vec![state, hist]
    }
}

/// Every digit of a list of some length.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let long = digits(11_689_512)
        .into_iter()
        .filter(|digit| digit.by_index);
    let all = digits(1009).into_iter().chain(long);
    boxed(all.map(|digit| TopkSelect { digit }))
}
