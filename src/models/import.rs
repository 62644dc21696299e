//! Foreign weights: tensors with PyTorch's names and layouts become wizen's.

use super::{Weights, param_shapes};
use crate::base::{Shape, Tensor};
use crate::error::{Error, Result};

/// A tensor of a foreign file: name, shape in the file's own order (OIHW, `[out, in]`), elements.
pub type Foreign<'a> = (&'a str, &'a [usize], Vec<f32>);

/// Recognises the architecture (unless `arch` names it) and converts layouts: OIHW → OHWI, and the
/// columns of the first linear layer from CHW to HWC order.
///
/// # Errors
/// [`Error::Invalid`] listing missing, unexpected and mis-shaped tensors, or if no architecture fits.
pub fn import(arch: Option<&str>, tensors: &[Foreign<'_>]) -> Result<(String, Weights)> {
    let arch = match arch {
        Some(arch) => arch,
        None => recognise(tensors)?,
    };
    let wanted = param_shapes(arch)?;
    let mut problems = Vec::new();
    let mut weights = Weights::new();
    for (name, shape) in &wanted {
        let foreign_shape = foreign_shape(shape);
        match tensors.iter().find(|(found, _, _)| found == name) {
            None => problems.push(format!("`{name}` is missing")),
            Some((_, found, _)) if **found != foreign_shape[..] => {
                problems.push(format!(
                    "`{name}` has shape {found:?}, expected {foreign_shape:?}"
                ));
            }
            Some((_, _, data)) => {
                weights.insert(name.clone(), convert(arch, name, shape, data)?);
            }
        }
    }
    for (name, _, _) in tensors {
        if !wanted.iter().any(|(wanted, _)| wanted == name) {
            problems.push(format!("`{name}` is unexpected"));
        }
    }
    if problems.is_empty() {
        return Ok((arch.to_owned(), weights));
    }
    Err(Error::invalid(
        format!("weights of {arch}"),
        problems.join("; "),
    ))
}

fn recognise(tensors: &[Foreign<'_>]) -> Result<&'static str> {
    let has = |name: &str| tensors.iter().any(|(found, _, _)| *found == name);
    if has("conv1.weight") && has("conv2.weight") && has("fc3.weight") {
        return Ok("lenet5");
    }
    let names: Vec<&str> = tensors.iter().take(5).map(|(name, _, _)| *name).collect();
    let problem = format!(
        "no known architecture has tensors named {} …; name it with --arch",
        names.join(", ")
    );
    Err(Error::invalid("weights", problem))
}

/// OHWI → OIHW; everything else is the same on both sides.
fn foreign_shape(shape: &Shape) -> Shape {
    match shape[..] {
        [o, h, w, i] => vec![o, i, h, w],
        _ => shape.clone(),
    }
}

fn convert(arch: &str, name: &str, shape: &Shape, data: &[f32]) -> Result<Tensor> {
    let reordered = match shape[..] {
        [o, h, w, i] => oihw_to_ohwi(data, [o, i, h, w]),
        // The flattened image: 16 channels of 5 × 5 in CHW order.
        [out, 400] if arch == "lenet5" && name == "fc1.weight" => {
            oihw_to_ohwi(data, [out, 16, 5, 5])
        }
        _ => data.to_vec(),
    };
    Tensor::from_f32(shape, &reordered)
}

/// `[o, i, h, w]` → `[o, h, w, i]`.
fn oihw_to_ohwi(data: &[f32], [o, i, h, w]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(data.len());
    for o in 0..o {
        for y in 0..h {
            for x in 0..w {
                out.extend((0..i).map(|c| data[((o * i + c) * h + y) * w + x]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_everything_that_is_wrong() {
        let bias: &[usize] = &[6];
        let tensors: Vec<Foreign<'_>> = vec![
            ("conv1.bias", bias, vec![0.0; 6]),
            ("extra", bias, vec![0.0; 6]),
        ];
        let error = import(Some("lenet5"), &tensors)
            .expect_err("incomplete")
            .to_string();
        assert!(
            error.contains("`conv1.weight` is missing") && error.contains("`extra` is unexpected"),
            "{error}"
        );
    }

    #[test]
    fn layout() {
        // i = 2 channels of 1 × 2 pixels.
        assert_eq!(
            oihw_to_ohwi(&[1.0, 2.0, 3.0, 4.0], [1, 2, 1, 2]),
            [1.0, 3.0, 2.0, 4.0]
        );
    }
}
