//! Kernels from outside as operations.

use std::sync::Arc;

use super::super::lower::Lowering;
use super::super::values::{Node, Type};
use super::operands::Operands;
use super::rules::{Operation, plain_rules};
use crate::base::words_for;
use crate::error::{Error, Result};
use crate::kernels::{Access, Kernel};

/// Any kernel, the application's own included: operands are its read and updated bindings in order,
/// results its written ones. Not stored in model files, has no gradient.
#[derive(Clone, Debug)]
pub struct Custom(pub Arc<dyn Kernel>);

impl Custom {
    /// This kernel as an operation.
    pub fn new(kernel: impl Kernel + 'static) -> Self {
        Self(Arc::new(kernel))
    }
}

impl Operation for Custom {
    fn infer(&self, x: &Operands<'_>) -> Result<Vec<Type>> {
        let bindings = self.0.bindings();
        let (writes, reads): (Vec<_>, Vec<_>) = bindings
            .into_iter()
            .partition(|b| b.access == Access::Write);
        x.count(reads.len())?;
        for (i, binding) in reads.iter().enumerate() {
            x.expect_dtype(i, binding.name, &[binding.dtype])?;
            // A kernel over plain elements takes any shape with as many words.
            let words = |shape: &[usize]| words_for(shape, binding.dtype);
            if words(x.shape(i)) != words(&binding.shape) {
                return Err(x.wrong_shape(i, binding.name, &format!("{:?}", binding.shape)));
            }
        }
        let types = writes.into_iter().map(|b| Type::new(&b.shape, b.dtype));
        Ok(types.collect())
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<()> {
        let (mut inputs, mut outputs) = (node.inputs.iter(), node.outputs.iter());
        let mut args = Vec::new();
        for binding in self.0.bindings() {
            let next = if binding.access == Access::Write {
                outputs.next()
            } else {
                inputs.next()
            };
            let id = next.ok_or_else(|| Error::invalid(&node.name, "too few operands"))?;
            args.push(to.value(*id)?);
        }
        to.launch_arc(node, Arc::clone(&self.0), args);
        Ok(())
    }

    plain_rules!(no_gradient);

    fn quantization(&self) -> super::QuantRule {
        super::QuantRule::Float
    }

    plain_rules!(fusion);
    plain_rules!(fixed_channels);

    fn updates(&self) -> Vec<usize> {
        let bindings = self.0.bindings().into_iter();
        let read = bindings.filter(|b| b.access != Access::Write);
        let updated = read
            .enumerate()
            .filter(|(_, b)| b.access == Access::ReadWrite);
        updated.map(|(i, _)| i).collect()
    }
}
