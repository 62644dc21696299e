//! Operations on integers, found in networks that spell them as floats between `Quantize` and `Dequantize`:
//! the form in which ONNX and PyTorch's exporter write int8.

use std::collections::{HashMap, HashSet};

use super::super::ops::{Dequantize, Map, Op, PadMode, QuantRule};
use super::super::rewriter::Rewriter;
use super::super::values::{Graph, Node, ValueId};
use super::{drop_dead, only_user};
use crate::base::{DType, Quantization, Tensor};
use crate::error::Result;
use crate::kernels::map::Unary;

/// How far the unit of a stored bias may be from `s_x · s_w`, relative, for its integers to be taken as they are.
const SAME_UNIT: f64 = 1e-4;
/// Operations that only move elements, between a layer and what quantizes its result, at most.
const FAR: usize = 16;

/// Puts operations on integers in the place of those that read what was dequantized and whose result is
/// quantized. Returns the names of layers with weights that still compute with floats.
///
/// # Errors
/// None for a well-formed graph.
pub fn integer_operations(graph: &Graph) -> Result<(Graph, Vec<String>)> {
    let mut found = Found {
        rewriter: Rewriter::new(graph),
        integers: HashMap::new(),
        reals: HashMap::new(),
    };
    for id in graph.inputs() {
        found.rewriter.get(id)?;
    }
    let mut done: HashSet<ValueId> = HashSet::new();
    for node in graph.nodes() {
        if node.outputs.iter().any(|y| done.contains(y)) {
            continue;
        }
        let taken = match &node.op {
            Op::Dequantize(_) => found.dequantize(node)?,
            Op::Quantize(_) => found.quantize(node)?,
            _ if node.op.weights().is_some() => found.layer(node, &mut done)?,
            _ => found.other(node)?,
        };
        if !taken {
            found.float(node)?;
        }
    }
    for &id in graph.outputs() {
        found.real(id)?;
    }
    let graph = drop_dead(&found.rewriter.finish()?)?;
    let mut floats = Vec::new();
    for node in graph.nodes() {
        let at = node.op.weights();
        let integer = graph.value(node.inputs[0]).dtype == DType::I8;
        if at.is_some() && !integer {
            floats.push(node.name.clone());
        }
    }
    Ok((graph, floats))
}

struct Found<'g> {
    rewriter: Rewriter<'g>,
    /// Float values of the old graph that stand for integers of the new one.
    integers: HashMap<ValueId, ValueId>,
    /// Integers of the new graph as reals.
    reals: HashMap<ValueId, ValueId>,
}

impl<'g> Found<'g> {
    fn old(&self) -> &'g Graph {
        self.rewriter.old()
    }

    /// What stands for a value of the old graph, as it was there.
    fn real(&mut self, id: ValueId) -> Result<ValueId> {
        let Some(&integers) = self.integers.get(&id) else {
            if let Some(node) = self
                .stored_reals(id)
                .filter(|_| !self.rewriter.is_mapped(id))
            {
                self.rewriter.copy(node)?;
            }
            return self.rewriter.get(id);
        };
        if let Some(&real) = self.reals.get(&integers) {
            self.rewriter.map(id, real);
            return Ok(real);
        }
        let name = format!("dequantize {}", self.rewriter.graph.value(integers).name);
        let real = self.rewriter.graph.push(&name, Dequantize, &[integers])?;
        self.reals.insert(integers, real);
        self.rewriter.map(id, real);
        Ok(real)
    }

    fn float(&mut self, node: &Node) -> Result<()> {
        let inputs = node.inputs.iter().map(|&id| self.real(id));
        let inputs: Vec<ValueId> = inputs.collect::<Result<_>>()?;
        self.rewriter.replace(node, node.op.clone(), &inputs)
    }

    fn dequantize(&mut self, node: &Node) -> Result<bool> {
        let graph = self.old();
        let x = node.inputs[0];
        if graph.as_param(x).is_some() {
            // Most layers take the integers; the reals come when somebody asks.
            return Ok(true);
        }
        if graph.value(x).dtype != DType::I8 {
            return Ok(false);
        }
        let integers = self.rewriter.get(x)?;
        self.integers.insert(node.outputs[0], integers);
        Ok(true)
    }

    /// The node that makes reals of stored integers.
    fn stored_reals(&self, id: ValueId) -> Option<&'g Node> {
        let graph = self.old();
        let node = graph.producer(id)?;
        let stored = graph.as_param(*node.inputs.first()?).is_some();
        (stored && matches!(node.op, Op::Dequantize(_))).then_some(node)
    }

    fn quantize(&mut self, node: &Node) -> Result<bool> {
        let integers = self.integers.get(&node.inputs[0]).copied();
        let Some(integers) = integers.filter(|&id| self.is_int8(id)) else {
            return Ok(false);
        };
        let wanted = self.old().value(node.outputs[0]).quant.clone();
        let graph = &mut self.rewriter.graph;
        if graph.value(integers).quant == wanted {
            self.rewriter.map(node.outputs[0], integers);
            return Ok(true);
        }
        // Other steps for the same reals.
        let Some(wanted) = wanted else {
            return Ok(false);
        };
        let same = Map {
            f: Unary::Scale { factor: 1.0 },
        };
        let y = graph.push_quantized(&node.name, same, &[integers], wanted)?;
        self.rewriter.map(node.outputs[0], y);
        Ok(true)
    }

    /// What all readers of a value quantize it to, also behind operations that only move elements.
    fn wanted(&self, y: ValueId) -> Option<Quantization> {
        self.wanted_within(y, FAR)
    }

    fn wanted_within(&self, y: ValueId, far: usize) -> Option<Quantization> {
        let graph = self.old();
        if far == 0 || graph.outputs().contains(&y) {
            return None;
        }
        let mut common = None;
        for user in graph.users(y) {
            let own = match &user.op {
                Op::Quantize(_) => graph.value(user.outputs[0]).quant.clone(),
                op if op.quantization() == QuantRule::Operand => {
                    self.wanted_within(user.outputs[0], far - 1)
                }
                _ => None,
            }?;
            if common.get_or_insert_with(|| own.clone()) != &own {
                return None;
            }
        }
        common
    }

    /// Whether the result of an operation on integers with these steps stands for the same reals.
    fn moves_only(&self, node: &Node, integers: ValueId) -> bool {
        let quant = self.rewriter.graph.value(integers).qparams();
        match (&node.op, quant) {
            (Op::Pad(pad), Some(quant)) if pad.mode == PadMode::Constant => {
                quant.fake_quantize(pad.value) == pad.value
            }
            _ => true,
        }
    }

    fn is_int8(&self, id: ValueId) -> bool {
        self.rewriter.graph.value(id).dtype == DType::I8
    }

    /// An operation without weights.
    fn other(&mut self, node: &Node) -> Result<bool> {
        let graph = self.old();
        let mut inputs = Vec::new();
        for &id in &node.inputs {
            let constant = stored_integers(graph, id, DType::I8);
            match (self.integers.get(&id), constant) {
                (Some(&integers), _) if self.is_int8(integers) => inputs.push(integers),
                (None, Some(constant)) if graph.value(constant).qparams().is_some() => {
                    inputs.push(self.rewriter.get(constant)?);
                }
                (Some(_) | None, _) => return Ok(false),
            }
        }
        let &[y] = node.outputs.as_slice() else {
            return Ok(false);
        };
        let quant = match node.op.quantization() {
            QuantRule::Float => return Ok(false),
            QuantRule::Operand => {
                let quant = self.rewriter.graph.value(inputs[0]).quant.clone();
                if !self.moves_only(node, inputs[0]) && self.wanted(y) != quant {
                    return Ok(false);
                }
                None
            }
            QuantRule::Own | QuantRule::Average => match self.wanted(y) {
                Some(quant) => Some(quant),
                None => return Ok(false),
            },
            QuantRule::Fixed(fixed) => match self.wanted(y) {
                // A softmax has no other steps than these.
                Some(quant) if node.op.rules().activation().is_some() => Some(quant),
                Some(quant) if quant == Quantization::per_tensor(fixed) => Some(quant),
                _ => return Ok(false),
            },
        };
        if graph.value(y).dtype != DType::F32 {
            return Ok(false);
        }
        let op = node.op.clone();
        let made = self
            .rewriter
            .graph
            .push_as(&node.name, op, &inputs, quant)?;
        self.integers.insert(y, made[0]);
        Ok(true)
    }

    /// A layer with weights, and a clamp behind it.
    fn layer(&mut self, node: &Node, done: &mut HashSet<ValueId>) -> Result<bool> {
        let graph = self.old();
        let Some(at) = node.op.weights().filter(|at| at.residual.is_none()) else {
            return Ok(false);
        };
        let x = self.integers.get(&node.inputs[0]).copied();
        let Some(x) = x.filter(|&id| self.is_int8(id)) else {
            return Ok(false);
        };
        let Some(weight) = stored_integers(graph, node.inputs[at.weight], DType::I8) else {
            return Ok(false);
        };
        let weights = graph.value(weight).quant.as_ref();
        let x_quant = self.rewriter.graph.value(x).qparams();
        let (Some(weights), Some(x_quant)) = (weights, x_quant) else {
            return Ok(false);
        };
        let Some(op) = node.op.rules().with_bias() else {
            return Ok(false);
        };
        let channels = graph.value(weight).shape[0];
        let unit = |c: usize| f64::from(x_quant.scale) * f64::from(weights.channel(c).scale);
        let bias = match at.bias.and_then(|i| node.inputs.get(i)).copied() {
            None => vec![0.0; channels],
            Some(id) => match in_units(graph, id, &unit) {
                Some(bias) => bias,
                None => return Ok(false),
            },
        };
        if bias
            .iter()
            .any(|b| b.is_nan() || b.abs() > f64::from(i32::MAX))
        {
            return Ok(false);
        }
        let bias: Vec<i32> = bias.iter().map(|b| b.round_ties_even() as i32).collect();
        // What joins the sum before it is rounded: integers that are added, and a clamp.
        let (mut last, mut op, mut residual) = (node, op, None);
        if let Some(next) = only_user(graph, last)
            && let Some((fused, other)) = self.addition(&op, last, next)
        {
            (last, op, residual) = (next, fused, Some(other));
        }
        if let Some(next) = only_user(graph, last)
            && matches!(next.op, Op::Map(_))
            && next
                .op
                .rules()
                .activation()
                .is_some_and(|f| f.as_clamp().is_some())
            && self.wanted(next.outputs[0]).is_some()
            && let Some(fused) = op.rules().fuse(&next.op)
        {
            (last, op) = (next, fused);
        }
        let mut quant = self.wanted(last.outputs[0]);
        if quant.is_none() && residual.is_some() {
            // Without an end that is rounded there is no sum of integers.
            (last, residual) = (node, None);
            let Some(plain) = node.op.rules().with_bias() else {
                return Ok(false);
            };
            (op, quant) = (plain, None);
        }
        let result = last.outputs[0];
        let stored = at.bias.and_then(|i| node.inputs.get(i)).copied();
        let stored = stored.map(|id| stored_integers(graph, id, DType::I32).unwrap_or(id));
        let name = stored.map(|id| graph.value(id).name.clone());
        let name = name.unwrap_or_else(|| format!("{}.bias", node.name));
        let weight = self.rewriter.get(weight)?;
        let graph = &mut self.rewriter.graph;
        let bias = graph.param(&name, Tensor::from_i32(&[bias.len()], &bias)?);
        let mut inputs = vec![x, weight, bias];
        inputs.extend(residual);
        let made = graph.push_as(&node.name, op, &inputs, quant)?[0];
        self.integers.insert(result, made);
        // The nodes that are a part of this one now.
        let mut part = node;
        while part.outputs[0] != result {
            match only_user(self.old(), part) {
                Some(next) => part = next,
                None => break,
            }
            done.extend(&part.outputs);
        }
        Ok(true)
    }

    /// The integers that a float value stands for, also where it is dequantized further on than they are made.
    fn integers_of(&mut self, id: ValueId) -> Option<ValueId> {
        if let Some(&integers) = self.integers.get(&id) {
            return Some(integers);
        }
        let node = self.old().producer(id)?;
        let from = *node.inputs.first()?;
        match matches!(node.op, Op::Dequantize(_)) && self.rewriter.is_mapped(from) {
            true => self.rewriter.get(from).ok(),
            false => None,
        }
    }

    /// The layer with `next` in it, if that adds integers to its result, and these integers.
    fn addition(&mut self, op: &Op, node: &Node, next: &Node) -> Option<(Op, ValueId)> {
        let graph = self.old();
        let fused = op.rules().fuse(&next.op)?;
        fused.weights()?.residual?;
        let y = node.outputs[0];
        let other = next.inputs.iter().copied().find(|&id| id != y)?;
        let same = graph.value(other).shape == graph.value(y).shape;
        let integers = self.integers_of(other)?;
        (same && self.is_int8(integers)).then_some((fused, integers))
    }
}

/// The stored integers that a value is dequantized from.
fn stored_integers(graph: &Graph, id: ValueId, dtype: DType) -> Option<ValueId> {
    let producer = graph.producer(id)?;
    let from = producer.inputs[0];
    let stored = matches!(producer.op, Op::Dequantize(_)) && graph.as_param(from).is_some();
    (stored && graph.value(from).dtype == dtype).then_some(from)
}

/// A bias in units of the accumulator: as stored, where its own units are these, else converted.
fn in_units(graph: &Graph, id: ValueId, unit: &dyn Fn(usize) -> f64) -> Option<Vec<f64>> {
    if let Some(stored) = stored_integers(graph, id, DType::I32) {
        let quant = graph.value(stored).quant.as_ref()?;
        let integers = graph.tensor(stored)?.as_i32().ok()?;
        let convert = |(c, &q): (usize, &i32)| {
            let own = f64::from(quant.channel(c).scale);
            let same = (own / unit(c) - 1.0).abs() < SAME_UNIT;
            let factor = if same { 1.0 } else { own / unit(c) };
            f64::from(q) * factor
        };
        return Some(integers.iter().enumerate().map(convert).collect());
    }
    let reals = graph.tensor(id)?.to_f64();
    let reals = reals.iter().enumerate();
    Some(reals.map(|(c, real)| real / unit(c)).collect())
}
