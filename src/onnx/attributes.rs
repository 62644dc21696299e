//! A node of a file and its attributes, read with their types.

use super::array::{Array, Elem};
use super::proto::{AttributeProto, NodeProto};
use crate::error::{Error, Result};

/// A node being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub proto: &'a NodeProto,
    /// What errors and the graph call it.
    pub name: &'a str,
    /// Version of the operations it is written in.
    pub opset: i64,
}

impl<'a> Reading<'a> {
    /// The operation.
    pub fn kind(&self) -> &'a str {
        self.proto.op_type.as_deref().unwrap_or("")
    }

    /// An error about the node.
    pub fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::invalid(format!("{} ({})", self.name, self.kind()), problem)
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        let mut all = self.proto.attribute.iter();
        all.find(|a| a.name.as_deref() == Some(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).and_then(|a| a.i).unwrap_or(default)
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name, default.into()) != 0
    }

    /// A float.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        let value = self.find(name).and_then(|a| a.f).unwrap_or(default);
        match value.is_finite() {
            true => Ok(value),
            false => Err(self.wrong(format!("`{name}` is {value}"))),
        }
    }

    pub fn text(&self, name: &str, default: &'a str) -> &'a str {
        let bytes = self.find(name).and_then(|a| a.s.as_ref());
        bytes.map_or(default, |s| std::str::from_utf8(s).unwrap_or(""))
    }

    pub fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.find(name).map(|a| a.ints.as_slice())
    }

    pub fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.find(name).map(|a| a.floats.as_slice())
    }

    pub fn tensor(&self, name: &str) -> Result<Option<Array>> {
        let found = self.find(name).and_then(|a| a.t.as_ref());
        let inside = |_: &super::proto::TensorProto| {
            Err(Error::invalid("onnx", "an attribute in another file"))
        };
        found.map(|t| Array::read(t, &inside)).transpose()
    }

    /// Sizes: `N` integers from 0 to 2³¹ − 1, so that no product of two of them overflows.
    pub fn sizes<const N: usize>(&self, name: &str, default: usize) -> Result<[usize; N]> {
        let Some(ints) = self.ints(name) else {
            return Ok([default; N]);
        };
        let sizes: Vec<usize> = ints
            .iter()
            .filter_map(|&i| i32::try_from(i).ok())
            .filter_map(|i| usize::try_from(i).ok())
            .collect();
        <[usize; N]>::try_from(sizes)
            .map_err(|_| self.wrong(format!("`{name}` is {ints:?}, expected {N} sizes")))
    }

    /// An axis counted from the front, of `rank`; from the back if it is negative.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_front = if axis < 0 { axis + rank as i64 } else { axis };
        let found = usize::try_from(from_front).ok().filter(|&a| a < rank);
        found.ok_or_else(|| self.wrong(format!("axis {axis} of a tensor with {rank} axes")))
    }

    /// The element type that an attribute names.
    pub fn elem(&self, name: &str) -> Result<Elem> {
        let number = i32::try_from(self.int(name, 0)).unwrap_or(0);
        Elem::from_number(number).map_err(|e| self.wrong(super::words(&e)))
    }
}
