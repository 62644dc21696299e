//! The operations of a network: mathematics, no device.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{DType, QParams, Range, Requant, Shape};
use crate::kernels::{Conv, Kernel, OutI8, Pool, ResidualI8};

/// What a node computes. Images are `[n, h, w, c]`, linear weights `[out, in]`, convolution weights
/// `[out, kh, kw, in / groups]`. Inputs are listed in order, outputs after the arrow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    // Float networks: f32, or f16 storage with f32 accumulation.
    /// `x [m, k], w [n, k], bias [n] → y [m, n]`: `relu?(x · wᵀ + bias)`.
    Linear {
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x, w, bias [o] → y`; with a fourth operand `residual`, of the shape of `y`: `relu?(x ∗ w + bias +
    /// residual)`.
    Conv2d {
        /// Stride, padding, dilation, groups.
        conv: Conv,
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x → max(0, x)`.
    Relu,
    /// `a, b → relu?(a + b)`, same shapes.
    Add {
        /// Fuse `max(0, ·)`.
        relu: bool,
    },
    /// `x [n, h, w, c] → y`; also for i8, whose order is that of the reals.
    MaxPool(Pool),
    /// `x [n, h, w, c] → mean over h, w [n, c]`.
    GlobalAvgPool,
    /// `x [n, …] → [n, rest]`.
    Flatten,
    /// `x [.., c], gamma, beta, mean, variance → y`.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// `x, gamma, beta, running_mean (updated), running_variance (updated) → y, mean, inv_std`.
    BatchNormTrain {
        /// Added to the variance.
        eps: f32,
        /// Weight of the new batch in the running statistics.
        momentum: f32,
    },
    /// `x → x` in another float type.
    Cast {
        /// `F32` or `F16`.
        to: DType,
    },
    /// `logits [n, c], labels u32 [n] → loss [1]`, the mean over rows.
    SoftmaxCrossEntropy,
    /// `x, mask u32 → x ⊙ mask`, one bit per element.
    ApplyMask,

    // Integers.
    /// `x f32, inv_scale [1], zero_point [1] → q i8`.
    Quantize {
        /// Integers allowed.
        range: Range,
    },
    /// `q i8 or i32, scale [c], zero_point [c] → x f32`.
    Dequantize {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
    },
    /// `x i8 [m, k], w i8 [n, k], bias i32 [n], multiplier u32 [n, 2] → y i8 [m, n]`.
    LinearI8 {
        /// How the accumulator becomes an output.
        out: OutI8,
    },
    /// `x i8 [m, k], w i8 [n, k], bias i32 [n] → accumulator i32 [m, n]`.
    LinearI32,
    /// `x i8, w i8, bias i32 [o], multiplier u32 [o, 2] → y i8`; with a residual also `residual i8` of the
    /// shape of `y` and `residual_multiplier i32 [o]`.
    Conv2dI8 {
        /// Stride, padding, dilation, groups.
        conv: Conv,
        /// What padding pads with.
        x_zero_point: i32,
        /// How the accumulator becomes an output.
        out: OutI8,
        /// What is added to the accumulator.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        residual: Option<ResidualI8>,
    },
    /// `a i8, b i8 → y i8`, each with its own parameters; ReLU is in the range of `y`.
    AddI8 {
        /// Parameters of `a`.
        a: QParams,
        /// Parameters of `b`.
        b: QParams,
        /// Parameters of `y`.
        y: QParams,
        /// Rounding rule.
        requant: Requant,
    },
    /// `x i8 [n, h, w, c] → y i8 [n, c]`.
    GlobalAvgPoolI8 {
        /// Zero point of `x`.
        x_zero_point: i32,
        /// `s_x / s_y`; the kernel's multiplier is this over `h · w`.
        scale: f64,
        /// How the sum becomes an output.
        out: OutI8,
    },

    // Quantization-aware training.
    /// `x, scale [c], inv_scale [c], zero_point i32 [c] → y`, quantized and dequantized.
    FakeQuant {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
        /// Multiplies the gradient of the scale (learned step size).
        grad_factor: f32,
    },
    /// `x → 1 / x`, for scales that live on the device during training.
    Reciprocal,

    // Gradients.
    /// `dy [m, n], w [n, k] → dx [m, k]`.
    LinearGradInput,
    /// `dy [m, n], x [m, k] → dw [n, k]`.
    LinearGradWeight,
    /// `dy [.., c] → column sums [c]`.
    BiasGrad,
    /// `dy, w → dx`.
    Conv2dGradInput {
        /// Stride, padding, dilation, groups of the forward convolution.
        conv: Conv,
        /// Shape of `x`.
        x: Shape,
    },
    /// `dy, x → dw`.
    Conv2dGradWeight {
        /// Stride, padding, dilation, groups of the forward convolution.
        conv: Conv,
        /// Shape of `w`.
        w: Shape,
    },
    /// `y, dy → dx`.
    ReluGrad,
    /// `x, dy → dx`.
    MaxPoolGrad {
        /// The window.
        pool: Pool,
        /// `x` is the result of a fused ReLU whose gradient is taken as well.
        relu: bool,
    },
    /// `dy [n, c] → dx`.
    GlobalAvgPoolGrad {
        /// Shape of `x`.
        x: Shape,
    },
    /// `dy → dx`, the inverse of [`Op::Flatten`].
    Reshape {
        /// Shape of the result.
        to: Shape,
    },
    /// `x, dy, gamma, mean, inv_std → dx, dgamma, dbeta`, through the batch statistics.
    BatchNormTrainGrad,
    /// `x, dy, gamma, mean, variance → dx, dgamma, dbeta`, statistics fixed.
    BatchNormGrad {
        /// Added to the variance.
        eps: f32,
    },
    /// `logits, labels → dlogits` of the mean loss.
    SoftmaxCrossEntropyGrad,
    /// `x, inv_scale, zero_point, dy → dx`, straight-through.
    FakeQuantGrad {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
    },
    /// `x, scale, inv_scale, zero_point, dy → dscale [c]`, learned step size.
    FakeQuantScaleGrad {
        /// Axis whose slices have parameters of their own; `None` = one for all.
        axis: Option<usize>,
        /// Integers allowed.
        range: Range,
        /// Multiplies the result.
        grad_factor: f32,
    },

    /// Any kernel, the application's own included: inputs are its read and updated bindings in order,
    /// outputs its written ones. Not stored in model files, has no gradient.
    #[serde(skip)]
    Kernel(Arc<dyn Kernel>),
}

impl Op {
    /// The variant's name, with the kernel's for [`Op::Kernel`].
    pub fn name(&self) -> String {
        if let Self::Kernel(kernel) = self {
            return kernel.name().to_owned();
        }
        let debug = format!("{self:?}");
        debug
            .split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}
