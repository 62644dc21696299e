//! Which channels can only leave a network together: the dependency groups of structured pruning (Fang et
//! al. 2023, "DepGraph: Towards Any Structural Pruning").
//!
//! A unit is one slice of one axis of one value. Operations tie the units of their operands and results
//! ([`super::ops`]); what is tied, directly or not, is one group and goes or stays as a whole.

use std::collections::HashMap;

use super::values::{Graph, Node, Source, ValueId};
use crate::base::Shape;

/// An axis of a value.
pub type Axis = (ValueId, usize);

/// Units of a graph, tied by its operations.
#[derive(Debug)]
pub struct Ties<'g> {
    graph: &'g Graph,
    /// First unit of every axis that is tied to another.
    first: HashMap<Axis, usize>,
    /// Axis and position of every unit.
    units: Vec<(Axis, usize)>,
    parent: Vec<usize>,
    fixed: Vec<bool>,
}

/// Slices of axes that can only go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The slices, in the order of the values.
    pub slices: Vec<(Axis, usize)>,
}

impl<'g> Ties<'g> {
    /// Asks every operation of `graph`. What comes from outside and the results of the network stay.
    pub fn new(graph: &'g Graph) -> Self {
        Self::by(graph, |node, ties| node.op.rules().channels(node, ties))
    }

    /// As [`Self::new`], with another answer for every node.
    pub fn by(graph: &'g Graph, rule: impl Fn(&Node, &mut Self)) -> Self {
        let mut ties = Self {
            graph,
            first: HashMap::new(),
            units: Vec::new(),
            parent: Vec::new(),
            fixed: Vec::new(),
        };
        for node in graph.nodes() {
            rule(node, &mut ties);
        }
        let inputs = graph.values();
        let inputs = inputs.filter(|(_, value)| matches!(value.source, Source::Input));
        let ends: Vec<ValueId> = inputs
            .map(|(id, _)| id)
            .chain(graph.outputs().iter().copied())
            .collect();
        for id in ends {
            ties.pin_value(id);
        }
        ties
    }

    /// The graph whose channels these are.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> &'g Shape {
        &self.graph.value(id).shape
    }

    /// The last axis of a value: that of its channels.
    pub fn last(&self, id: ValueId) -> Axis {
        (id, self.shape(id).len().saturating_sub(1))
    }

    fn unit(&mut self, axis: Axis, at: usize) -> usize {
        let size = self.shape(axis.0).get(axis.1).copied().unwrap_or(1);
        let next = self.units.len();
        let first = *self.first.entry(axis).or_insert(next);
        if first == next {
            self.units.extend((0..size).map(|i| (axis, i)));
            self.parent.extend(next..next + size);
            self.fixed.extend(std::iter::repeat_n(false, size));
        }
        first + at
    }

    fn root(&mut self, mut unit: usize) -> usize {
        while self.parent[unit] != unit {
            self.parent[unit] = self.parent[self.parent[unit]];
            unit = self.parent[unit];
        }
        unit
    }

    /// Ties one slice of an axis to one of another.
    pub fn tie_one(&mut self, a: (Axis, usize), b: (Axis, usize)) {
        let (a, b) = (self.unit(a.0, a.1), self.unit(b.0, b.1));
        let (a, b) = (self.root(a), self.root(b));
        // The first unit leads: groups come in the order of the values.
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high] = low;
        self.fixed[low] |= self.fixed[high];
    }

    /// Ties slice `i` of one axis to slice `i` of another, of the same length.
    pub fn tie(&mut self, a: Axis, b: Axis) {
        self.tie_by(a, b, Some);
    }

    /// Ties slice `i` of `a` to slice `f(i)` of `b`; those without an image stay what they are.
    pub fn tie_by(&mut self, a: Axis, b: Axis, f: impl Fn(usize) -> Option<usize>) {
        let size = self.shape(a.0).get(a.1).copied().unwrap_or(1);
        for i in 0..size {
            match f(i) {
                Some(j) => self.tie_one((a, i), (b, j)),
                None => {
                    self.unit(a, i);
                }
            }
        }
    }

    /// Every slice of the axis stays.
    pub fn pin(&mut self, axis: Axis) {
        let size = self.shape(axis.0).get(axis.1).copied().unwrap_or(1);
        for i in 0..size {
            let unit = self.unit(axis, i);
            let root = self.root(unit);
            self.fixed[root] = true;
        }
    }

    fn pin_value(&mut self, id: ValueId) {
        for axis in 0..self.shape(id).len() {
            // The batch is no channel; axes that nothing ties need no unit.
            if self.first.contains_key(&(id, axis)) || axis + 1 == self.shape(id).len() {
                self.pin((id, axis));
            }
        }
    }

    /// Everything that the node reads or makes stays as it is.
    pub fn pin_all(&mut self, node: &Node) {
        for &id in node.inputs.iter().chain(&node.outputs) {
            for axis in 0..self.shape(id).len() {
                self.pin((id, axis));
            }
        }
    }

    /// The groups that may leave, each with all its slices.
    pub fn groups(mut self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut at: HashMap<usize, usize> = HashMap::new();
        for unit in 0..self.units.len() {
            let root = self.root(unit);
            if self.fixed[root] {
                continue;
            }
            let group = *at.entry(root).or_insert_with(|| {
                groups.push(Group::default());
                groups.len() - 1
            });
            groups[group].slices.push(self.units[unit]);
        }
        groups
    }
}

/// What is left of every axis.
#[derive(Debug)]
pub struct Kept<'g> {
    graph: &'g Graph,
    /// Slices that stay, ascending, for axes that lost some.
    axes: HashMap<Axis, Vec<usize>>,
}

impl<'g> Kept<'g> {
    /// All slices but those of these groups.
    pub fn without<'a>(graph: &'g Graph, groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let mut gone: HashMap<Axis, Vec<bool>> = HashMap::new();
        for &(axis, at) in groups.into_iter().flat_map(|group| &group.slices) {
            let size = graph.value(axis.0).shape[axis.1];
            gone.entry(axis).or_insert_with(|| vec![false; size])[at] = true;
        }
        let left = |gone: Vec<bool>| (0..gone.len()).filter(|&i| !gone[i]).collect();
        Self {
            graph,
            axes: gone
                .into_iter()
                .map(|(axis, gone)| (axis, left(gone)))
                .collect(),
        }
    }

    /// The slices of an axis that stay; `None` if all do.
    pub fn of(&self, axis: Axis) -> Option<&[usize]> {
        self.axes.get(&axis).map(Vec::as_slice)
    }

    /// How many slices of an axis stay.
    pub fn count(&self, axis: Axis) -> usize {
        self.of(axis)
            .map_or(self.graph.value(axis.0).shape[axis.1], <[usize]>::len)
    }

    /// The shape that is left of a value.
    pub fn shape(&self, id: ValueId) -> Shape {
        (0..self.graph.value(id).shape.len())
            .map(|axis| self.count((id, axis)))
            .collect()
    }
}
