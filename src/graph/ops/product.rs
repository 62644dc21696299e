//! Layers with weights: linear layers and convolutions, in f32, f16 (sums in f32) and int8 (sums in int32).

use serde::{Deserialize, Serialize};

use super::super::channels::{Kept, Ties};
use super::super::lower::Lowering;
use super::super::lower_i8::IntegerProduct;
use super::super::tape::Tape;
use super::super::values::{Graph, Node, Type, ValueId};
use super::Op;
use super::binary::Binary;
use super::map::through;
use super::operands::{Operands, REALS};
use super::product_grad::{Conv2dGradInput, Conv2dGradWeight, LinearGradInput, LinearGradWeight};
use super::rules::{Affine, Operation, QuantRule, Weights, plain_rules};
use crate::base::{DType, Quantization};
use crate::error::Result;
use crate::kernels::Conv;
use crate::kernels::map::Unary;
use crate::kernels::product::{self, Conv2dI8, Float, Matmul, MatmulI8};

/// `x [m, k], w [n, k], bias [n]? → y [m, n]`: `act(x · wᵀ + bias)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// What follows the sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Unary>,
}

/// `x [n, h, w, c], w [o, kh, kw, c / groups], bias [o]?, residual? → y [n, oh, ow, o]`:
/// `act(x ∗ w + bias + residual)`, the residual having the shape of `y`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Strides, padding, dilations, groups.
    pub conv: Conv,
    /// What follows the sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Unary>,
    /// The last operand is a residual.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub residual: bool,
    /// There is a bias.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

impl Conv2d {
    /// A convolution with a bias and nothing behind it.
    pub fn new(conv: Conv) -> Self {
        Self {
            conv,
            act: None,
            residual: false,
            bias: true,
        }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self {
            bias: false,
            ..self
        }
    }

    /// The same with a function behind it.
    #[must_use]
    pub fn with(self, act: Unary) -> Self {
        Self {
            act: Some(act),
            ..self
        }
    }

    fn operands(&self) -> usize {
        2 + usize::from(self.bias) + usize::from(self.residual)
    }
}

/// The type of a sum of products: that of floats, or an accumulator in units of `s_x · s_w`.
fn sum_type(x: &Operands<'_>, shape: &[usize]) -> Result<Vec<Type>> {
    x.expect_dtype(0, "x", REALS)?;
    x.expect_dtype(1, "w", &[x.dtype(0)])?;
    if x.dtype(0) != DType::I8 {
        return Ok(vec![Type::new(shape, x.dtype(0))]);
    }
    let q = x.qparams(0, "x")?;
    let weights = x.quant(1).filter(|w| w.zero_points.iter().all(|&z| z == 0));
    let weights = weights.filter(|w| matches!(w.axis, None | Some(0)));
    let weights = weights.ok_or_else(|| {
        let problem =
            "int8 weights need scales, one for all or one per output channel, and zero points of 0";
        crate::error::Error::invalid(x.at(), problem)
    })?;
    if weights.axis.is_some() && weights.scales.len() != x.shape(1)[0] {
        let expected = format!(
            "{} output channels, one for each scale",
            weights.scales.len()
        );
        return Err(x.wrong_shape(1, "w", &expected));
    }
    let unit = |s: &f32| (f64::from(q.scale) * f64::from(*s)) as f32;
    let scales: Vec<f32> = weights.scales.iter().map(unit).collect();
    let all = crate::base::Range {
        qmin: i32::MIN,
        qmax: i32::MAX,
    };
    let quant = Quantization {
        axis: weights.axis.map(|_| shape.len() - 1),
        zero_points: vec![0; scales.len()],
        scales,
        range: all,
        binary: false,
    };
    Ok(vec![Type {
        quant: Some(quant),
        ..Type::new(shape, DType::I32)
    }])
}

/// Checks a bias of `n` elements: f32, or int32 in units of the accumulator.
fn check_bias(x: &Operands<'_>, i: usize, n: usize) -> Result<()> {
    let dtype = if x.dtype(0) == DType::I8 {
        DType::I32
    } else {
        DType::F32
    };
    x.expect_dtype(i, "bias", &[dtype])?;
    x.expect_shape(i, "bias", &[n])
}

impl Operation for Linear {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        if x.len() != 2 {
            x.count(3)?;
        }
        let ([m, k], [n, wk]) = (x.matrix(0, "x")?, x.matrix(1, "w")?);
        if wk != k {
            return Err(x.wrong_shape(1, "w", &format!("[n, {k}] (k of x)")));
        }
        if x.len() == 3 {
            check_bias(x, 2, n)?;
        }
        sum_type(x, &[m, n])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let [m, k] = to.matrix(node.inputs[0])?;
        let n = to.shape(node.inputs[1])[0];
        let (x, w) = (to.value(node.inputs[0])?, to.value(node.inputs[1])?);
        if to.dtype(node.inputs[0]) == DType::I8 {
            let layer = IntegerProduct::new(to, node, self.act)?;
            let (y, table) = through(to, node)?;
            let out = layer.out;
            let mut args = vec![x, w, layer.bias];
            args.extend(out.map(|_| layer.multiplier));
            args.push(y);
            return to.launch_through(node, MatmulI8 { m, n, k, out }, args, table);
        }
        let y = to.value(node.outputs[0])?;
        let bias = to.bias(node, node.inputs.get(2).copied(), n)?;
        let kernel = Matmul {
            m,
            n,
            k,
            float: float_of(to, node),
            act: self.act,
        };
        to.launch(node, kernel, vec![x, w, bias, y])
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dy = tape.through(node, self.act, dy)?;
        tape.add(node, x, LinearGradInput, &[dy, w])?;
        tape.add(node, w, LinearGradWeight, &[dy, x])?;
        tape.bias(node, (node.inputs.len() == 3).then_some(2), dy)
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Own
    }

    fn weights(&self) -> Option<Weights> {
        Some(Weights {
            weight: 1,
            bias: Some(2),
            residual: None,
        })
    }

    fn with_bias(&self) -> Option<Op> {
        Some((*self).into())
    }

    fn sum(&self) -> Option<Op> {
        Some(Self { act: None }.into())
    }

    fn in_training(&self, _momentum: f32) -> Option<Op> {
        None
    }

    fn activation(&self) -> Option<Unary> {
        self.act
    }

    fn fuse(&self, next: &Op) -> Option<Op> {
        match (self.act, next) {
            (None, Op::Map(map)) => Some(Self { act: Some(map.f) }.into()),
            (None | Some(_), _) => None,
        }
    }

    fn affine(&self, _graph: &Graph, _node: &Node) -> Result<Option<Affine>> {
        Ok(None)
    }

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, w, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        ties.tie((x, 1), (w, 1));
        ties.tie((w, 0), (y, 1));
        if let Some(&bias) = node.inputs.get(2) {
            ties.tie((bias, 0), (y, 1));
        }
    }

    plain_rules!(unchanged);
    plain_rules!(updates);
}

impl Operation for Conv2d {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        x.count(self.operands())?;
        let (image, w) = (x.image(0, "x")?, x.image(1, "w")?);
        if self.bias {
            check_bias(x, 2, w[0])?;
        }
        let y = self.conv.output_shape(image, w)?;
        if self.residual {
            let last = self.operands() - 1;
            x.expect_dtype(last, "residual", &[x.dtype(0)])?;
            x.expect_shape(last, "residual", &y)?;
        }
        sum_type(x, &y)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (x, w) = (to.image(node.inputs[0])?, to.image(node.inputs[1])?);
        let conv = self.conv;
        let mut args = vec![to.value(node.inputs[0])?, to.value(node.inputs[1])?];
        let residual = match self.residual {
            true => node.inputs.last().copied(),
            false => None,
        };
        if to.dtype(node.inputs[0]) == DType::I8 {
            let layer = IntegerProduct::new(to, node, self.act)?;
            let (y, table) = through(to, node)?;
            let x_zero_point = layer.x.zero_point;
            let out = layer.out;
            args.push(layer.bias);
            args.extend(out.map(|_| layer.multiplier));
            args.push(y);
            if let (Some(id), Some((_, multiplier))) = (residual, &layer.residual) {
                args.extend([to.value(id)?, *multiplier]);
            }
            let residual = layer.residual.map(|(residual, _)| residual);
            return to.launch_through(
                node,
                Conv2dI8 {
                    x,
                    w,
                    conv,
                    x_zero_point,
                    out,
                    residual,
                },
                args,
                table,
            );
        }
        let y = to.value(node.outputs[0])?;
        let bias = self.bias.then(|| node.inputs[2]);
        args.extend([to.bias(node, bias, w[0])?, y]);
        if let Some(id) = residual {
            args.push(to.value(id)?);
        }
        let kernel = product::Conv2d {
            x,
            w,
            conv,
            float: float_of(to, node),
            act: self.act,
            residual: self.residual,
        };
        to.launch(node, kernel, args)
    }

    fn gradient(&self, node: &Node, dy: ValueId, tape: &mut Tape<'_>) -> Result<()> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let dy = tape.through(node, self.act, dy)?;
        let conv = self.conv;
        let to_input = Conv2dGradInput {
            conv,
            x: tape.shape(x),
        };
        tape.add(node, x, to_input, &[dy, w])?;
        let to_weight = Conv2dGradWeight {
            conv,
            w: tape.shape(w),
        };
        tape.add(node, w, to_weight, &[dy, x])?;
        tape.bias(node, self.bias.then_some(2), dy)?;
        match node.inputs.last() {
            Some(&residual) if self.residual => tape.accumulate(node, residual, dy),
            _ => Ok(()),
        }
    }

    fn quantization(&self) -> QuantRule {
        QuantRule::Own
    }

    fn weights(&self) -> Option<Weights> {
        Some(Weights {
            weight: 1,
            bias: self.bias.then_some(2),
            residual: self.residual.then(|| self.operands() - 1),
        })
    }

    fn with_bias(&self) -> Option<Op> {
        let with = Self {
            bias: true,
            ..*self
        };
        Some(with.into())
    }

    fn sum(&self) -> Option<Op> {
        let sum = Self {
            bias: true,
            act: None,
            residual: false,
            ..*self
        };
        Some(sum.into())
    }

    fn in_training(&self, _momentum: f32) -> Option<Op> {
        None
    }

    fn activation(&self) -> Option<Unary> {
        self.act
    }

    fn fuse(&self, next: &Op) -> Option<Op> {
        match (self.act, next) {
            (None, Op::Map(map)) => Some(self.with(map.f).into()),
            (None, Op::Binary(add)) if !self.residual && add.op == Binary::ADD.op => {
                let (act, residual) = (add.act, true);
                Some(
                    Self {
                        act,
                        residual,
                        ..*self
                    }
                    .into(),
                )
            }
            (None | Some(_), _) => None,
        }
    }

    fn affine(&self, _graph: &Graph, _node: &Node) -> Result<Option<Affine>> {
        Ok(None)
    }

    fn channels(&self, node: &Node, ties: &mut Ties<'_>) {
        let (x, w, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
        let (channels, group) = (ties.shape(x)[3], ties.shape(w)[3]);
        let out = ties.shape(w)[0];
        ties.tie((w, 0), (y, 3));
        for &id in &node.inputs[2..] {
            // The bias, and the residual.
            let axis = ties.last(id);
            ties.tie(axis, (y, 3));
        }
        if group == 1 && self.conv.groups > 1 && self.conv.groups == channels {
            // Depthwise: a channel goes with all that is made of it.
            let each = out / channels;
            ties.tie_by((y, 3), (x, 3), |o| Some(o / each));
            return;
        }
        // Every group loses the same slices, and stays as wide as its neighbours.
        ties.tie_by((x, 3), (w, 3), |c| Some(c % group));
        let each = out / self.conv.groups;
        if self.conv.groups > 1 {
            for o in 0..out {
                ties.tie_one(((y, 3), o), ((y, 3), o % each));
            }
        }
    }

    fn thinned(&self, node: &Node, kept: &Kept<'_>) -> Result<Op> {
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let groups = kept.count((x, 3)) / kept.count((w, 3)).max(1);
        let conv = Conv {
            groups,
            ..self.conv
        };
        Ok(Self { conv, ..*self }.into())
    }

    plain_rules!(updates);
}

/// What the first operand of a product of floats is multiplied as.
fn float_of(to: &Lowering<'_>, node: &Node) -> Float {
    match to.dtype(node.inputs[0]) {
        DType::F16 if to.native_f16 => Float::NativeF16,
        DType::F16 => Float::F16,
        DType::F32 | DType::I8 | DType::I32 | DType::U32 => Float::F32,
    }
}
