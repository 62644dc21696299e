//! A node's operands under inspection: what every operation checks, said once.

use super::super::values::{Type, Value};
use crate::base::{DType, QParams, Quantization, Shape, num_elements};
use crate::error::{Error, Result};

pub(super) const FLOATS: &[DType] = &[DType::F32, DType::F16];
pub(super) const F32: &[DType] = &[DType::F32];
/// What layers compute with.
pub(super) const REALS: &[DType] = &[DType::F32, DType::F16, DType::I8];

/// One node's operands.
pub(crate) struct Operands<'a> {
    node: &'a str,
    op: String,
    values: &'a [&'a Value],
}

impl<'a> Operands<'a> {
    pub fn new(node: &'a str, op: String, values: &'a [&'a Value]) -> Self {
        Self { node, op, values }
    }

    /// The node and its operation, for errors.
    pub fn at(&self) -> String {
        format!("{} ({})", self.node, self.op)
    }

    /// Checks that there are so many operands.
    pub fn count(&self, want: usize) -> Result<()> {
        if self.values.len() == want {
            return Ok(());
        }
        Err(Error::invalid(
            self.at(),
            format!("{} operands, expected {want}", self.values.len()),
        ))
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn shape(&self, i: usize) -> &[usize] {
        &self.values[i].shape
    }

    pub fn dtype(&self, i: usize) -> DType {
        self.values[i].dtype
    }

    /// What the integers of an operand stand for.
    pub fn quant(&self, i: usize) -> Option<&'a Quantization> {
        self.values[i].quant.as_ref()
    }

    pub fn expect_dtype(&self, i: usize, name: &str, allowed: &[DType]) -> Result<()> {
        if allowed.contains(&self.dtype(i)) {
            return Ok(());
        }
        let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        Err(Error::DType {
            op: self.at(),
            operand: format!("{name} = {}", self.values[i].name),
            expected: names.join(" or "),
            got: self.dtype(i).to_string(),
        })
    }

    pub fn expect_shape(&self, i: usize, name: &str, want: &[usize]) -> Result<()> {
        if self.shape(i) == want {
            return Ok(());
        }
        Err(self.wrong_shape(i, name, &format!("{want:?}")))
    }

    pub fn wrong_shape(&self, i: usize, name: &str, expected: &str) -> Error {
        Error::shape(
            self.at(),
            format!("{name} = {}", self.values[i].name),
            expected,
            self.shape(i),
        )
    }

    /// The shape of an image.
    pub fn image(&self, i: usize, name: &str) -> Result<[usize; 4]> {
        let shape = self.shape(i);
        match <[usize; 4]>::try_from(shape) {
            Ok(image) if num_elements(shape) > 0 => Ok(image),
            _ => Err(self.wrong_shape(i, name, "[n, h, w, c], none of them 0")),
        }
    }

    /// The shape of a matrix.
    pub fn matrix(&self, i: usize, name: &str) -> Result<[usize; 2]> {
        let shape = self.shape(i);
        match <[usize; 2]>::try_from(shape) {
            Ok(matrix) if num_elements(shape) > 0 => Ok(matrix),
            _ => Err(self.wrong_shape(i, name, "[rows, columns], neither of them 0")),
        }
    }

    /// Elements of the parameter axis: 1 when per tensor.
    pub fn channels(&self, i: usize, axis: Option<usize>) -> Result<usize> {
        match axis {
            None => Ok(1),
            Some(axis) => self.shape(i).get(axis).copied().ok_or_else(|| {
                Error::invalid(
                    self.at(),
                    format!("axis {axis} of a tensor with {} axes", self.shape(i).len()),
                )
            }),
        }
    }

    /// `x`, then scale-like parameters at the given positions, each with one entry per channel.
    pub fn per_channel(&self, axis: Option<usize>, params: &[(usize, &str, DType)]) -> Result<()> {
        let channels = self.channels(0, axis)?;
        for &(i, name, dtype) in params {
            self.expect_dtype(i, name, &[dtype])?;
            self.expect_shape(i, name, &[channels])?;
        }
        Ok(())
    }

    /// The parameters of an operand that is quantized as a whole.
    pub fn qparams(&self, i: usize, name: &str) -> Result<QParams> {
        self.values[i].qparams().ok_or_else(|| {
            let name = format!("`{name} = {}`", self.values[i].name);
            let problem = format!("{name} is int8, but nothing says what its integers stand for");
            Error::invalid(self.at(), problem)
        })
    }
}

/// One result.
pub(super) fn one(shape: &[usize], dtype: DType) -> Result<Vec<Type>> {
    Ok(vec![Type::new(shape, dtype)])
}

/// One result that is quantized as an operand is: elements were moved or selected.
pub(super) fn like(shape: &[usize], x: &Operands<'_>, i: usize) -> Result<Vec<Type>> {
    let quant = x.quant(i).cloned();
    Ok(vec![Type {
        quant,
        ..Type::new(shape, x.dtype(i))
    }])
}

/// `[.., c]` as rows and channels.
pub(super) fn rows_of(shape: &Shape) -> (usize, usize) {
    let channels = shape.last().copied().unwrap_or(1);
    (num_elements(shape) / channels.max(1), channels)
}
