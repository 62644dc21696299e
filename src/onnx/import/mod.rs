//! From the nodes of a file to operations of ours.
//!
//! ONNX has images as `[n, c, h, w]`, kernels here have `[n, h, w, c]`. A value on its way knows in which
//! order its axes are stored ([`Live`]); a transposition in the file changes that order and computes
//! nothing, and elements move only where an operation needs another order than it finds.

mod layers;
mod layout;
mod movement;
mod norm;
mod pointwise;
mod pool;
mod quantized;
mod reduce;
mod resize;
mod transposed;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::array::{Array, Elem};
use super::attributes::Reading;
use super::file::Source;
use super::fold;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::base::{DType, MAX_ELEMENTS};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, ValueId, drop_dead};

/// A value that is computed at every run.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub id: ValueId,
    /// Axis `k` as stored is axis `order[k]` of the file's tensor.
    pub order: Vec<usize>,
    /// Set where the last axis was made of several: their sizes in the file's order, and in which order
    /// they are stored.
    pub flat: Option<(Vec<usize>, Vec<usize>)>,
}

/// What a name stands for.
#[derive(Clone)]
enum Slot {
    /// An initializer, not decoded yet.
    Stored(usize),
    Known(Rc<Array>),
    Live(Live),
}

/// An operand of a node.
pub(super) enum Operand {
    Known(Rc<Array>),
    Live(Live),
}

pub(super) struct Importer<'a> {
    pub graph: Graph,
    file: &'a Source,
    opsets: HashMap<String, i64>,
    slots: HashMap<String, Slot>,
    /// Constants that the file stores as integers.
    integers: HashMap<String, quantized::Stored>,
    /// Parameters made already, by name and form.
    params: HashMap<(String, String), ValueId>,
    /// Names of nodes.
    taken: HashSet<String>,
    /// What an image was before zeros were put around it, and how many.
    padded: HashMap<ValueId, (ValueId, [usize; 4])>,
    /// How results of transposed convolutions were made.
    spreads: HashMap<ValueId, transposed::Spread>,
}

/// Reads the graph of a file.
///
/// # Errors
/// [`Error::Invalid`] naming the node and what is wrong with it.
pub(super) fn import(file: &Source, inputs: &[(String, Vec<usize>)]) -> Result<Graph> {
    let graph = file.graph();
    let opsets = file.model.opset_import.iter().map(|set| {
        let domain = match set.domain.as_deref() {
            None | Some("ai.onnx") => "",
            Some(other) => other,
        };
        (domain.to_owned(), set.version.unwrap_or(0))
    });
    let mut importer = Importer {
        graph: Graph::new(),
        file,
        opsets: opsets.collect(),
        slots: HashMap::new(),
        integers: HashMap::new(),
        params: HashMap::new(),
        taken: HashSet::new(),
        padded: HashMap::new(),
        spreads: HashMap::new(),
    };
    for (i, tensor) in graph.initializer.iter().enumerate() {
        let name = tensor.name.as_deref().unwrap_or("");
        if importer
            .slots
            .insert(name.to_owned(), Slot::Stored(i))
            .is_some()
        {
            let problem = format!("two initializers are called `{name}`");
            return Err(Error::invalid("onnx", problem));
        }
    }
    importer.inputs(graph, inputs)?;
    for (i, node) in graph.node.iter().enumerate() {
        importer.node(node, i)?;
    }
    importer.outputs(&graph.output)?;
    drop_dead(&importer.graph)
}

impl<'a> Importer<'a> {
    fn inputs(&mut self, graph: &'a GraphProto, bound: &[(String, Vec<usize>)]) -> Result<()> {
        let fed = |value: &&ValueInfoProto| {
            let name = value.name.as_deref().unwrap_or("");
            !self.slots.contains_key(name)
        };
        let fed: Vec<&ValueInfoProto> = graph.input.iter().filter(fed).collect();
        for (name, _) in bound {
            if !fed.iter().any(|value| value.name.as_deref() == Some(name)) {
                let names: Vec<&str> = fed.iter().filter_map(|v| v.name.as_deref()).collect();
                let problem = format!("there is no input `{name}`; there are {}", names.join(", "));
                return Err(Error::invalid("input", problem));
            }
        }
        for value in fed {
            self.input(value, bound)?;
        }
        Ok(())
    }

    fn input(&mut self, value: &'a ValueInfoProto, bound: &[(String, Vec<usize>)]) -> Result<()> {
        let name = value.name.as_deref().unwrap_or("");
        let at = format!("input `{name}`");
        let ty = value.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
        let ty = ty.ok_or_else(|| Error::invalid(&at, "it is no tensor"))?;
        let elem = Elem::from_number(ty.elem_type.unwrap_or(0))
            .map_err(|e| Error::invalid(&at, super::words(&e)))?;
        let given = bound.iter().find(|(of, _)| of == name);
        let declared = ty.shape.as_ref().map(|shape| shape.dim.as_slice());
        let shape = input_shape(&at, declared, given.map(|(_, shape)| shape.as_slice()))?;
        if !elem.is_float() {
            let problem = format!(
                "it takes {elem:?}, and networks here take floats; give it a value when the network is \
                 exported, or let it start behind this input"
            );
            return Err(Error::invalid(&at, problem));
        }
        let order = layout::usual(shape.len());
        let stored: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let mut id = self.graph.input(name, DType::F32, &stored);
        self.taken.insert(name.to_owned());
        if elem == Elem::F16 {
            let to = crate::graph::ops::Cast { to: DType::F16 };
            id = self.graph.push(&format!("{name}/f16"), to, &[id])?;
        }
        let live = Live {
            id,
            order,
            flat: None,
        };
        match self.slots.insert(name.to_owned(), Slot::Live(live)) {
            None => Ok(()),
            Some(_) => Err(Error::invalid(at, "two inputs have this name")),
        }
    }

    fn outputs(&mut self, outputs: &'a [ValueInfoProto]) -> Result<()> {
        let mut results = Vec::new();
        for value in outputs {
            let name = value.name.as_deref().unwrap_or("");
            let at = format!("output `{name}`");
            match self.slots.get(name) {
                Some(Slot::Live(live)) => results.push((name, live.clone())),
                // Always the same: nothing that a network computes.
                Some(Slot::Known(_) | Slot::Stored(_)) => {
                    log::warn!("{at} does not depend on the inputs; it is left out");
                }
                None => return Err(Error::invalid(at, "no node makes it")),
            }
        }
        if results.is_empty() {
            let problem = "nothing that it makes depends on its inputs";
            return Err(Error::invalid("onnx", problem));
        }
        for (name, live) in results {
            let order = layout::usual(live.order.len());
            let mut id = self.ordered(name, &live, &order)?;
            if self.graph.value(id).dtype == DType::F16 {
                let to = crate::graph::ops::Cast { to: DType::F32 };
                id = self.graph.push(&format!("{name}/f32"), to, &[id])?;
            }
            self.graph.output_named(name, id);
        }
        Ok(())
    }

    fn node(&mut self, proto: &NodeProto, position: usize) -> Result<()> {
        let domain = match proto.domain.as_deref() {
            None | Some("ai.onnx") => "",
            Some(domain) => domain,
        };
        let kind = proto.op_type.as_deref().unwrap_or("");
        let name = self.name_of(proto, position);
        let node = Reading {
            proto,
            name: &name,
            opset: self.opsets.get(domain).copied().unwrap_or(0),
        };
        if !matches!(domain, "" | "com.microsoft") {
            let problem = format!("wizen does not know the operators of `{domain}`");
            return Err(node.wrong(problem));
        }
        if domain.is_empty() && !(1..=30).contains(&node.opset) {
            let problem = "the file does not say in which version of the operators it is written";
            return Err(node.wrong(problem));
        }
        for output in proto.output.iter().filter(|name| !name.is_empty()) {
            if self.slots.contains_key(output.as_str()) {
                return Err(node.wrong(format!("`{output}` is made twice")));
            }
        }
        let mut known = Vec::with_capacity(proto.input.len());
        let mut all_known = true;
        for input in &proto.input {
            known.push(match self.slots.get(input.as_str()) {
                _ if input.is_empty() => None,
                Some(Slot::Live(_)) => {
                    all_known = false;
                    None
                }
                Some(_) => Some(input),
                None => {
                    let problem = format!(
                        "it uses `{input}`, which neither the file nor a node before it holds"
                    );
                    return Err(node.wrong(problem));
                }
            });
        }
        if all_known && domain.is_empty() {
            let mut arrays = Vec::with_capacity(known.len());
            for name in known {
                let array = name.map(|name| self.known(name)).transpose()?;
                arrays.push(array.map(|array| Array::clone(&array)));
            }
            if node.kind() == "DequantizeLinear" {
                self.keep_integers(&node)?;
            }
            if let Some(made) = fold::evaluate(&node, &arrays)? {
                for (output, array) in proto.output.iter().zip(made) {
                    self.slots
                        .insert(output.clone(), Slot::Known(Rc::new(array)));
                }
                return Ok(());
            }
            let problem =
                "all its operands are constants, and this operation is not evaluated beforehand";
            return Err(node.wrong(problem));
        }
        if let Some(nodes) = self.spelled_out(&node)? {
            for (i, part) in nodes.iter().enumerate() {
                self.node(part, position * 100 + i)?;
            }
            return Ok(());
        }
        let made = self.translate(&node, domain)?;
        let Some(made) = made else {
            let what = match domain {
                "" => format!("operator {kind} of version {}", node.opset),
                domain => format!("operator {kind} of `{domain}`"),
            };
            let problem = format!("wizen does not know the {what}");
            return Err(Error::invalid(node.name, problem));
        };
        self.taken.insert(name.clone());
        for (output, slot) in proto.output.iter().zip(made) {
            if !output.is_empty() {
                self.slots.insert(output.clone(), slot);
            }
        }
        Ok(())
    }

    /// The node's own name where it has one that nothing else has, else that of what it makes.
    fn name_of(&self, proto: &NodeProto, position: usize) -> String {
        let own = proto.name.as_deref().filter(|name| !name.is_empty());
        let made = proto.output.iter().find(|name| !name.is_empty());
        let free = |name: &&str| !self.taken.contains(*name);
        let name = own.filter(free).or(made.map(String::as_str).filter(free));
        name.map_or_else(|| format!("node {position}"), str::to_owned)
    }

    /// A tensor that is known beforehand.
    pub fn known(&self, name: &str) -> Result<Rc<Array>> {
        match self.slots.get(name) {
            Some(Slot::Stored(i)) => Ok(Rc::new(self.file.tensor(*i)?)),
            Some(Slot::Known(array)) => Ok(Rc::clone(array)),
            Some(Slot::Live(_)) | None => {
                let problem = format!("`{name}` is computed, expected a constant");
                Err(Error::invalid("onnx", problem))
            }
        }
    }

    /// Operand `i`, if the node has it.
    pub fn operand(&self, node: &Reading<'_>, i: usize) -> Result<Option<Operand>> {
        let Some(name) = node.proto.input.get(i).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(match self.slots.get(name.as_str()) {
            Some(Slot::Live(live)) => Operand::Live(live.clone()),
            _ => Operand::Known(self.known(name)?),
        }))
    }

    /// Operand `i`, computed at every run.
    pub fn live(&self, node: &Reading<'_>, i: usize) -> Result<Live> {
        match self.operand(node, i)? {
            Some(Operand::Live(live)) => Ok(live),
            Some(Operand::Known(_)) => Err(node.wrong(format!(
                "operand {i} is a constant, expected what the network computes"
            ))),
            None => Err(node.wrong(format!("operand {i} is missing"))),
        }
    }

    /// Operand `i`, known beforehand, if the node has it.
    pub fn constant(&self, node: &Reading<'_>, i: usize) -> Result<Option<Rc<Array>>> {
        match self.operand(node, i)? {
            Some(Operand::Known(array)) => Ok(Some(array)),
            None => Ok(None),
            Some(Operand::Live(_)) => {
                let name = &node.proto.input[i];
                Err(node.wrong(format!("`{name}` is computed, expected a constant")))
            }
        }
    }

    /// Operand `i`, known beforehand.
    pub fn required(&self, node: &Reading<'_>, i: usize) -> Result<Rc<Array>> {
        let found = self.constant(node, i)?;
        found.ok_or_else(|| node.wrong(format!("operand {i} is missing")))
    }

    /// The shape of a value in the file.
    pub fn shape(&self, live: &Live) -> Vec<usize> {
        let stored = &self.graph.value(live.id).shape;
        let mut shape = vec![1; stored.len()];
        for (&axis, &size) in live.order.iter().zip(stored) {
            shape[axis] = size;
        }
        shape
    }

    pub fn dtype(&self, live: &Live) -> DType {
        self.graph.value(live.id).dtype
    }

    /// A parameter: `array` in a `form` that tells it from others of the same name.
    pub fn param(
        &mut self,
        name: &str,
        form: &str,
        make: impl FnOnce() -> Result<crate::base::Tensor>,
    ) -> Result<ValueId> {
        let key = (name.to_owned(), form.to_owned());
        if let Some(&id) = self.params.get(&key) {
            return Ok(id);
        }
        let id = self.graph.param(name, make()?);
        self.params.insert(key, id);
        Ok(id)
    }

    /// A node whose result has this order.
    pub fn push(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
        order: Vec<usize>,
    ) -> Result<Live> {
        let id = self.graph.push(name, op, inputs)?;
        Ok(Live {
            id,
            order,
            flat: None,
        })
    }

    fn translate(&mut self, node: &Reading<'_>, domain: &str) -> Result<Option<Vec<Slot>>> {
        if let Some(slots) = self.dynamic(node)? {
            return Ok(Some(slots));
        }
        if let Some(live) = self.quantized(node)? {
            return Ok(Some(vec![Slot::Live(live)]));
        }
        if node.kind() == "Shape" && domain.is_empty() {
            let shape = self.shape(&self.live(node, 0)?);
            return Ok(Some(vec![Slot::Known(Rc::new(fold::shape_of(
                node, &shape,
            )?))]));
        }
        if node.kind() == "Size" && domain.is_empty() {
            let shape = self.shape(&self.live(node, 0)?);
            let size = shape.iter().product::<usize>() as i64;
            let size = Array::ints(&[], vec![size]);
            return Ok(Some(vec![Slot::Known(Rc::new(size))]));
        }
        let found = match self.layer(node)? {
            Some(live) => Some(vec![live]),
            None => match self.pointwise(node)? {
                Some(live) => Some(vec![live]),
                None => match self.movement(node)? {
                    Some(lives) => Some(lives),
                    None => match self.pooling(node)? {
                        Some(live) => Some(vec![live]),
                        None => match self.norm(node)? {
                            Some(live) => Some(vec![live]),
                            None => self.reduction(node)?.map(|live| vec![live]),
                        },
                    },
                },
            },
        };
        Ok(found.map(|lives| lives.into_iter().map(Slot::Live).collect()))
    }
}

/// The shape of an input: as declared, open sizes as given; an open first one is 1.
fn input_shape(
    at: &str,
    declared: Option<&[super::proto::DimensionProto]>,
    given: Option<&[usize]>,
) -> Result<Vec<usize>> {
    let wrong = |problem: String| Err(Error::invalid(at, problem));
    let sizes: Option<Vec<Option<usize>>> = declared.map(|dims| {
        let size = |dim: &super::proto::DimensionProto| {
            let size = dim.dim_value.filter(|&size| size > 0)?;
            usize::try_from(size).ok()
        };
        dims.iter().map(size).collect()
    });
    let shape: Vec<usize> = match (sizes, given) {
        (Some(sizes), Some(given)) => {
            let fits = sizes.len() == given.len()
                && sizes
                    .iter()
                    .zip(given)
                    .all(|(s, g)| s.is_none_or(|s| s == *g));
            if !fits {
                let sizes: Vec<String> = sizes
                    .iter()
                    .map(|s| s.map_or("?".to_owned(), |s| s.to_string()))
                    .collect();
                return wrong(format!(
                    "the file says [{}], given was {given:?}",
                    sizes.join(", ")
                ));
            }
            given.to_vec()
        }
        (None, Some(given)) => given.to_vec(),
        (Some(sizes), None) => {
            let open = |(i, size): (usize, &Option<usize>)| size.or((i == 0).then_some(1));
            let known: Option<Vec<usize>> = sizes.iter().enumerate().map(open).collect();
            match known {
                Some(shape) => shape,
                None => {
                    let example: Vec<String> = sizes
                        .iter()
                        .enumerate()
                        .map(|(i, s)| s.unwrap_or(if i == 0 { 1 } else { 224 }).to_string())
                        .collect();
                    let name = at.trim_start_matches("input `").trim_end_matches('`');
                    return wrong(format!(
                        "its size is left open in the file; say it, as in `--input {name}={}`",
                        example.join("x")
                    ));
                }
            }
        }
        (None, None) => {
            return wrong("the file does not say its shape; say it with `--input`".into());
        }
    };
    let elements = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size));
    if shape.is_empty() || !elements.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n)) {
        return wrong(format!("it cannot have the shape {shape:?}"));
    }
    Ok(shape)
}
