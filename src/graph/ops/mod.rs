//! The operations of a network: mathematics, no device. One file a family, one type an operation, and in
//! its rules (`rules.rs`) everything that the rest of the crate knows of it.

mod binary;
mod custom;
mod loss;
mod map;
mod mask;
mod movement;
mod norm;
mod operands;
mod pad;
mod pool;
mod product;
mod product_grad;
mod quantize;
mod reduce;
mod resample;
mod resize;
mod resize_taps;
mod rules;
mod softmax;
mod transpose;

pub use binary::{Binary, SumTo};
pub use custom::Custom;
pub use loss::{Distill, LossGrad, MeanSquare, SoftmaxCrossEntropy};
pub use map::{Map, MapGrad};
pub use mask::ApplyMask;
pub use movement::{Concat, Flatten, Reshape, Slice, SliceGrad};
pub use norm::{BatchNorm, BatchNormGrad, BatchNormTrain, BatchNormTrainGrad};
pub(super) use operands::Operands;
pub use pad::{Pad, PadMode};
pub use pool::{AvgPool, AvgPoolGrad, GlobalAvgPool, GlobalAvgPoolGrad, MaxPool, MaxPoolGrad};
pub use product::{Conv2d, Linear};
pub use product_grad::{
    BiasGrad, Conv2dGradInput, Conv2dGradWeight, LinearGradInput, LinearGradWeight,
};
pub use quantize::{Cast, Dequantize, FakeQuant, FakeQuantGrad, FakeQuantScaleGrad, Quantize};
pub use reduce::{ArgMax, Reduce, ReduceKind};
pub use resample::Resample;
pub use resize::{Coordinates, NearestRounding, Resize, ResizeMode};
pub(crate) use rules::{Affine, Operation};
pub use rules::{QuantRule, Weights};
pub use softmax::{LogSoftmax, Softmax, SoftmaxGrad};
pub use transpose::Transpose;

use serde::{Deserialize, Serialize};

use crate::kernels::Conv;
use crate::kernels::map::Unary;

/// The enumeration of all operations, from their types.
macro_rules! operations {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        /// What a node computes. Images are `[n, h, w, c]`, linear weights `[out, in]`, convolution weights
        /// `[out, kh, kw, in / groups]`. Operands are listed in order, results after the arrow.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Op {
            $(
                #[allow(missing_docs, reason = "the type says it")]
                $(#[$attribute])*
                $name($name),
            )*
        }

        impl Op {
            /// Everything that is known of the operation.
            pub(crate) fn rules(&self) -> &dyn Operation {
                match self {
                    $(Self::$name(op) => op,)*
                }
            }

            fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }

        $(
            impl From<$name> for Op {
                fn from(op: $name) -> Self {
                    Self::$name(op)
                }
            }
        )*
    };
}

operations! {
    // Layers.
    Linear, Conv2d, Map, Binary, MaxPool, AvgPool, GlobalAvgPool, Softmax, Flatten, Reshape, Slice, Pad, Concat, BatchNorm,
    Cast, Transpose, Reduce, ArgMax, LogSoftmax, Resize,
    // Integers and back.
    Quantize, Dequantize,
    // Training.
    BatchNormTrain, SoftmaxCrossEntropy, MeanSquare, Distill, ApplyMask, FakeQuant,
    // Gradients.
    LinearGradInput, LinearGradWeight, BiasGrad, Conv2dGradInput, Conv2dGradWeight, MapGrad, SumTo, SliceGrad, MaxPoolGrad, AvgPoolGrad, SoftmaxGrad, Resample,
    GlobalAvgPoolGrad, BatchNormTrainGrad, BatchNormGrad, LossGrad, FakeQuantGrad,
    FakeQuantScaleGrad,
    // The application's own.
    #[serde(skip)]
    Custom,
}

impl Op {
    /// The operation's name, with the kernel's for [`Custom`].
    pub fn name(&self) -> String {
        match self {
            Self::Custom(custom) => custom.0.name().to_owned(),
            other => other.type_name().to_owned(),
        }
    }

    /// What the integers of its result stand for, if its operands are integers.
    pub fn quantization(&self) -> QuantRule {
        self.rules().quantization()
    }

    /// True for what makes shares of scores: a softmax, and of a `single` score a sigmoid.
    pub(crate) fn makes_shares(&self, single: bool) -> bool {
        let sigmoid = matches!(self, Self::Map(map) if map.f == Unary::Sigmoid);
        matches!(self, Self::Softmax(_)) || (single && sigmoid)
    }

    /// True for what writes the same numbers in another type.
    pub(crate) fn only_changes_type(&self) -> bool {
        matches!(
            self,
            Self::Cast(_) | Self::Quantize(_) | Self::Dequantize(_)
        )
    }

    /// The geometry of a convolution.
    pub fn conv(&self) -> Option<Conv> {
        match self {
            Self::Conv2d(op) => Some(op.conv),
            _ => None,
        }
    }

    /// Where its weights are, if it has any.
    pub fn weights(&self) -> Option<Weights> {
        self.rules().weights()
    }
}
