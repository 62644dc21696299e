//! What a network is fed.

use super::{Importer, Live, Slot, layout};
use crate::base::{DType, MAX_ELEMENTS};
use crate::error::{Error, Result};
use crate::onnx::array::Elem;
use crate::onnx::proto::{DimensionProto, ValueInfoProto};

impl Importer<'_> {
    pub(super) fn input(
        &mut self,
        value: &ValueInfoProto,
        bound: &[(String, Vec<usize>)],
    ) -> Result<()> {
        let name = value.name.as_deref().unwrap_or("");
        let at = format!("input `{name}`");
        let ty = value.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
        let ty = ty.ok_or_else(|| Error::invalid(&at, "it is no tensor"))?;
        let elem = Elem::from_number(ty.elem_type.unwrap_or(0))
            .map_err(|e| Error::invalid(&at, crate::onnx::words(&e)))?;
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
}

/// The shape of an input: as declared, open sizes as given; an open first one is 1.
fn input_shape(
    at: &str,
    declared: Option<&[DimensionProto]>,
    given: Option<&[usize]>,
) -> Result<Vec<usize>> {
    let wrong = |problem: String| Err(Error::invalid(at, problem));
    let sizes: Option<Vec<Option<usize>>> = declared.map(|dims| {
        let size = |dim: &DimensionProto| {
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
