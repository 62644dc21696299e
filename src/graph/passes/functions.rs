//! Functions that a network spells out in small steps get their names back: `x · clamp(x + 3, 0, 6) / 6` is
//! hard-swish, `x · sigmoid(x)` SiLU, however they are written.
//!
//! A chain of steps on one value is a function of a number. It is tried at many numbers, in f64, against the
//! functions that have a name; what agrees at all of them is that function.

use std::collections::HashMap;

use super::super::ops::{Map, Op};
use super::super::rewriter::Rewriter;
use super::super::values::{Graph, Node, ValueId};
use super::{computes_floats, drop_dead};
use crate::error::Result;
use crate::kernels::Approx;
use crate::kernels::map::Unary;

/// Values back from which a function is looked for.
const ROOTS: usize = 8;
/// How far a spelling may be from its function, relative to `max(1, |x|)`: constants have few digits there.
const CLOSE: f64 = 2e-5;

/// What a value is, as a function of one before it, at each of [`points`].
#[derive(Clone)]
struct Chain {
    root: ValueId,
    values: Vec<f64>,
    steps: usize,
}

/// −1000, −12 to 12 in odd steps, 1000, and those that parameters are read from: −1, −1/4, 0, 1/4, 1.
fn points() -> Vec<f64> {
    let dense = (-48..=48).map(|i| f64::from(i) * 0.253_7);
    [-1.0, -0.25, 0.0, 0.25, 1.0, -1000.0, 1000.0]
        .into_iter()
        .chain(dense)
        .collect()
}

/// Puts functions with a name in the place of chains that compute the same, element by element.
///
/// # Errors
/// None for a well-formed graph.
pub fn name_functions(graph: &Graph) -> Result<Graph> {
    let points = points();
    let mut chains: HashMap<ValueId, Vec<Chain>> = HashMap::new();
    let mut rewriter = Rewriter::new(graph);
    for node in graph.nodes() {
        let found = chains_of(graph, node, &chains, &points);
        let named = found.iter().rev().filter(|chain| chain.steps > 1);
        let named = named
            .filter(|chain| graph.value(chain.root).shape == graph.value(node.outputs[0]).shape);
        let named = named
            .map(|chain| (chain.root, name(&chain.values, &points)))
            .find_map(|(root, f)| Some((root, f?)))
            .or_else(|| inverse_deviation(graph, node));
        match named {
            Some((root, f)) => {
                let x = rewriter.get(root)?;
                rewriter.replace(node, Map { f }, &[x])?;
            }
            None => rewriter.copy(node)?,
        }
        if let &[y] = node.outputs.as_slice() {
            chains.insert(y, found);
        }
    }
    drop_dead(&rewriter.finish()?)
}

/// What the node's result is, as a function of each of the values before it, nearest first.
fn chains_of(
    graph: &Graph,
    node: &Node,
    chains: &HashMap<ValueId, Vec<Chain>>,
    points: &[f64],
) -> Vec<Chain> {
    if !computes_floats(graph, node) {
        return Vec::new();
    }
    // The operand itself, then what it is made of.
    let of = |id: ValueId| -> Vec<Chain> {
        let own = Chain {
            root: id,
            values: points.to_vec(),
            steps: 0,
        };
        let before = chains.get(&id).into_iter().flatten().cloned();
        [own].into_iter().chain(before).collect()
    };
    let mut found: Vec<Chain> = match (&node.op, node.inputs.as_slice()) {
        (Op::Map(map), &[x]) => {
            let mut all = of(x);
            for chain in &mut all {
                chain.values.iter_mut().for_each(|v| *v = map.f.f64(*v));
                chain.steps += 1;
            }
            all
        }
        (Op::Binary(binary), &[a, b]) => {
            let combine = |a: f64, b: f64| {
                let y = binary.op.approx(Approx::exact(a), Approx::exact(b)).value;
                binary.act.map_or(y, |f| f.f64(y))
            };
            match (constant(graph, a), constant(graph, b)) {
                (None, None) => {
                    let mut all = Vec::new();
                    for mut left in of(a) {
                        let right = of(b).into_iter().find(|right| right.root == left.root);
                        if let Some(right) = right {
                            let both = left.values.iter_mut().zip(&right.values);
                            both.for_each(|(l, r)| *l = combine(*l, *r));
                            left.steps += right.steps + 1;
                            all.push(left);
                        }
                    }
                    all
                }
                (None, Some(c)) => {
                    let mut all = of(a);
                    for chain in &mut all {
                        chain.values.iter_mut().for_each(|v| *v = combine(*v, c));
                        chain.steps += 1;
                    }
                    all
                }
                (Some(c), None) => {
                    let mut all = of(b);
                    for chain in &mut all {
                        chain.values.iter_mut().for_each(|v| *v = combine(c, *v));
                        chain.steps += 1;
                    }
                    all
                }
                (Some(_), Some(_)) => Vec::new(),
            }
        }
        _ => Vec::new(),
    };
    found.truncate(ROOTS);
    found
}

/// `1 / sqrt(x + eps)` in three steps; `x` is not below 0, so no trial at other numbers names it.
fn inverse_deviation(graph: &Graph, node: &Node) -> Option<(ValueId, Unary)> {
    let map = |node: &Node| match (&node.op, node.inputs.as_slice()) {
        (Op::Map(map), &[x]) => Some((map.f, x)),
        _ => None,
    };
    let of = |id: ValueId| graph.producer(id).and_then(map);
    let (Unary::Reciprocal, root) = map(node)? else {
        return None;
    };
    let (Unary::Sqrt, sum) = of(root)? else {
        return None;
    };
    match of(sum)? {
        (
            Unary::Affine {
                factor: 1.0,
                offset,
            },
            x,
        ) if offset > 0.0 => {
            let f = Unary::InvStd { eps: offset };
            f.check().is_ok().then_some((x, f))
        }
        _ => None,
    }
}

/// The only number of a stored tensor.
fn constant(graph: &Graph, id: ValueId) -> Option<f64> {
    let tensor = graph.tensor(id)?;
    (tensor.len() == 1).then(|| tensor.to_f64()[0])
}

/// The function that has these values at [`points`].
fn name(values: &[f64], points: &[f64]) -> Option<Unary> {
    let &[minus_one, minus_quarter, zero, quarter, one, low, high, ..] = values else {
        return None;
    };
    let slope = (quarter - minus_quarter) * 2.0;
    let whole = (one - minus_one) / 2.0;
    let mut candidates = vec![
        Unary::Relu,
        Unary::RELU6,
        Unary::HardSwish,
        Unary::Silu,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Mish,
        Unary::Softplus,
        Unary::LeakyRelu {
            alpha: -minus_one as f32,
        },
    ];
    if low < high {
        let (min, max) = (low as f32, high as f32);
        candidates.push(Unary::Clip { min, max });
    }
    // Constants of a few digits stand for sixths.
    let sixth = (slope - 1.0 / 6.0).abs() < 1e-4;
    let alpha = if sixth { 1.0 / 6.0 } else { slope as f32 };
    let beta = zero as f32;
    candidates.push(Unary::HardSigmoid { alpha, beta });
    let (factor, offset) = (whole as f32, zero as f32);
    candidates.push(Unary::Scale { factor });
    candidates.push(Unary::Affine { factor, offset });
    candidates.retain(|f| f.check().is_ok());
    candidates.into_iter().find(|f| {
        values.iter().zip(points).all(|(value, x)| {
            let difference = (f.f64(*x) - value).abs();
            difference <= CLOSE * x.abs().max(1.0)
        })
    })
}
