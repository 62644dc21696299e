//! From the nodes of a file to operations of ours.
//!
//! ONNX has images as `[n, c, h, w]`, kernels here have `[n, h, w, c]`. A value on its way knows in which
//! order its axes are stored ([`Live`]); a transposition in the file changes that order and computes
//! nothing, and elements move only where an operation needs another order than it finds.

mod dynamic;
mod inputs;
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

use super::array::Array;
use super::attributes::Reading;
use super::file::Source;
use super::fold;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::base::DType;
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
    /// What was reshaped, by what came out.
    reshapes: HashMap<ValueId, ValueId>,
    /// What was moved before, by what it was and to which shape, or (`true`) into which order.
    moved: HashMap<(ValueId, Vec<usize>, bool), ValueId>,
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
        reshapes: HashMap::new(),
        moved: HashMap::new(),
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
        let kind = proto.op_type.as_deref().unwrap_or("");
        let domain = match proto.domain.as_deref() {
            None | Some("ai.onnx") => "",
            // ONNX Runtime's own, from before ONNX had all types of these two.
            Some("com.microsoft") if kind.ends_with("uantizeLinear") => "",
            Some(domain) => domain,
        };
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
        if let Some(lives) = self.movement(node)? {
            return Ok(Some(lives.into_iter().map(Slot::Live).collect()));
        }
        for family in [
            Self::layer,
            Self::pointwise,
            Self::pooling,
            Self::norm,
            Self::reduction,
        ] {
            if let Some(live) = family(self, node)? {
                return Ok(Some(vec![Slot::Live(live)]));
            }
        }
        Ok(None)
    }
}
