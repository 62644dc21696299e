//! How an int32 accumulator becomes an int8 output.
//!
//! ```text
//! y = clamp(requant(acc) + zero_point, qmin, qmax)
//!
//! float:  requant(acc) = round_ties_even(f32(acc) · M)                  every operation in f32
//! fixed:  requant(acc) = sign(acc) · ((|acc| · multiplier + 2^(shift−1)) >> shift)
//! ```
//!
//! `M = s_x · s_w / s_y`, one per channel. ReLU raises `qmin` to the zero point. The fixed rule is integer
//! arithmetic and equal everywhere. Under the float rule a device may round `f32(acc)` and the product to
//! either neighbour, so it may land on the other side of a tie: never more than one step.

use serde::{Deserialize, Serialize};

use super::{Agreement, Spec, gamma};
use crate::base::{FixedMultiplier, Range, Requant, Rng, Tensor};
use crate::error::Result;

/// The last step of every int8 kernel that accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutI8 {
    /// The rule.
    pub requant: Requant,
    /// The integer of `y` that stands for 0.
    pub zero_point: i32,
    /// Integers allowed; `qmin` is the zero point where a ReLU follows. Within −128 ..= 127.
    pub range: Range,
}

impl OutI8 {
    /// One row of two words per real multiplier `m` (finite, not negative), as the kernels read them:
    /// `[bits of f32(m), 0]` under the float rule, `[multiplier, shift]` under the fixed rule.
    pub fn multipliers(&self, m: &[f64]) -> Tensor {
        let words: Vec<u32> = m.iter().flat_map(|&m| self.multiplier(m)).collect();
        Tensor::from_u32(&[m.len(), 2], &words).expect("two words per multiplier")
    }

    /// The two words of one multiplier.
    pub fn multiplier(&self, m: f64) -> [u32; 2] {
        match self.requant {
            Requant::Float => [(m as f32).to_bits(), 0],
            Requant::Fixed => {
                // Through f32 as well, so that four bytes in a model file state either exactly.
                let fixed = FixedMultiplier::from_f64(f64::from(m as f32));
                [fixed.multiplier, fixed.shift]
            }
        }
    }

    /// The output of one accumulator; `words` is a row of [`Self::multipliers`].
    pub fn apply(&self, acc: i32, words: [u32; 2]) -> i32 {
        let scaled = match self.requant {
            // `as` saturates.
            Requant::Float => (acc as f32 * f32::from_bits(words[0])).round_ties_even() as i32,
            Requant::Fixed => {
                let [multiplier, shift] = words;
                FixedMultiplier { multiplier, shift }.apply(acc)
            }
        };
        self.clamp(scaled)
    }

    /// True if a device may be one step away: the exact `acc · M` lies so close to a tie that rounding
    /// `f32(acc)` and the product to either neighbour (two roundings) decides. Never under the fixed rule.
    pub fn near_tie(&self, acc: i32, words: [u32; 2]) -> bool {
        if self.requant == Requant::Fixed {
            return false;
        }
        let exact = f64::from(acc) * f64::from(f32::from_bits(words[0]));
        self.undecided(exact, exact.abs() * gamma(2))
    }

    /// True if `exact`, known up to `error`, rounds to more than one output.
    pub(super) fn undecided(&self, exact: f64, error: f64) -> bool {
        let round = |x: f64| self.clamp(x.round_ties_even() as i32);
        round(exact - error) != round(exact + error)
    }

    fn clamp(&self, scaled: i32) -> i32 {
        scaled
            .saturating_add(self.zero_point)
            .clamp(self.range.qmin, self.range.qmax)
    }

    /// The agreement on outputs of `acc` with channels fastest, `words` being `[channels, 2]`.
    pub(super) fn agreement(&self, acc: &[i32], words: &[u32]) -> Agreement {
        if self.requant == Requant::Fixed {
            return Agreement::Equal;
        }
        let near_tie = per_channel(acc, words, |acc, words| self.near_tie(acc, words));
        Agreement::NearTie {
            step: vec![1.0; near_tie.len()],
            near_tie,
        }
    }

    /// Stores the outputs of `acc` with channels fastest, `words` being `[channels, 2]`.
    pub(super) fn store(&self, acc: &[i32], words: &[u32], y: &mut Tensor) -> Result<()> {
        y.store_i8(&per_channel(acc, words, |acc, words| {
            self.apply(acc, words) as i8
        }))
    }

    /// The constants that `common/requant.wgsl` takes.
    pub(super) fn spec(&self) -> Spec {
        Spec::new().with("FIXED", self.requant == Requant::Fixed)
    }

    /// Multipliers for tests: products of `terms` random int8 pairs come out spread over the range.
    pub(super) fn example_multipliers(
        &self,
        channels: usize,
        terms: usize,
        rng: &mut Rng,
    ) -> Tensor {
        // A uniform int8 has a standard deviation of 74.
        let spread = 74.0 * 74.0 * (terms as f64).sqrt();
        let m: Vec<f64> = (0..channels)
            .map(|_| f64::from(rng.range(40.0, 160.0)) / spread)
            .collect();
        self.multipliers(&m)
    }
}

fn per_channel<T>(acc: &[i32], words: &[u32], f: impl Fn(i32, [u32; 2]) -> T) -> Vec<T> {
    let channels = words.len() / 2;
    acc.iter()
        .enumerate()
        .map(|(i, &acc)| {
            let at = i % channels * 2;
            f(acc, [words[at], words[at + 1]])
        })
        .collect()
}

/// Both rules, with and without ReLU: for the samples of the kernels.
pub(super) fn sample_outs() -> [OutI8; 3] {
    let out = |requant, zero_point, range| OutI8 {
        requant,
        zero_point,
        range,
    };
    let relu = Range {
        qmin: -100,
        qmax: 127,
    };
    [
        out(Requant::Float, 5, Range::affine(8)),
        out(Requant::Fixed, -3, Range::affine(8)),
        out(Requant::Float, -100, relu),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let [float, fixed, relu] = sample_outs();
        let half = |out: OutI8| out.multiplier(0.5);
        assert_eq!(
            [1, 3, -1, -3].map(|a| float.apply(a, half(float))),
            [5, 7, 5, 3]
        );
        assert_eq!(
            [1, 3, -1, -3].map(|a| fixed.apply(a, half(fixed))),
            [-2, -1, -4, -5]
        );
        assert_eq!(
            [-9, 0, 9].map(|a| relu.apply(a, half(relu))),
            [-100, -100, -96]
        );
        for out in [float, fixed, relu] {
            let words = out.multiplier(1.0);
            assert_eq!(out.apply(i32::MAX, words), 127);
            assert_eq!(out.apply(i32::MIN, words), out.range.qmin);
            assert_eq!(out.multipliers(&[0.25, 1.0]).words()[2..], words);
        }
    }

    #[test]
    fn ties_are_near_ties_and_little_else() {
        let [float, fixed, relu] = sample_outs();
        let words = float.multiplier(0.5);
        assert!(float.near_tie(3, words) && !float.near_tie(4, words));
        assert!(
            !float.near_tie(2_000_001, words),
            "it is clamped either way"
        );
        assert!(!relu.near_tie(-3, words), "it is clamped either way");
        assert!(!fixed.near_tie(3, fixed.multiplier(0.5)));
    }
}
