//! Gradients: graph → graph.

use std::collections::{HashMap, HashSet};

use super::ops::{BiasGrad, Binary, MapGrad, Op};
use super::values::{Graph, Node, ValueId};
use crate::base::{Shape, Tensor};
use crate::error::{Error, Result};
use crate::kernels::map::Unary;

/// The gradient of each value that has one.
pub type Gradients = HashMap<ValueId, ValueId>;

/// Appends the nodes that compute the gradient of the scalar `loss` with respect to `params`, and returns
/// it for every value on the way. Nothing is computed for values that no parameter reaches. The loss is
/// any scalar `[1]` that operations with a gradient make ([`super::ops::SoftmaxCrossEntropy`]).
///
/// # Errors
/// [`Error::Invalid`] naming the first operation on the way that has no gradient, or if `loss` is no loss.
pub fn backward(graph: &mut Graph, loss: ValueId, params: &[ValueId]) -> Result<Gradients> {
    if crate::base::num_elements(&graph.value(loss).shape) != 1 {
        let value = graph.value(loss);
        let expected = "one number: a loss";
        return Err(Error::shape(
            "backward",
            &value.name,
            expected,
            &value.shape,
        ));
    }
    let nodes = graph.nodes().to_vec();
    let mut needed: HashSet<ValueId> = params.iter().copied().collect();
    for node in &nodes {
        if node.inputs.iter().any(|id| needed.contains(id)) {
            needed.extend(&node.outputs);
        }
    }
    let relu_before = relus_before_pools(graph);
    let one = graph.param("one", Tensor::from_f32(&[1], &[1.0])?);
    let mut tape = Tape {
        graph,
        needed,
        gradients: Gradients::from([(loss, one)]),
        one,
        relu_before,
    };
    for node in nodes.iter().rev() {
        let first = node.outputs.first();
        if let Some(dy) = first.and_then(|y| tape.gradients.get(y)).copied() {
            node.op.rules().gradient(node, dy, &mut tape)?;
        }
    }
    tape.gradients.remove(&loss);
    if tape.gradients.is_empty() {
        let problem = format!("no parameter reaches `{}`", tape.graph.value(loss).name);
        return Err(Error::invalid("backward", problem));
    }
    Ok(tape.gradients)
}

/// Results of a fused ReLU that only a max-pool uses: its gradient takes both.
fn relus_before_pools(graph: &Graph) -> HashSet<ValueId> {
    let fused = graph.nodes().iter().filter(|node| {
        !matches!(node.op, Op::Map(_)) && node.op.rules().activation() == Some(Unary::Relu)
    });
    let pooled_alone = |y: &ValueId| {
        let mut users = graph.users(*y);
        let first = users
            .next()
            .is_some_and(|user| matches!(user.op, Op::MaxPool(_)));
        first && users.next().is_none() && !graph.outputs().contains(y)
    };
    fused
        .map(|node| node.outputs[0])
        .filter(pooled_alone)
        .collect()
}

/// A graph under differentiation.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    graph: &'a mut Graph,
    needed: HashSet<ValueId>,
    gradients: Gradients,
    /// The gradient of the loss itself.
    one: ValueId,
    relu_before: HashSet<ValueId>,
}

impl Tape<'_> {
    /// The name of a value.
    pub fn name(&self, id: ValueId) -> &str {
        &self.graph.value(id).name
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.graph.value(id).shape.clone()
    }

    /// True if `dy` is the 1 that everything starts at.
    pub fn starts_at(&self, dy: ValueId) -> bool {
        dy == self.one
    }

    /// True if a max-pool takes the gradient of the fused ReLU that made this value.
    pub fn pool_takes_relu(&self, y: ValueId) -> bool {
        self.relu_before.contains(&y)
    }

    /// True if the gradient of this value is wanted.
    pub fn needs(&self, id: ValueId) -> bool {
        self.needed.contains(&id)
    }

    /// Adds a constant that a gradient takes.
    pub fn param(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.graph.param(name, tensor)
    }

    /// Appends a node that is no gradient of a value by itself.
    pub fn push(&mut self, name: &str, op: impl Into<Op>, operands: &[ValueId]) -> Result<ValueId> {
        self.graph.push(name, op, operands)
    }

    /// Appends a node with several results.
    pub fn push_all(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        operands: &[ValueId],
    ) -> Result<Vec<ValueId>> {
        self.graph.push_all(name, op, operands)
    }

    /// Adds `op(operands)` to the gradient of `of`, if anything needs it.
    pub fn add(
        &mut self,
        node: &Node,
        of: ValueId,
        op: impl Into<Op>,
        operands: &[ValueId],
    ) -> Result<()> {
        if !self.needs(of) {
            return Ok(());
        }
        let name = format!("d {} / {}", self.graph.value(of).name, node.name);
        let gradient = self.graph.push(&name, op, operands)?;
        self.accumulate(node, of, gradient)
    }

    /// Adds a value to the gradient of `of`, if anything needs it.
    pub fn accumulate(&mut self, node: &Node, of: ValueId, gradient: ValueId) -> Result<()> {
        if !self.needs(of) {
            return Ok(());
        }
        let total = match self.gradients.get(&of) {
            None => gradient,
            Some(&sum) => {
                let name = format!("d {} + {}", self.graph.value(of).name, node.name);
                self.graph.push(&name, Binary::ADD, &[sum, gradient])?
            }
        };
        self.gradients.insert(of, total);
        Ok(())
    }

    /// The gradient before a fused activation.
    pub fn through(&mut self, node: &Node, act: Option<Unary>, dy: ValueId) -> Result<ValueId> {
        let y = node.outputs[0];
        match act {
            None => Ok(dy),
            Some(_) if self.pool_takes_relu(y) => Ok(dy),
            // Where a clamp lets pass, `y` is what went in.
            Some(f) if f.as_clamp().is_some() => {
                let name = format!("d {} {}", node.name, f.name());
                self.graph.push(&name, MapGrad { f }, &[y, dy])
            }
            Some(f) => {
                let problem = format!(
                    "its {} was fused and what went in is gone; train the network before it is optimized",
                    f.name()
                );
                Err(Error::invalid(&node.name, problem))
            }
        }
    }

    /// Adds the column sums of `dy` to the gradient of a bias.
    pub fn bias(&mut self, node: &Node, bias: Option<usize>, dy: ValueId) -> Result<()> {
        match bias {
            Some(i) => self.add(node, node.inputs[i], BiasGrad, &[dy]),
            None => Ok(()),
        }
    }
}

/// What an operation without a gradient answers.
pub(crate) fn no_gradient(node: &Node) -> Error {
    Error::invalid(
        format!("{} ({})", node.name, node.op.name()),
        "this operation has no gradient; train the float network",
    )
}
