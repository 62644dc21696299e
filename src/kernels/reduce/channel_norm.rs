//! `y[c] = ‖w[.., c, ..]‖`: `Σ|w|`, `√Σw²` or `max|w|` over all elements with index `c` on axis `dim`
//!
//! `w`: f32, any shape; `y`: f32 `[shape[dim]]`. Slices with the same elements in the same order have
//! the same norm, bit for bit. The largest magnitude is exact, NaN counts as larger than infinity.

use super::super::channels::Channels;
use super::super::frame::{boxed, equal_but, params, reads, writes};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, ulp_f32};
use crate::base::{Shape, Tensor, num_elements};
use crate::error::Result;

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Sum of magnitudes.
    L1,
    /// Square root of the sum of squares.
    L2,
    /// Largest magnitude.
    Max,
}

/// Norm of every slice along `dim`. Bindings: `w`, `y`.
#[derive(Clone, Debug)]
pub struct ChannelNorm {
    /// Shape of `w`.
    pub shape: Shape,
    /// The axis of the channels.
    pub dim: usize,
    /// Which norm.
    pub norm: Norm,
}

const WORKGROUP: usize = 64;

impl Kernel for ChannelNorm {
    fn name(&self) -> &'static str {
        "channel_norm_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let channels = Channels::of(&self.shape, Some(self.dim));
        [reads(&self.shape, ["w"]), writes(&[channels.count], ["y"])].concat()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let channels = Channels::checked(self.name(), &self.shape, Some(self.dim))?;
        let norm: u32 = match self.norm {
            Norm::L1 => 1,
            Norm::L2 => 2,
            Norm::Max => 0,
        };
        let (outer, inner) = (channels.outer, channels.inner.max(1));
        let steps = [(WORKGROUP / inner).into(), (WORKGROUP % inner).into()];
        let [step_outer, step_inner] = steps;
        let words = [
            channels.count.into(),
            outer.into(),
            inner.into(),
            step_outer,
            step_inner,
        ];
        Ok(Launch {
            source: include_str!("../../../shaders/reduce/channel_norm.wgsl").into(),
            spec: Spec::new()
                .with("NORM", norm)
                .with("WORKGROUP", WORKGROUP as u32),
            params: params(self.name(), words)?,
            workgroups: grid_1d(channels.count, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        Channels::checked(self.name(), &self.shape, Some(self.dim))?;
        let sums = self.sums(args[0].as_f32()?);
        let root = |sum: f64| {
            if self.norm == Norm::L2 {
                sum.sqrt()
            } else {
                sum
            }
        };
        let y: Vec<f64> = sums.into_iter().map(root).collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.norm == Norm::Max {
            return equal_but(2, []);
        }
        let n = Channels::of(&self.shape, Some(self.dim)).len();
        // Terms below the smallest normal number may be flushed.
        let flushed = n as f64 * f64::from(f32::MIN_POSITIVE);
        let bound = |sum: f64| match self.norm {
            // n − 1 additions, one rounding of the reference.
            Norm::L1 => gamma(n) * sum + flushed + ulp_f32(sum),
            Norm::L2 | Norm::Max => {
                // One product and n − 1 additions; then WGSL's sqrt = 1 / inverseSqrt(x) with
                // 2 and 2.5 ULP; one rounding of the reference.
                let error = gamma(n) * sum + flushed;
                let root = (sum + error).sqrt() - sum.sqrt();
                let root = root.max(sum.sqrt() - (sum - error).max(0.0).sqrt());
                root + gamma(5) * (sum + error).sqrt() + ulp_f32(sum.sqrt())
            }
        };
        let bounds = self.sums(args[0].as_f32()?).into_iter().map(bound);
        equal_but(2, [(1, Agreement::Within(bounds.collect()))])
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }
}

impl ChannelNorm {
    /// What is summed (or maximised), before the root.
    fn sums(&self, w: &[f32]) -> Vec<f64> {
        let channels = Channels::of(&self.shape, Some(self.dim));
        let mut sums = vec![0.0f64; channels.count];
        for (i, &w) in w.iter().enumerate() {
            let w = f64::from(w).abs();
            let sum = &mut sums[channels.channel_of(i)];
            match self.norm {
                Norm::L1 => *sum += w,
                Norm::L2 => *sum += w * w,
                // Unlike `f64::max`, keeps NaN.
                Norm::Max => {
                    if w.is_nan() || w > *sum {
                        *sum = w;
                    }
                }
            }
        }
        sums
    }
}

/// First, middle and last axes; slices shorter and longer than a workgroup.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [(&[usize], usize); 6] = [
        (&[1], 0),
        (&[7, 13], 0),
        (&[7, 13], 1),
        (&[5, 3, 3, 17], 0),
        (&[67, 3, 5], 1),
        (&[9, 2, 101], 1),
    ];
    let kernel = |norm| {
        shapes.map(|(shape, dim)| ChannelNorm {
            shape: shape.to_vec(),
            dim,
            norm,
        })
    };
    boxed([Norm::L1, Norm::L2, Norm::Max].into_iter().flat_map(kernel))
}
