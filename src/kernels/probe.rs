//! What the probes of floating-point speed share: chains of multiply-adds, and their error.

use super::gamma;

/// Chains whose sum is the result: starts, factor and term of each.
pub(super) struct Chain {
    pub start: f64,
    pub factor: f64,
    pub term: f64,
}

impl Chain {
    /// Value after `steps` steps, exactly, and how far a device may be from it whose operations (the start
    /// is one, a step two) are each off by `unit`, relative. Nothing here is small enough to be flushed.
    fn after(&self, steps: usize, unit: f64) -> (f64, f64) {
        let mut value = self.start;
        let mut error = unit * value.abs();
        for _ in 0..steps {
            let product = value * self.factor;
            error *= self.factor.abs();
            error += unit * (product.abs() + error);
            value = product + self.term;
            error += unit * (value.abs() + error);
        }
        (value, error)
    }

    /// The sum of `chains` in f32, and how far a device may be from it.
    pub fn sum(chains: impl Iterator<Item = Self>, steps: usize, unit: f64) -> (f64, f64) {
        let (mut sum, mut size, mut error, mut n) = (0.0, 0.0, 0.0, 0);
        for chain in chains {
            let (value, off) = chain.after(steps, unit);
            sum += value;
            error += off;
            size += value.abs() + off;
            n += 1;
        }
        (sum, error + gamma(n) * size)
    }
}
