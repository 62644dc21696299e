//! A network as a list of kernel launches over values, with buffers shared by liveness. Pure data.

use std::fmt;
use std::sync::Arc;

use crate::base::{DType, Shape, Tensor, words_for};
use crate::error::{Error, Result};
use crate::kernels::{Access, Kernel, Variant};

/// Where a value's contents come from and how long they live.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Supplied at every run.
    Input,
    /// Fixed: weights, scales.
    Const(Arc<Tensor>),
    /// Kept between runs, updated in place; starts as this tensor.
    State(Arc<Tensor>),
    /// Made and used within a run.
    Temp,
}

/// One value of a plan.
#[derive(Clone, Debug)]
pub struct PlanValue {
    /// Unique name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
    /// Where it comes from.
    pub kind: Kind,
    /// For [`Kind::Temp`]: the buffer it occupies while it lives.
    pub slot: Option<usize>,
}

impl PlanValue {
    /// Words of the value, row padding included.
    pub fn words(&self) -> usize {
        words_for(&self.shape, self.dtype)
    }
}

/// One launch.
#[derive(Clone, Debug)]
pub struct Step {
    /// The graph node it implements (a node may take several steps).
    pub name: String,
    /// What runs.
    pub kernel: Arc<dyn Kernel>,
    /// The value of each binding, as positions in [`Plan::values`].
    pub args: Vec<usize>,
    /// The variant that a GPU runs; `None`: the kernel's own choice.
    pub variant: Option<Variant>,
}

/// A network as steps. Both executors run it: [`super::CpuSession`] and [`super::Session`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// All values.
    pub values: Vec<PlanValue>,
    /// Launches in order.
    pub steps: Vec<Step>,
    /// Words of each shared buffer.
    pub slots: Vec<usize>,
    /// Values supplied at a run, in order.
    pub inputs: Vec<usize>,
    /// Values returned by a run, in order.
    pub outputs: Vec<usize>,
}

impl Plan {
    /// A plan of one launch: every `Read` binding is an input, every `Write` binding an output, every
    /// `ReadWrite` binding both a state (starting as zeros) and an output.
    ///
    /// # Errors
    /// [`Error::Shape`] for a binding without elements.
    pub fn single(kernel: Arc<dyn Kernel>) -> Result<Self> {
        let mut builder = PlanBuilder::default();
        let mut args = Vec::new();
        for binding in kernel.bindings() {
            let kind = match binding.access {
                Access::Read => Kind::Input,
                Access::Write => Kind::Temp,
                Access::ReadWrite => {
                    Kind::State(Arc::new(Tensor::zeros(&binding.shape, binding.dtype)))
                }
            };
            let value = builder.value(binding.name, binding.dtype, &binding.shape, kind);
            if binding.access != Access::Read {
                builder.output(value);
            }
            args.push(value);
        }
        let name = kernel.name().to_owned();
        builder.step(name, kernel, args);
        builder.finish()
    }

    /// Position of the value with this name.
    ///
    /// # Errors
    /// [`Error::Invalid`] listing the names there are.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.values
            .iter()
            .position(|value| value.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .values
                    .iter()
                    .map(|value| value.name.as_str())
                    .collect();
                Error::invalid(
                    "plan",
                    format!("there is no value `{name}`; there are {}", names.join(", ")),
                )
            })
    }

    /// Checks the tensors of a run against the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming the input; [`Error::Invalid`] for another number of them.
    pub fn check_inputs(&self, inputs: &[&Tensor]) -> Result<()> {
        if inputs.len() != self.inputs.len() {
            let names: Vec<&str> = self
                .inputs
                .iter()
                .map(|&i| self.values[i].name.as_str())
                .collect();
            let problem = format!(
                "{} inputs given, it takes {} ({})",
                inputs.len(),
                names.len(),
                names.join(", ")
            );
            return Err(Error::invalid("run", problem));
        }
        for (&index, tensor) in self.inputs.iter().zip(inputs) {
            self.check_value(index, tensor)?;
        }
        Ok(())
    }

    /// Checks a tensor that shall become value `index`.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming the value.
    pub fn check_value(&self, index: usize, tensor: &Tensor) -> Result<()> {
        let value = &self.values[index];
        if tensor.shape() != value.shape {
            return Err(Error::shape(
                "run",
                &value.name,
                format!("{:?}", value.shape),
                tensor.shape(),
            ));
        }
        if tensor.dtype() != value.dtype {
            return Err(Error::DType {
                op: "run".into(),
                operand: value.name.clone(),
                expected: value.dtype.to_string(),
                got: tensor.dtype().to_string(),
            });
        }
        Ok(())
    }

    /// Bytes of weights and other constants.
    pub fn const_bytes(&self) -> usize {
        let is_const = |value: &&PlanValue| matches!(value.kind, Kind::Const(_));
        self.values
            .iter()
            .filter(is_const)
            .map(|value| 4 * value.words())
            .sum()
    }

    /// Bytes of the shared activation buffers.
    pub fn activation_bytes(&self) -> usize {
        self.slots.iter().map(|words| 4 * words).sum()
    }

    /// The least that any sharing could reach: the largest sum of values alive at one step, bytes.
    pub fn activation_lower_bound(&self) -> usize {
        let spans = spans(self);
        (0..self.steps.len())
            .map(|step| {
                let alive = |(_, span): &(usize, Option<(usize, usize)>)| {
                    span.is_some_and(|(first, last)| (first..=last).contains(&step))
                };
                let live = spans.iter().copied().enumerate().filter(alive);
                live.map(|(index, _)| 4 * self.values[index].words()).sum()
            })
            .max()
            .unwrap_or(0)
    }
}

/// Builds a [`Plan`] value by value and step by step.
#[derive(Clone, Debug, Default)]
pub struct PlanBuilder {
    values: Vec<PlanValue>,
    steps: Vec<Step>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl PlanBuilder {
    /// Adds a value and returns its position. A name already taken gets a number.
    pub fn value(&mut self, name: &str, dtype: DType, shape: &[usize], kind: Kind) -> usize {
        let index = self.values.len();
        if matches!(kind, Kind::Input) {
            self.inputs.push(index);
        }
        let taken = self.values.iter().any(|value| value.name == name);
        let name = if taken {
            format!("{name}#{index}")
        } else {
            name.to_owned()
        };
        self.values.push(PlanValue {
            name,
            dtype,
            shape: shape.to_vec(),
            kind,
            slot: None,
        });
        index
    }

    /// Shows a value under another shape of as many words: what a run returns is a matter of naming.
    pub fn reshape(&mut self, value: usize, shape: &[usize]) {
        let value = &mut self.values[value];
        if words_for(shape, value.dtype) == value.words() {
            value.shape = shape.to_vec();
        }
    }

    /// True if a run can return the value in this shape: it has it, or nobody from outside sees it in another.
    pub(super) fn can_show(&self, value: usize, shape: &[usize]) -> bool {
        let own = &self.values[value];
        own.shape == shape || (matches!(own.kind, Kind::Temp) && !self.outputs.contains(&value))
    }

    /// Returns the value at the end of a run.
    pub fn output(&mut self, value: usize) {
        self.outputs.push(value);
    }

    /// Adds a launch; `args` are positions of values in binding order.
    pub fn step(&mut self, name: impl Into<String>, kernel: Arc<dyn Kernel>, args: Vec<usize>) {
        self.steps.push(Step {
            name: name.into(),
            kernel,
            args,
            variant: None,
        });
    }

    /// Checks every step against its kernel's bindings and assigns buffers.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] naming step, kernel and operand.
    pub fn finish(self) -> Result<Plan> {
        let Self {
            values,
            steps,
            inputs,
            outputs,
        } = self;
        let mut plan = Plan {
            values,
            steps,
            slots: Vec::new(),
            inputs,
            outputs,
        };
        for step in &plan.steps {
            check_step(&plan, step)?;
        }
        assign_slots(&mut plan);
        Ok(plan)
    }
}

fn check_step(plan: &Plan, step: &Step) -> Result<()> {
    let bindings = step.kernel.bindings();
    let op = || format!("{} ({})", step.name, step.kernel.name());
    if bindings.len() != step.args.len() {
        let problem = format!("{} operands, expected {}", step.args.len(), bindings.len());
        return Err(Error::invalid(op(), problem));
    }
    for (binding, &arg) in bindings.iter().zip(&step.args) {
        let value = &plan.values[arg];
        let words = words_for(&binding.shape, binding.dtype);
        if words == 0 || words != value.words() {
            let expected = format!("{:?} with at least one element", binding.shape);
            return Err(Error::shape(op(), binding.name, expected, &value.shape));
        }
        if binding.dtype != value.dtype {
            return Err(Error::DType {
                op: op(),
                operand: binding.name.into(),
                expected: binding.dtype.to_string(),
                got: value.dtype.to_string(),
            });
        }
        let writes = binding.access != Access::Read;
        if writes && matches!(value.kind, Kind::Const(_) | Kind::Input) {
            let problem = format!(
                "`{}` writes to `{}`, which is not state",
                binding.name, value.name
            );
            return Err(Error::invalid(op(), problem));
        }
        if writes && step.args.iter().filter(|&&other| other == arg).count() > 1 {
            let problem = format!("`{}` is bound twice and written", value.name);
            return Err(Error::invalid(op(), problem));
        }
    }
    Ok(())
}

/// First and last step at which each temporary value is alive.
fn spans(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; plan.values.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for &arg in &step.args {
            let span = spans[arg].get_or_insert((i, i));
            span.1 = i;
        }
    }
    for &output in &plan.outputs {
        if let Some(span) = &mut spans[output] {
            span.1 = plan.steps.len();
        }
    }
    for (span, value) in spans.iter_mut().zip(&plan.values) {
        if !matches!(value.kind, Kind::Temp) {
            *span = None;
        }
    }
    spans
}

/// Greedy by size: the largest value first, each into the smallest buffer that is large enough and free
/// over its whole life. Whole buffers, because one dispatch may not read and write parts of one buffer.
fn assign_slots(plan: &mut Plan) {
    let spans = spans(plan);
    let mut order: Vec<usize> = (0..plan.values.len())
        .filter(|&i| spans[i].is_some())
        .collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(plan.values[i].words()), i));
    let mut occupants: Vec<Vec<(usize, usize)>> = Vec::new();
    for index in order {
        let Some((first, last)) = spans[index] else {
            continue;
        };
        let free = |slot: &usize| occupants[*slot].iter().all(|&(a, b)| last < a || b < first);
        let best = (0..occupants.len())
            .filter(free)
            .min_by_key(|&slot| plan.slots[slot]);
        let slot = best.unwrap_or_else(|| {
            occupants.push(Vec::new());
            plan.slots.push(plan.values[index].words());
            occupants.len() - 1
        });
        occupants[slot].push((first, last));
        plan.values[index].slot = Some(slot);
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "{i:3} {:24} {}(", step.name, step.kernel.name())?;
            for (n, (&arg, binding)) in step.args.iter().zip(step.kernel.bindings()).enumerate() {
                let value = &self.values[arg];
                let place = match (&value.kind, value.slot) {
                    (Kind::Input, _) => "in".to_owned(),
                    (Kind::Const(_), _) => "const".to_owned(),
                    (Kind::State(_), _) => "state".to_owned(),
                    (Kind::Temp, Some(slot)) => format!("s{slot}"),
                    (Kind::Temp, None) => "-".to_owned(),
                };
                let arrow = if binding.access == Access::Read {
                    ""
                } else {
                    "&"
                };
                let comma = if n > 0 { ", " } else { "" };
                write!(f, "{comma}{arrow}{}={}@{place}", binding.name, value.name)?;
            }
            writeln!(f, ")")?;
        }
        let slots: Vec<String> = self
            .slots
            .iter()
            .map(|words| (4 * words).to_string())
            .collect();
        writeln!(f, "slots [{}] bytes", slots.join(", "))
    }
}
