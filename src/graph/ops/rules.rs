//! What every operation has to say of itself. No answer has a default: an operation that owes one does not
//! compile.

use std::fmt;

use super::super::channels::{Kept, Ties};
use super::super::lower::Lowering;
use super::super::tape::Tape;
use super::super::values::{Graph, Node, Type, ValueId};
use super::{Op, Operands};
use crate::base::QParams;
use crate::error::Result;
use crate::kernels::map::Unary;

/// One operation: its shapes, kernels, gradient, quantization and channels.
pub(crate) trait Operation: fmt::Debug {
    /// Shape and type of each result. Layers on int8 make int32 accumulators, whose scales they state;
    /// integers that must be told what they stand for have no quantization yet.
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>>;

    /// Appends the kernels.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()>;

    /// Appends the gradients of the operands, `dy` being that of the first result.
    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()>;

    /// What the integers of its result stand for, if its operands are integers.
    fn quantization(&self) -> QuantRule;

    /// Where its weights are, if it has any.
    fn weights(&self) -> Option<Weights>;

    /// The same layer with a bias, which [`Self::weights`] of it then places; `None` if it is no layer.
    fn with_bias(&self) -> Option<Op>;

    /// The sum of a layer alone, with a bias: without what joins it and the function behind it.
    fn sum(&self) -> Option<Op>;

    /// The operation that training puts in its place, on the same operands: one that normalises with the
    /// statistics of the batch, `momentum` being the weight of a new one in the running statistics.
    fn in_training(&self, momentum: f32) -> Option<Op>;

    /// The function of single elements that it ends in.
    fn activation(&self) -> Option<Unary>;

    /// The operation that also does what `next` does, the only user of this one's result; operands of
    /// `next` besides that result follow this one's.
    fn fuse(&self, next: &Op) -> Option<Op>;

    /// The multiplication and addition of constants along the last axis that it is, which
    /// [`fold_batch_norm`](super::super::fold_batch_norm) may put into the layer before it.
    fn affine(&self, graph: &Graph, node: &Node) -> Result<Option<Affine>>;

    /// Which channels of operands and results can only go together (structured pruning).
    fn channels(&self, node: &Node, ties: &mut Ties<'_>);

    /// The operation on what is left of its operands.
    fn thinned(&self, node: &Node, kept: &Kept<'_>) -> Result<Op>;

    /// Positions of the operands that it updates in place.
    fn updates(&self) -> Vec<usize>;
}

/// What the integers of a result stand for, when an operation works on integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuantRule {
    /// Parameters of its own, found by calibration.
    Own,
    /// An average: it lies in the range of its operand. Parameters of its own are finer; PyTorch keeps those
    /// of the operand.
    Average,
    /// Those of its first operand: it moves or selects.
    Operand,
    /// Known beforehand: the results of a softmax are shares.
    Fixed(QParams),
    /// It has no integer form.
    Float,
}

/// Where a layer's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Position of the operand; its first axis is that of the output channels.
    pub weight: usize,
    /// Position of the bias `[out]`, if there is one.
    pub bias: Option<usize>,
    /// Position of what joins the sum before it is rounded.
    pub residual: Option<usize>,
}

/// `y = x · factor + shift` along the last axis.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub factor: Vec<f64>,
    pub shift: Vec<f64>,
}

impl Affine {
    /// This, and `next` behind it.
    pub fn then(&self, next: &Self) -> Self {
        let factors = self.factor.iter().zip(&next.factor);
        let shifts = self.shift.iter().zip(next.factor.iter().zip(&next.shift));
        Self {
            factor: factors.map(|(a, b)| a * b).collect(),
            shift: shifts
                .map(|(shift, (factor, next))| shift * factor + next)
                .collect(),
        }
    }
}

/// The answers of an operation that exists for training alone, or is the application's own: floats, no
/// weights, nothing to fuse, and all channels stay.
macro_rules! plain_rules {
    () => {
        fn quantization(&self) -> $crate::graph::ops::QuantRule {
            $crate::graph::ops::QuantRule::Float
        }

        plain_rules!(fusion);
        plain_rules!(fixed_channels);
        plain_rules!(updates);
    };
    (fusion) => {
        fn weights(&self) -> Option<$crate::graph::ops::Weights> {
            None
        }

        fn with_bias(&self) -> Option<$crate::graph::Op> {
            None
        }

        fn sum(&self) -> Option<$crate::graph::Op> {
            None
        }

        fn in_training(&self, _momentum: f32) -> Option<$crate::graph::Op> {
            None
        }

        fn activation(&self) -> Option<$crate::kernels::map::Unary> {
            None
        }

        fn fuse(&self, _next: &$crate::graph::Op) -> Option<$crate::graph::Op> {
            None
        }

        fn affine(
            &self,
            _graph: &$crate::graph::Graph,
            _node: &$crate::graph::Node,
        ) -> $crate::Result<Option<$crate::graph::ops::Affine>> {
            Ok(None)
        }
    };
    (fixed_channels) => {
        fn channels(
            &self,
            node: &$crate::graph::Node,
            ties: &mut $crate::graph::channels::Ties<'_>,
        ) {
            ties.pin_all(node);
        }

        plain_rules!(unchanged);
    };
    // Nothing in it depends on the number of channels.
    (unchanged) => {
        fn thinned(
            &self,
            _node: &$crate::graph::Node,
            _kept: &$crate::graph::channels::Kept<'_>,
        ) -> $crate::Result<$crate::graph::Op> {
            Ok(self.clone().into())
        }
    };
    (updates) => {
        fn updates(&self) -> Vec<usize> {
            Vec::new()
        }
    };
    // Nothing to train through it.
    (no_gradient) => {
        fn gradient(
            &self,
            node: &$crate::graph::Node,
            _dy: $crate::graph::ValueId,
            _tape: &mut $crate::graph::tape::Tape<'_>,
        ) -> $crate::Result<()> {
            Err($crate::graph::tape::no_gradient(node))
        }
    };
}
pub(super) use plain_rules;
