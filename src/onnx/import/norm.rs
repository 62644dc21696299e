//! Normalisations: batch norms stay what they are, the others are sums and products of their own.

use super::layers::spatial;
use super::layout::channels_last;
use super::{Importer, Live};
use crate::base::{DType, Tensor};
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{
    AvgPool, BatchNorm, Binary, GlobalAvgPool, LogSoftmax, Map, Reduce, ReduceKind, Softmax,
};
use crate::kernels::Pool;
use crate::kernels::binary::BinaryOp;
use crate::kernels::map::Unary;
use crate::onnx::array::Array;
use crate::onnx::attributes::Reading;

const SUB: Binary = Binary {
    op: BinaryOp::Sub,
    act: None,
};

impl Importer<'_> {
    pub(super) fn norm(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        Ok(Some(match node.kind() {
            "BatchNormalization" => self.batch_norm(node)?,
            "InstanceNormalization" => self.instance_norm(node)?,
            "GroupNormalization" => self.group_norm(node)?,
            "LayerNormalization" => self.layer_norm(node)?,
            "LRN" => self.local_response(node)?,
            "Softmax" => self.softmax(node, false)?,
            "LogSoftmax" => self.softmax(node, true)?,
            _ => return Ok(None),
        }))
    }

    fn batch_norm(&mut self, node: &Reading<'_>) -> Result<Live> {
        if node.flag("training_mode", false) || node.opset < 7 && !node.flag("is_test", false) {
            return Err(node.wrong("it normalises by the batch; export the network after `eval()`"));
        }
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let channels = shape.get(1).copied().unwrap_or(1);
        let eps = node.float("epsilon", 1e-5)?;
        if let Some(y) = self.norm_before_spread(node, &x, eps)? {
            return Ok(y);
        }
        let mut inputs = vec![self.ordered(node.name, &x, &channels_last(shape.len()))?];
        if self.dtype(&x) == DType::F16 {
            // Statistics are f32, and so is what is made with them.
            let to = DType::F32;
            let name = self.fresh(&format!("{}/f32", node.name));
            inputs[0] = self
                .graph
                .push(&name, crate::graph::ops::Cast { to }, &inputs)?;
        }
        for i in 1..5 {
            let array = self.required(node, i)?;
            if array.len() != channels {
                let problem = format!("operand {i} has {:?} for {channels} channels", array.shape);
                return Err(node.wrong(problem));
            }
            let name = self.operand_name(node, i);
            let make = || Tensor::from_f32(&[channels], &array.to_f32());
            inputs.push(self.param(&name, "channels", make)?);
        }
        let y = self.push(
            node.name,
            BatchNorm { eps },
            &inputs,
            channels_last(shape.len()),
        )?;
        match self.dtype(&x) {
            DType::F16 => {
                let to = DType::F16;
                let name = self.fresh(&format!("{}/f16", node.name));
                self.push(&name, crate::graph::ops::Cast { to }, &[y.id], y.order)
            }
            _ => Ok(y),
        }
    }

    fn step(
        &mut self,
        node: &Reading<'_>,
        what: &str,
        op: impl Into<crate::graph::Op>,
        inputs: &[ValueId],
    ) -> Result<ValueId> {
        let name = self.fresh(&format!("{}/{what}", node.name));
        self.graph.push(&name, op, inputs)
    }

    /// `(x − mean) / √(variance + eps)`, `mean_of` giving the mean in a shape that broadcasts to `x`.
    fn normalised(
        &mut self,
        node: &Reading<'_>,
        x: ValueId,
        eps: f32,
        mut mean_of: impl FnMut(&mut Self, ValueId) -> Result<ValueId>,
    ) -> Result<ValueId> {
        let mean = mean_of(self, x)?;
        let centred = self.step(node, "centred", SUB, &[x, mean])?;
        let square = self.step(node, "square", Binary::MUL, &[centred, centred])?;
        let variance = mean_of(self, square)?;
        let f = Unary::InvStd { eps };
        let inverse = self.step(node, "inverse deviation", Map { f }, &[variance])?;
        self.step(node, "normal", Binary::MUL, &[centred, inverse])
    }

    /// `x · factor + shift`, both along the last axis as stored; the last step is the node.
    fn scaled(
        &mut self,
        node: &Reading<'_>,
        x: ValueId,
        [factor, shift]: [Option<(Vec<f32>, String)>; 2],
    ) -> Result<ValueId> {
        let dtype = self.graph.value(x).dtype;
        let param = |this: &mut Self, given: (Vec<f32>, String)| {
            let (values, name) = given;
            let array = Array::float(&[values.len()], values);
            this.param(&name, &format!("last axis {dtype}"), || array.tensor(dtype))
        };
        let factor = factor.map(|f| param(self, f)).transpose()?;
        let shift = shift.map(|s| param(self, s)).transpose()?;
        match (factor, shift) {
            (Some(factor), Some(shift)) => {
                let x = self.step(node, "scaled", Binary::MUL, &[x, factor])?;
                self.graph.push(node.name, Binary::ADD, &[x, shift])
            }
            (Some(factor), None) => self.graph.push(node.name, Binary::MUL, &[x, factor]),
            (None, Some(shift)) => self.graph.push(node.name, Binary::ADD, &[x, shift]),
            (None, None) => Ok(x),
        }
    }

    /// Operand `i` as one number for each of `count` slices.
    fn per_slice(
        &mut self,
        node: &Reading<'_>,
        i: usize,
        count: usize,
    ) -> Result<Option<(Vec<f32>, String)>> {
        let Some(array) = self.constant(node, i)? else {
            return Ok(None);
        };
        match array.len() == count {
            true => Ok(Some((array.to_f32(), self.operand_name(node, i)))),
            false => Err(node.wrong(format!("operand {i} has {:?}, not {count}", array.shape))),
        }
    }

    fn instance_norm(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        spatial(node, &shape)?;
        let (n, channels) = (shape[0], shape[1]);
        let image = self.image(node, &x)?;
        let eps = node.float("epsilon", 1e-5)?;
        let y = self.normalised(node, image, eps, |this, x| {
            let mean = this.step(node, "mean", GlobalAvgPool, &[x])?;
            this.reshape_stored(node.name, mean, &[n, 1, 1, channels], true)
        })?;
        let factor = self.per_slice(node, 1, channels)?;
        let shift = self.per_slice(node, 2, channels)?;
        let y = self.scaled(node, y, [factor, shift])?;
        self.off_image(node, y, shape.len())
    }

    fn group_norm(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let [h, w] = spatial(node, &shape)?;
        let (n, channels) = (shape[0], shape[1]);
        let groups = usize::try_from(node.int("num_groups", 0)).unwrap_or(0);
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(node.wrong(format!("{channels} channels in {groups} groups")));
        }
        let each = channels / groups;
        let image = self.image(node, &x)?;
        let apart = [n, h * w, groups, each];
        let x = self.reshape_stored(node.name, image, &apart, true)?;
        let eps = node.float("epsilon", 1e-5)?;
        let y = self.normalised(node, x, eps, |this, x| this.mean(node, x, &[3, 1]))?;
        let y = self.reshape_stored(node.name, y, &[n, h, w, channels], true)?;
        // Before opset 21 there was one factor for each group.
        let mut given = [None, None];
        for (i, slot) in given.iter_mut().enumerate() {
            let array = self.required(node, i + 1)?;
            let all = array.to_f32();
            let values: Vec<f32> = match all.len() {
                len if len == channels => all,
                len if len == groups => (0..channels).map(|c| all[c / each]).collect(),
                _ => return Err(node.wrong(format!("operand {} has {:?}", i + 1, array.shape))),
            };
            *slot = Some((values, self.operand_name(node, i + 1)));
        }
        let y = self.scaled(node, y, given)?;
        self.off_image(node, y, shape.len())
    }

    /// The mean along these axes, as they are stored; they stay, with one element.
    fn mean(&mut self, node: &Reading<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        let mut mean = x;
        for &axis in axes {
            let kind = ReduceKind::Mean;
            mean = self.step(node, "mean", Reduce { kind, axis }, &[mean])?;
        }
        Ok(mean)
    }

    fn layer_norm(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let rank = shape.len();
        let axis = node.axis(node.int("axis", -1), rank)?;
        if axis == 0 {
            return Err(node.wrong("it normalises over the batch"));
        }
        // What is normalised becomes the last axis.
        let inner: usize = shape[axis..].iter().product();
        let merged: Vec<usize> = shape[..axis].iter().copied().chain([inner]).collect();
        let flat = self.reshaped(node.name, &x, &merged)?;
        let plain: Vec<usize> = (0..merged.len()).collect();
        // Channels stay last where they are what is normalised.
        let last = flat.order.last() == Some(&(merged.len() - 1)) && flat.flat.is_none();
        let order = if last { flat.order.clone() } else { plain };
        let x = self.ordered(node.name, &flat, &order)?;
        let eps = node.float("epsilon", 1e-5)?;
        let at = merged.len() - 1;
        let y = self.normalised(node, x, eps, |this, x| this.mean(node, x, &[at]))?;
        let factor = self.per_slice(node, 1, inner)?;
        let shift = self.per_slice(node, 2, inner)?;
        let id = self.scaled(node, y, [factor, shift])?;
        let y = Live {
            id,
            order,
            flat: None,
        };
        self.reshaped(node.name, &y, &shape)
    }

    /// `x · (bias + alpha / size · Σ x²)^−beta` over neighbouring channels: their mean is that of a window.
    fn local_response(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let [h, w] = spatial(node, &shape)?;
        let size = usize::try_from(node.int("size", 0)).unwrap_or(0);
        let (n, c) = (shape[0], shape[1]);
        if size == 0 || size > c {
            return Err(node.wrong(format!("a window of {size} of {c} channels")));
        }
        let image = self.image(node, &x)?;
        let square = self.step(node, "square", Binary::MUL, &[image, image])?;
        let rows = self.reshape_stored(node.name, square, &[n, h * w, c, 1], true)?;
        let before = (size - 1) / 2;
        let pool = Pool {
            kernel: [1, size],
            padding: [0, before, 0, size - 1 - before],
            count_include_pad: true,
            ..Pool::square(1, 1, 0)
        };
        let mean = self.step(node, "mean", AvgPool { pool }, &[rows])?;
        let mean = self.reshape_stored(node.name, mean, &[n, h, w, c], true)?;
        let f = Unary::Affine {
            factor: node.float("alpha", 1e-4)?,
            offset: node.float("bias", 1.0)?,
        };
        let base = self.step(node, "base", Map { f }, &[mean])?;
        let f = Unary::Pow {
            exponent: -node.float("beta", 0.75)?,
        };
        let factor = self.step(node, "factor", Map { f }, &[base])?;
        let y = self.graph.push(node.name, Binary::MUL, &[image, factor])?;
        self.off_image(node, y, shape.len())
    }

    /// Along one axis; before opset 13 along all axes from one on.
    fn softmax(&mut self, node: &Reading<'_>, log: bool) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let rank = shape.len();
        let older = node.opset < 13;
        let axis = node.axis(node.int("axis", if older { 1 } else { -1 }), rank)?;
        let several = older && shape[axis + 1..].iter().any(|&size| size > 1);
        if several {
            let outer: usize = shape[..axis].iter().product();
            let inner: usize = shape[axis..].iter().product();
            let x = self.reshaped(node.name, &x, &[outer, inner])?;
            let y = self.softmax_last(node, &x, 1, log)?;
            return self.reshaped(node.name, &y, &shape);
        }
        self.softmax_last(node, &x, axis, log)
    }

    fn softmax_last(
        &mut self,
        node: &Reading<'_>,
        x: &Live,
        axis: usize,
        log: bool,
    ) -> Result<Live> {
        let x = self.settled(node.name, x)?;
        let mut order = x.order.clone();
        order.retain(|&a| a != axis);
        order.push(axis);
        let id = self.ordered(node.name, &x, &order)?;
        match log {
            true => self.push(node.name, LogSoftmax, &[id], order),
            false => self.push(node.name, Softmax, &[id], order),
        }
    }
}
