//! The digit in which the `remaining`-th smallest key lies; `state` narrows to it, `hist = 0`
//!
//! ```text
//! d with Σ_{b<d} hist[b] < remaining ≤ Σ_{b≤d} hist[b]
//! ```
//! `state` u32 `[4]`, `hist` u32 `[2048]`: see [`super::topk_begin`]. If bin `d` goes as a whole, the lower
//! digits of the threshold become all ones and the state is found; so it is if `remaining` exceeds the
//! sum, with a threshold above every key. Exact: integers only.

use super::topk_begin::{BINS, Digit, FOUND, MAGNITUDE, SEARCHING, STATE, digits};
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, params_bytes};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Chooses one digit of the threshold. Bindings: `state`, `hist` (both updated).
#[derive(Clone, Debug)]
pub struct TopkSelect {
    /// The digit that was counted.
    pub digit: Digit,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    shift: u32,
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
            source: include_str!("../../shaders/topk_select.wgsl").into(),
            spec: Spec::new()
                .with("BINS", BINS as u32)
                .with("BY_INDEX", self.digit.by_index),
            params: params_bytes(&Params {
                shift: self.digit.shift,
            }),
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
        Ok(vec![Agreement::Equal; 2])
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
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let of = |total: usize| digits(total).into_iter().map(|digit| TopkSelect { digit });
    of(1009)
        .chain(of(11_689_512).filter(|select| select.digit.by_index))
        .map(|select| Box::new(select) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(by_index: bool, rank: u32, hist: &[u32]) -> Vec<u32> {
        let digit = Digit {
            by_index,
            shift: 4,
            width: 2,
        };
        let mut bins = hist.to_vec();
        bins.resize(BINS, 0);
        let mut args = [
            Tensor::from_u32(&[STATE], &[rank, 0x100, 0, SEARCHING]).expect("fits"),
            Tensor::from_u32(&[BINS], &bins).expect("fits"),
        ];
        TopkSelect { digit }.cpu(&mut args).expect("types fit");
        assert!(args[1].words().iter().all(|&count| count == 0));
        args[0].words().to_vec()
    }

    #[test]
    fn by_hand() {
        assert_eq!(select(false, 3, &[1, 0, 4]), [2, 0x120, 0, SEARCHING]);
        assert_eq!(select(false, 5, &[1, 0, 4]), [4, 0x12f, u32::MAX, FOUND]);
        assert_eq!(select(true, 1, &[0, 1]), [1, 0x100, 0x1f, FOUND]);
        assert_eq!(select(true, 9, &[1])[1..], [MAGNITUDE, u32::MAX, FOUND]);
    }
}
