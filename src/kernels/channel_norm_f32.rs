//! `y[c] = ‖w[.., c, ..]‖`: `Σ|w|`, `√Σw²` or `max|w|` over all elements with index `c` on axis `dim`
//!
//! `w`: f32, any shape; `y`: f32 `[shape[dim]]`. Slices with the same elements in the same order have
//! the same norm, bit for bit. The largest magnitude is exact, NaN counts as larger than infinity.

use super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32,
};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

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
pub struct ChannelNormF32 {
    /// Shape of `w`.
    pub shape: Shape,
    /// The axis of the channels.
    pub dim: usize,
    /// Which norm.
    pub norm: Norm,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    channels: u32,
    outer: u32,
    inner: u32,
    step_outer: u32,
    step_inner: u32,
}

const WORKGROUP: usize = 64;

/// `[outer, channels, inner]` of a shape seen from axis `dim`.
pub(super) fn around(shape: &[usize], dim: usize) -> [usize; 3] {
    let channels = shape.get(dim).copied().unwrap_or(1);
    let outer = num_elements(&shape[..dim.min(shape.len())]);
    let inner = num_elements(&shape[(dim + 1).min(shape.len())..]);
    [outer, channels, inner]
}

/// An error unless the shape has this axis.
pub(super) fn check_dim(op: &str, shape: &[usize], dim: usize) -> Result<()> {
    if dim < shape.len() {
        return Ok(());
    }
    let problem = format!("there is no axis {dim} in a tensor of shape {shape:?}");
    Err(Error::invalid(op, problem))
}

impl Kernel for ChannelNormF32 {
    fn name(&self) -> &'static str {
        "channel_norm_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let [_, channels, _] = around(&self.shape, self.dim);
        vec![
            Binding::read("w", DType::F32, self.shape.clone()),
            Binding::write("y", DType::F32, [channels]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_dim(self.name(), &self.shape, self.dim)?;
        let [outer, channels, inner] = around(&self.shape, self.dim);
        let norm: u32 = match self.norm {
            Norm::L1 => 1,
            Norm::L2 => 2,
            Norm::Max => 0,
        };
        let params = Params {
            channels: channels as u32,
            outer: outer as u32,
            inner: inner as u32,
            step_outer: (WORKGROUP / inner) as u32,
            step_inner: (WORKGROUP % inner) as u32,
        };
        Ok(Launch {
            source: include_str!("../../shaders/channel_norm_f32.wgsl").into(),
            spec: Spec::new()
                .with("NORM", norm)
                .with("WORKGROUP", WORKGROUP as u32),
            params: params_bytes(&params),
            workgroups: grid_1d(channels, 1, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        check_dim(self.name(), &self.shape, self.dim)?;
        let y: Vec<f64> = self
            .sums(args[0].as_f32()?)
            .into_iter()
            .map(|sum| {
                if self.norm == Norm::L2 {
                    sum.sqrt()
                } else {
                    sum
                }
            })
            .collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.norm == Norm::Max {
            return Ok(vec![Agreement::Equal; 2]);
        }
        let [outer, _, inner] = around(&self.shape, self.dim);
        let n = outer * inner;
        // Terms below the smallest normal number may be flushed.
        let flushed = n as f64 * f64::from(f32::MIN_POSITIVE);
        let bound = |sum: f64| match self.norm {
            // n − 1 additions, one rounding of the reference.
            Norm::L1 => gamma(n) * sum + flushed + ulp_f32(sum),
            _ => {
                // One product and n − 1 additions; then WGSL's sqrt = 1 / inverseSqrt(x) with
                // 2 and 2.5 ULP; one rounding of the reference.
                let error = gamma(n) * sum + flushed;
                let root = (sum + error).sqrt() - sum.sqrt();
                let root = root.max(sum.sqrt() - (sum - error).max(0.0).sqrt());
                root + gamma(5) * (sum + error).sqrt() + ulp_f32(sum.sqrt())
            }
        };
        let bounds = self.sums(args[0].as_f32()?).into_iter().map(bound);
        Ok(vec![Agreement::Equal, Agreement::Within(bounds.collect())])
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }
}

impl ChannelNormF32 {
    /// What is summed (or maximised), before the root.
    fn sums(&self, w: &[f32]) -> Vec<f64> {
        let [_, channels, inner] = around(&self.shape, self.dim);
        let mut sums = vec![0.0f64; channels];
        for (i, &w) in w.iter().enumerate() {
            let w = f64::from(w).abs();
            let sum = &mut sums[i / inner % channels];
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
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [(&[usize], usize); 6] = [
        (&[1], 0),
        (&[7, 13], 0),
        (&[7, 13], 1),
        (&[5, 3, 3, 17], 0),
        (&[67, 3, 5], 1),
        (&[9, 2, 101], 1),
    ];
    let mut samples: Vec<Box<dyn Kernel>> = Vec::new();
    for (shape, dim) in shapes {
        for norm in [Norm::L1, Norm::L2, Norm::Max] {
            let shape = shape.to_vec();
            samples.push(Box::new(ChannelNormF32 { shape, dim, norm }));
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let norms = |norm, dim| {
            let mut args = [
                Tensor::from_f32(&[2, 2], &[3.0, -1.0, -4.0, 0.0]).expect("fits"),
                Tensor::zeros(&[2], DType::F32),
            ];
            let shape = vec![2, 2];
            let kernel = ChannelNormF32 { shape, dim, norm };
            kernel.cpu(&mut args).expect("f32");
            args[1].to_f32()
        };
        assert_eq!(norms(Norm::L1, 0), [4.0, 4.0]);
        assert_eq!(norms(Norm::L2, 1), [5.0, 1.0]);
        assert_eq!(norms(Norm::Max, 0), [3.0, 4.0]);
    }

    #[test]
    fn wrong_axes_are_errors() {
        let shape = vec![2, 2];
        let kernel = ChannelNormF32 {
            shape,
            dim: 2,
            norm: Norm::L1,
        };
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
