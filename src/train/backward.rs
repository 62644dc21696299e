//! Gradients: graph → graph.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Op, ValueId};

/// The gradient of each value that has one.
pub type Gradients = HashMap<ValueId, ValueId>;

/// Appends the nodes that compute the gradient of `loss` with respect to `params`, and returns it for
/// every value on the way. Nothing is computed for values that no parameter reaches.
///
/// # Errors
/// [`Error::Invalid`] naming the first operation on the way that has no gradient, or if `loss` is not
/// made by [`Op::SoftmaxCrossEntropy`].
pub fn backward(graph: &mut Graph, loss: ValueId, params: &[ValueId]) -> Result<Gradients> {
    let nodes = graph.nodes().to_vec();
    let mut needed: HashSet<ValueId> = params.iter().copied().collect();
    for node in &nodes {
        if node.inputs.iter().any(|id| needed.contains(id)) {
            needed.extend(&node.outputs);
        }
    }
    let relu_before = relus_before_pools(graph);
    let mut tape = Tape {
        graph,
        needed,
        gradients: Gradients::new(),
        relu_before,
    };
    let mut found = false;
    for node in nodes.iter().rev() {
        if node.outputs.first() == Some(&loss) {
            found = tape.loss(node)?;
            continue;
        }
        let dy = node
            .outputs
            .first()
            .and_then(|y| tape.gradients.get(y))
            .copied();
        if let Some(dy) = dy {
            tape.node(node, dy)?;
        }
    }
    if !found {
        let name = &tape.graph.value(loss).name;
        return Err(Error::invalid(
            "backward",
            format!("`{name}` is not a softmax cross-entropy loss"),
        ));
    }
    Ok(tape.gradients)
}

fn relus_before_pools(graph: &Graph) -> HashSet<ValueId> {
    let fused = |op: &Op| {
        matches!(
            op,
            Op::Linear { relu: true } | Op::Conv2d { relu: true, .. } | Op::Add { relu: true }
        )
    };
    let results = graph
        .nodes()
        .iter()
        .filter(|node| fused(&node.op))
        .map(|node| node.outputs[0]);
    let pooled_alone = |y: &ValueId| {
        let mut users = graph.users(*y);
        let first = users
            .next()
            .is_some_and(|user| matches!(user.op, Op::MaxPool(_)));
        first && users.next().is_none() && !graph.outputs().contains(y)
    };
    results.filter(pooled_alone).collect()
}

struct Tape<'a> {
    graph: &'a mut Graph,
    needed: HashSet<ValueId>,
    gradients: Gradients,
    /// Results of a fused ReLU that only a max-pool uses: its gradient kernel takes both.
    relu_before: HashSet<ValueId>,
}

impl Tape<'_> {
    /// Starts at the loss, whose own gradient is 1.
    fn loss(&mut self, node: &Node) -> Result<bool> {
        if !matches!(node.op, Op::SoftmaxCrossEntropy) {
            return Ok(false);
        }
        let (logits, labels) = (node.inputs[0], node.inputs[1]);
        self.add(node, logits, Op::SoftmaxCrossEntropyGrad, &[logits, labels])?;
        Ok(true)
    }

    /// Adds `op(operands)` to the gradient of `of`, if anything needs it.
    fn add(&mut self, node: &Node, of: ValueId, op: Op, operands: &[ValueId]) -> Result<()> {
        if !self.needed.contains(&of) {
            return Ok(());
        }
        let name = format!("d {} / {}", self.graph.value(of).name, node.name);
        let gradient = self.graph.push(&name, op, operands)?;
        self.accumulate(node, of, gradient)
    }

    fn accumulate(&mut self, node: &Node, of: ValueId, gradient: ValueId) -> Result<()> {
        if !self.needed.contains(&of) {
            return Ok(());
        }
        let total = match self.gradients.get(&of) {
            None => gradient,
            Some(&sum) => {
                let name = format!("d {} + {}", self.graph.value(of).name, node.name);
                self.graph
                    .push(&name, Op::Add { relu: false }, &[sum, gradient])?
            }
        };
        self.gradients.insert(of, total);
        Ok(())
    }

    /// The gradient before a fused ReLU.
    fn through_relu(&mut self, node: &Node, relu: bool, dy: ValueId) -> Result<ValueId> {
        if !relu || self.relu_before.contains(&node.outputs[0]) {
            return Ok(dy);
        }
        self.graph.push(
            &format!("d {} relu", node.name),
            Op::ReluGrad,
            &[node.outputs[0], dy],
        )
    }

    fn node(&mut self, node: &Node, dy: ValueId) -> Result<()> {
        let input = |i: usize| node.inputs[i];
        let shape = |graph: &Graph, i: usize| graph.value(input(i)).shape.clone();
        match &node.op {
            Op::Linear { relu } => {
                let dy = self.through_relu(node, *relu, dy)?;
                self.add(node, input(0), Op::LinearGradInput, &[dy, input(1)])?;
                self.add(node, input(1), Op::LinearGradWeight, &[dy, input(0)])?;
                self.add(node, input(2), Op::BiasGrad, &[dy])
            }
            Op::Conv2d { conv, relu } => {
                let dy = self.through_relu(node, *relu, dy)?;
                let to_input = Op::Conv2dGradInput {
                    conv: *conv,
                    x: shape(self.graph, 0),
                };
                self.add(node, input(0), to_input, &[dy, input(1)])?;
                let to_weight = Op::Conv2dGradWeight {
                    conv: *conv,
                    w: shape(self.graph, 1),
                };
                self.add(node, input(1), to_weight, &[dy, input(0)])?;
                self.add(node, input(2), Op::BiasGrad, &[dy])?;
                match node.inputs.get(3) {
                    Some(&residual) => self.accumulate(node, residual, dy),
                    None => Ok(()),
                }
            }
            Op::Relu => self.add(node, input(0), Op::ReluGrad, &[node.outputs[0], dy]),
            Op::Add { relu } => {
                let dy = self.through_relu(node, *relu, dy)?;
                self.accumulate(node, input(0), dy)?;
                self.accumulate(node, input(1), dy)
            }
            Op::MaxPool(pool) => {
                let relu = self.relu_before.contains(&input(0));
                let op = Op::MaxPoolGrad { pool: *pool, relu };
                self.add(node, input(0), op, &[input(0), dy])
            }
            Op::GlobalAvgPool => {
                let op = Op::GlobalAvgPoolGrad {
                    x: shape(self.graph, 0),
                };
                self.add(node, input(0), op, &[dy])
            }
            Op::Flatten | Op::Reshape { to: _ } => {
                let op = Op::Reshape {
                    to: shape(self.graph, 0),
                };
                self.add(node, input(0), op, &[dy])
            }
            Op::BatchNorm { eps } => {
                let operands = [input(0), dy, input(1), input(3), input(4)];
                self.batch_norm(node, Op::BatchNormGrad { eps: *eps }, &operands)
            }
            Op::BatchNormTrain {
                eps: _,
                momentum: _,
            } => {
                let operands = [input(0), dy, input(1), node.outputs[1], node.outputs[2]];
                self.batch_norm(node, Op::BatchNormTrainGrad, &operands)
            }
            Op::ApplyMask => self.add(node, input(0), Op::ApplyMask, &[dy, input(1)]),
            Op::FakeQuant {
                axis,
                range,
                grad_factor,
            } => {
                let (axis, range, grad_factor) = (*axis, *range, *grad_factor);
                let (x, scale, inv_scale, zero_point) = (input(0), input(1), input(2), input(3));
                let to_x = Op::FakeQuantGrad { axis, range };
                self.add(node, x, to_x, &[x, inv_scale, zero_point, dy])?;
                let to_scale = Op::FakeQuantScaleGrad {
                    axis,
                    range,
                    grad_factor,
                };
                self.add(
                    node,
                    scale,
                    to_scale,
                    &[x, scale, inv_scale, zero_point, dy],
                )
            }
            Op::Reciprocal
            | Op::Cast { to: _ }
            | Op::SoftmaxCrossEntropy
            | Op::Quantize { range: _ }
            | Op::Dequantize { axis: _ }
            | Op::LinearI8 { out: _ }
            | Op::LinearI32
            | Op::Conv2dI8 {
                conv: _,
                x_zero_point: _,
                out: _,
                residual: _,
            }
            | Op::AddI8 {
                a: _,
                b: _,
                y: _,
                requant: _,
            }
            | Op::GlobalAvgPoolI8 {
                x_zero_point: _,
                scale: _,
                out: _,
            }
            | Op::LinearGradInput
            | Op::LinearGradWeight
            | Op::BiasGrad
            | Op::Conv2dGradInput { conv: _, x: _ }
            | Op::Conv2dGradWeight { conv: _, w: _ }
            | Op::ReluGrad
            | Op::MaxPoolGrad { pool: _, relu: _ }
            | Op::GlobalAvgPoolGrad { x: _ }
            | Op::BatchNormTrainGrad
            | Op::BatchNormGrad { eps: _ }
            | Op::SoftmaxCrossEntropyGrad
            | Op::FakeQuantGrad { axis: _, range: _ }
            | Op::FakeQuantScaleGrad {
                axis: _,
                range: _,
                grad_factor: _,
            }
            | Op::Kernel(_) => Err(Error::invalid(
                format!("{} ({})", node.name, node.op.name()),
                "this operation has no gradient; train the float network",
            )),
        }
    }

    fn batch_norm(&mut self, node: &Node, op: Op, operands: &[ValueId]) -> Result<()> {
        let gradients = self
            .graph
            .push_all(&format!("d {}", node.name), op, operands)?;
        for (i, gradient) in gradients.into_iter().enumerate() {
            self.accumulate(node, node.inputs[i], gradient)?;
        }
        Ok(())
    }
}
