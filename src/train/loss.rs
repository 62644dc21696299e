//! Losses: any function from the results of a network to a scalar of its graph. These are the usual ones.

use std::fmt;
use std::sync::Arc;

use crate::base::DType;
use crate::error::{Error, Result};
use crate::graph::ops::{Binary, Distill, Map, MeanSquare, SoftmaxCrossEntropy};
use crate::graph::{Graph, Node, Source, ValueId, scores};
use crate::kernels::map::Unary;

/// What a network learns to make small.
#[derive(Clone)]
pub enum Loss {
    /// Mean cross-entropy of the softmax of the first result, against class numbers.
    CrossEntropy,
    /// Mean squared difference between the first result and what is wanted.
    MeanSquare,
    /// Agreement with another network on the same inputs, without labels.
    Distill(Distillation),
    /// The sum of others, each multiplied by a number.
    Sum(Vec<(f32, Loss)>),
    /// Anything else: appends what computes it, inputs for what it compares with included, and returns a
    /// scalar `[1]`. It may use every value of the graph; the results of the network are its outputs.
    Custom(Arc<Append>),
}

/// Appends a loss to a graph.
pub type Append = dyn Fn(&mut Graph) -> Result<ValueId> + Send + Sync;

/// A network to agree with.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// The parent, a float network with inputs like those of the network that learns; any batch.
    pub teacher: Graph,
    /// What logits are divided by before the softmax (Hinton et al. 2015).
    pub temperature: f32,
    /// Inner values that shall be alike as well, by their names in both networks: the mean squared difference
    /// of each is added.
    pub values: Vec<String>,
}

impl fmt::Display for Loss {
    /// As histories say it: `cross-entropy`, `0.5 × distillation + 0.5 × cross-entropy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrossEntropy => f.write_str("cross-entropy"),
            Self::MeanSquare => f.write_str("mean squared error"),
            Self::Distill(teacher) => {
                write!(f, "distillation at temperature {}", teacher.temperature)?;
                match &teacher.values[..] {
                    [] => Ok(()),
                    values => write!(f, " and of {}", values.join(", ")),
                }
            }
            Self::Sum(parts) => {
                for (i, (factor, loss)) in parts.iter().enumerate() {
                    let plus = if i == 0 { "" } else { " + " };
                    write!(f, "{plus}{factor} × {loss}")?;
                }
                Ok(())
            }
            Self::Custom(_) => f.write_str("a loss of its own"),
        }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Loss {
    /// Appends the loss to a graph whose outputs are the results of the network, and returns it. What it
    /// compares with becomes an input.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network without results or a teacher with other inputs; [`Error::Shape`] for
    /// results that do not fit.
    pub fn append(&self, graph: &mut Graph) -> Result<ValueId> {
        let result = graph.outputs().first().copied();
        let result = result.ok_or_else(|| Error::invalid("train", "the network has no result"));
        let softmax = matches!(self, Self::CrossEntropy | Self::Distill(_));
        if let Ok(id) = result
            && softmax
            && matches!(graph.value(id).shape[..], [_, 1])
        {
            let problem = "the network answers with one logit, whose softmax is always 1: nothing can be learned from \
                           it; give it two classes (a new head), or another loss";
            return Err(Error::invalid("train", problem));
        }
        match self {
            Self::CrossEntropy => {
                let logits = logits(graph, result?);
                let batch = graph.value(logits).shape[0];
                let labels = graph.input("labels", DType::U32, &[batch]);
                graph.push("loss", SoftmaxCrossEntropy, &[logits, labels])
            }
            Self::MeanSquare => {
                let y = result?;
                let shape = graph.value(y).shape.clone();
                let wanted = graph.input("wanted", DType::F32, &shape);
                graph.push("loss", MeanSquare, &[y, wanted])
            }
            Self::Distill(with) => with.append(graph),
            Self::Sum(parts) => {
                let mut sum = None;
                for (factor, part) in parts {
                    let part = part.append(graph)?;
                    let f = Unary::Scale { factor: *factor };
                    let part = graph.push("part of the loss", Map { f }, &[part])?;
                    sum = Some(match sum {
                        None => part,
                        Some(sum) => graph.push("loss", Binary::ADD, &[sum, part])?,
                    });
                }
                sum.ok_or_else(|| Error::invalid("train", "a sum of no losses"))
            }
            Self::Custom(append) => append(graph),
        }
    }
}

/// The logits of a result: what a network that ends in a softmax makes its shares of.
fn logits(graph: &Graph, result: ValueId) -> ValueId {
    scores(graph, result).unwrap_or(result)
}

impl Distillation {
    fn append(&self, graph: &mut Graph) -> Result<ValueId> {
        let own = graph.outputs().to_vec();
        let parent = self.teacher.with_batch(graph.batch())?;
        let taught = insert(graph, &parent)?;
        let mut loss = None;
        let mut add = |graph: &mut Graph, part: ValueId| -> Result<()> {
            loss = Some(match loss {
                None => part,
                Some(sum) => graph.push("loss", Binary::ADD, &[sum, part])?,
            });
            Ok(())
        };
        if own.len() != parent.outputs().len() {
            let problem = "the teacher has another number of results";
            return Err(Error::invalid("distill", problem));
        }
        for (&y, teacher) in own.iter().zip(parent.outputs()) {
            let part = match graph.value(y).shape.len() {
                2 => {
                    let temperature = self.temperature;
                    let op = Distill { temperature };
                    let (y, teacher) = (logits(graph, y), logits(&parent, *teacher));
                    graph.push("distillation", op, &[y, taught(teacher)?])?
                }
                _ => graph.push("distillation", MeanSquare, &[y, taught(*teacher)?])?,
            };
            add(graph, part)?;
        }
        for name in &self.values {
            let (y, teacher) = (graph.find(name)?, parent.find(name)?);
            let part = graph.push("distillation", MeanSquare, &[y, taught(teacher)?])?;
            add(graph, part)?;
        }
        loss.ok_or_else(|| Error::invalid("distill", "the teacher has no results"))
    }
}

/// Puts another network into the graph, on the same inputs; the result finds its values.
fn insert(graph: &mut Graph, other: &Graph) -> Result<impl Fn(ValueId) -> Result<ValueId> + use<>> {
    let ours = graph.inputs();
    let mut ids: Vec<Option<ValueId>> = vec![None; other.values().count()];
    let mut at = std::collections::HashMap::new();
    for (i, (id, value)) in other.values().enumerate() {
        at.insert(id, i);
        ids[i] = match &value.source {
            Source::Input => {
                let position = other.inputs().iter().position(|&input| input == id);
                let own = position.and_then(|i| ours.get(i)).copied();
                let fits = |id: &ValueId| {
                    let own = graph.value(*id);
                    own.shape == value.shape && own.dtype == value.dtype
                };
                let own = own.filter(fits).ok_or_else(|| {
                    let problem = format!(
                        "the teacher takes `{}` {:?} ({}), the network that learns does not",
                        value.name, value.shape, value.dtype
                    );
                    Error::invalid("distill", problem)
                })?;
                Some(own)
            }
            Source::Param(_) if value.quant.is_some() => {
                let problem = "the teacher is quantized; use the float network it was made from";
                return Err(Error::invalid("distill", problem));
            }
            Source::Param(param) => Some(graph.param(
                &format!("teacher {}", value.name),
                Arc::clone(&param.tensor),
            )),
            Source::Node => None,
        };
    }
    for node in other.nodes() {
        let Node {
            name,
            op,
            inputs,
            outputs,
        } = node;
        let inputs: Vec<ValueId> = inputs.iter().filter_map(|id| ids[at[id]]).collect();
        let made = graph.push_all(&format!("teacher {name}"), op.clone(), &inputs)?;
        for (old, new) in outputs.iter().zip(made) {
            ids[at[old]] = Some(new);
        }
    }
    Ok(move |id: ValueId| {
        let found = at.get(&id).and_then(|&i| ids[i]);
        found.ok_or_else(|| Error::invalid("distill", "the teacher has no such value"))
    })
}
