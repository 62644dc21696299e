//! Sparsity as a function of the training step.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// When how much is pruned. Steps may be optimiser steps or epochs, as the caller counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Schedule {
    /// All at once, at step 0.
    OneShot {
        /// Sparsity from then on.
        target: f64,
    },
    /// Zhu and Gupta 2017: `s = s_f + (s_i − s_f)·(1 − (t − begin) / (steps·frequency))³`.
    Cubic {
        /// Sparsity up to `begin`.
        initial: f64,
        /// Sparsity in the end.
        target: f64,
        /// First step.
        begin: usize,
        /// Number of updates after the first.
        steps: usize,
        /// Steps from one update to the next.
        frequency: usize,
    },
    /// `PolynomialDecay` of the TensorFlow Model Optimization Toolkit:
    /// `s = s_f + (s_i − s_f)·(1 − (t − begin) / (end − begin))^power`.
    Polynomial {
        /// Sparsity up to `begin`.
        initial: f64,
        /// Sparsity in the end.
        target: f64,
        /// First step.
        begin: usize,
        /// Last step.
        end: usize,
        /// Exponent; 3 there.
        power: f64,
        /// Steps from one update to the next; 100 there.
        frequency: usize,
    },
    /// `AutomatedGradualPruner` of Distiller: cubic, with the span shortened to whole periods,
    /// `span = ((end − begin − 1) / frequency)·frequency`, so that the last update reaches the target.
    Agp {
        /// Sparsity up to `begin`.
        initial: f64,
        /// Sparsity in the end.
        target: f64,
        /// First step.
        begin: usize,
        /// The step after the last.
        end: usize,
        /// Steps from one update to the next.
        frequency: usize,
    },
    /// `s = s_i + (s_f − s_i)·(t − begin) / (end − begin)`.
    Linear {
        /// Sparsity up to `begin`.
        initial: f64,
        /// Sparsity in the end.
        target: f64,
        /// First step.
        begin: usize,
        /// Last step.
        end: usize,
        /// Steps from one update to the next.
        frequency: usize,
    },
}

/// What all schedules come down to.
struct Curve {
    initial: f64,
    target: f64,
    begin: usize,
    span: usize,
    power: f64,
    frequency: usize,
}

impl Schedule {
    fn curve(&self) -> Curve {
        let (initial, target, begin, span, power, frequency) = match *self {
            Self::OneShot { target } => (0.0, target, 0, 0, 1.0, 1),
            Self::Cubic {
                initial,
                target,
                begin,
                steps,
                frequency,
            } => (
                initial,
                target,
                begin,
                steps.saturating_mul(frequency),
                3.0,
                frequency,
            ),
            Self::Polynomial {
                initial,
                target,
                begin,
                end,
                power,
                frequency,
            } => {
                let span = end.saturating_sub(begin);
                (initial, target, begin, span, power, frequency)
            }
            Self::Agp {
                initial,
                target,
                begin,
                end,
                frequency,
            } => {
                let periods = end.saturating_sub(begin).saturating_sub(1) / frequency.max(1);
                (initial, target, begin, periods * frequency, 3.0, frequency)
            }
            Self::Linear {
                initial,
                target,
                begin,
                end,
                frequency,
            } => {
                let span = end.saturating_sub(begin);
                (initial, target, begin, span, 1.0, frequency)
            }
        };
        Curve {
            initial,
            target,
            begin,
            span,
            power,
            frequency,
        }
    }

    /// Sparsity at any step, also between updates: the initial one before `begin`, the target after the
    /// end; a schedule without length jumps at `begin`.
    pub fn sparsity_at(&self, step: usize) -> f64 {
        let curve = self.curve();
        if step < curve.begin {
            return curve.initial;
        }
        let passed = step - curve.begin;
        if passed >= curve.span {
            return curve.target;
        }
        let progress = passed as f64 / curve.span as f64;
        curve.target + (curve.initial - curve.target) * (1.0 - progress).powf(curve.power)
    }

    /// True at the steps at which masks are to be made anew: every `frequency` steps from `begin` on,
    /// and never after the target has been reached.
    pub fn is_update(&self, step: usize) -> bool {
        let curve = self.curve();
        if step < curve.begin {
            return false;
        }
        let passed = step - curve.begin;
        // A span that is no multiple of the frequency ends at the next multiple.
        let frequency = curve.frequency.max(1);
        passed.is_multiple_of(frequency) && passed <= curve.span.next_multiple_of(frequency)
    }

    /// Checks the numbers of a schedule that a user wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the number that is out of range.
    pub fn check(&self) -> Result<()> {
        let curve = self.curve();
        let invalid = |problem: String| Err(Error::invalid("pruning schedule", problem));
        for (name, sparsity) in [("initial", curve.initial), ("target", curve.target)] {
            if !(0.0..=1.0).contains(&sparsity) {
                return invalid(format!("`{name}` is {sparsity}, expected 0 to 1"));
            }
        }
        if curve.frequency == 0 {
            return invalid("`frequency` is 0, expected at least 1".into());
        }
        if !(curve.power > 0.0 && curve.power.is_finite()) {
            return invalid(format!("`power` is {}, expected more than 0", curve.power));
        }
        if let Self::Polynomial { begin, end, .. }
        | Self::Agp { begin, end, .. }
        | Self::Linear { begin, end, .. } = self
            && end < begin
        {
            return invalid(format!("it ends at {end}, before it begins at {begin}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubic() {
        let schedule = Schedule::Cubic {
            initial: 0.5,
            target: 0.875,
            begin: 200,
            steps: 7,
            frequency: 50,
        };
        schedule.check().expect("in range");
        let at = |step| schedule.sparsity_at(step);
        assert_eq!(
            [at(0), at(200), at(550), at(9999)],
            [0.5, 0.5, 0.875, 0.875]
        );
        let want = 0.875 - 0.375 * (6.0f64 / 7.0).powi(3);
        assert!((at(250) - want).abs() < 1e-12);
        let updates: Vec<usize> = (0..1000).filter(|&t| schedule.is_update(t)).collect();
        assert_eq!(updates, [200, 250, 300, 350, 400, 450, 500, 550]);
    }

    #[test]
    fn the_last_update_reaches_the_target() {
        // Distiller: epochs 0, 2, .. 8; 10 itself is excluded, the span is 8.
        let (initial, target, begin, frequency) = (0.1, 0.8, 0, 2);
        let agp = |end| Schedule::Agp {
            initial,
            target,
            begin,
            end,
            frequency,
        };
        assert_eq!(agp(10).sparsity_at(8), 0.8);
        assert!(agp(10).sparsity_at(7) < 0.8);
        assert!((agp(10).sparsity_at(4) - (0.8 - 0.7 / 8.0)).abs() < 1e-12);
        let linear = Schedule::Linear {
            initial,
            target,
            begin,
            end: 5,
            frequency,
        };
        assert!((linear.sparsity_at(1) - 0.24).abs() < 1e-12);
        let last = (0..100).rfind(|&t| linear.is_update(t));
        assert_eq!(last.map(|t| linear.sparsity_at(t)), Some(0.8));
        let one_shot = Schedule::OneShot { target };
        assert_eq!(one_shot.sparsity_at(0), 0.8);
        assert!(one_shot.is_update(0) && !one_shot.is_update(1));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(Schedule::OneShot { target: 1.5 }.check().is_err());
        assert!(Schedule::OneShot { target: f64::NAN }.check().is_err());
        let backwards = Schedule::Linear {
            initial: 0.0,
            target: 0.5,
            begin: 5,
            end: 4,
            frequency: 1,
        };
        assert!(backwards.check().is_err());
    }
}
