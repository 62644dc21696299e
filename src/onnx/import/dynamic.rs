//! Networks that find the ranges of their activations as they run.

use super::quantized::operator;
use super::{Importer, Operand, Slot};
use crate::error::Result;
use crate::onnx::array::Array;
use crate::onnx::attributes::Reading;

impl Importer<'_> {
    /// A network that finds ranges as it runs: its layers are read with the activations they would round, in
    /// float.
    pub(super) fn dynamic(&mut self, node: &Reading<'_>) -> Result<Option<Vec<Slot>>> {
        let known = |array: Array| Slot::Known(std::rc::Rc::new(array));
        match node.kind() {
            "DynamicQuantizeLinear" => {
                let x = self.live(node, 0)?;
                log::warn!(
                    "{}: its range is found as the network runs; what reads it stays float",
                    node.name
                );
                let one = Array::float(&[], vec![1.0]);
                let zero = Array::ints(&[], vec![0]);
                Ok(Some(vec![Slot::Live(x), known(one), known(zero)]))
            }
            "ConvInteger" | "MatMulInteger" => {
                let w = self.required(node, 1)?;
                let zero = self.constant(node, 3)?;
                let mut data = w.to_i64();
                let zeros = zero.map_or_else(|| vec![0], |zero| zero.to_i64());
                let slice = (data.len() / zeros.len().max(1)).max(1);
                for (i, x) in data.iter_mut().enumerate() {
                    *x -= zeros[(i / slice).min(zeros.len() - 1)];
                }
                if !matches!(self.operand(node, 0)?, Some(Operand::Live(_))) {
                    return Err(node.wrong("its operand is a constant"));
                }
                let name = format!("{}/weights", node.name);
                let reals = data.iter().map(|&x| x as f32).collect();
                self.slots
                    .insert(name.clone(), known(Array::float(&w.shape, reals)));
                let kind = node.kind().trim_end_matches("Integer");
                let inputs = vec![node.proto.input[0].clone(), name];
                let attributes = node.proto.attribute.clone();
                let proto = operator(kind, inputs, node.name, attributes);
                let reading = Reading {
                    proto: &proto,
                    ..*node
                };
                let y = self.layer(&reading)?;
                Ok(y.map(|y| vec![Slot::Live(y)]))
            }
            _ => Ok(None),
        }
    }
}
