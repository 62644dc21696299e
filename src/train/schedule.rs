//! Learning-rate schedules.

/// The learning rate over the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LrSchedule {
    /// The same at every step.
    Constant,
    /// Linear warm-up over the first share of the steps, then half a cosine down to 0.
    WarmupCosine {
        /// Share of the steps in `0..1`.
        warmup: f64,
    },
}

impl LrSchedule {
    /// Factor on the peak learning rate at `step` of `steps` (both counted from 0).
    pub fn factor(self, step: usize, steps: usize) -> f32 {
        match self {
            Self::Constant => 1.0,
            Self::WarmupCosine { warmup } => {
                let ramp = (warmup * steps as f64).max(1.0);
                let at = step as f64 + 0.5;
                if at < ramp {
                    return (at / ramp) as f32;
                }
                let rest = ((at - ramp) / (steps as f64 - ramp).max(1.0)).clamp(0.0, 1.0);
                (0.5 * (1.0 + (std::f64::consts::PI * rest).cos())) as f32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_nothing() {
        let schedule = LrSchedule::WarmupCosine { warmup: 0.1 };
        assert!(schedule.factor(0, 100) < 0.1);
        assert!(schedule.factor(10, 100) > 0.99);
        assert!(schedule.factor(99, 100) < 0.01);
        assert_eq!(LrSchedule::Constant.factor(5, 10), 1.0);
    }
}
