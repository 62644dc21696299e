//! Foreign weights: tensors with PyTorch's names and layouts become wizen's.

use super::{ResNet, Weights, param_shapes};
use crate::base::{Shape, Tensor};
use crate::error::{Error, Result};

/// A tensor of a foreign file: name, shape in the file's own order (OIHW, `[out, in]`), elements.
pub type Foreign<'a> = (&'a str, &'a [usize], Vec<f32>);

/// True for tensors that inference has no use for: counters of a batch norm's training steps.
fn is_ignored(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

/// Recognises the architecture (unless `arch` names it) and converts layouts: OIHW → OHWI, and the
/// columns of the first linear layer from CHW to HWC order. Names may start with `module.`, as
/// PyTorch's `DataParallel` writes them; the widths of a ResNet are those of its tensors.
///
/// # Errors
/// [`Error::Invalid`] listing missing, unexpected and mis-shaped tensors, or if no architecture fits.
pub fn import(arch: Option<&str>, tensors: &[Foreign<'_>]) -> Result<(String, Weights)> {
    let tensors: Vec<(String, &[usize], &[f32])> = tensors
        .iter()
        .filter(|(name, _, _)| !is_ignored(name))
        .map(|(name, shape, data)| (own_name(name), *shape, data.as_slice()))
        .collect();
    let (arch, wanted) = wanted(arch, &tensors)?;
    let (mut missing, mut misshaped, mut unexpected) = (Vec::new(), Vec::new(), Vec::new());
    let mut weights = Weights::new();
    for (name, shape) in &wanted {
        let foreign_shape = foreign_shape(shape);
        match tensors.iter().find(|(found, _, _)| found == name) {
            None => missing.push(format!("`{name}`")),
            Some((_, found, _)) if **found != foreign_shape[..] => {
                misshaped.push(format!("`{name}` {found:?}, expected {foreign_shape:?}"));
            }
            Some((_, _, data)) => {
                weights.insert(name.clone(), convert(&arch, name, shape, data)?);
            }
        }
    }
    for (name, _, _) in &tensors {
        if !wanted.iter().any(|(wanted, _)| wanted == name) {
            unexpected.push(format!("`{name}`"));
        }
    }
    let lists = [
        ("missing", missing),
        ("of another shape", misshaped),
        ("unexpected", unexpected),
    ];
    let problems: Vec<String> = lists
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", shortened(names)))
        .collect();
    if problems.is_empty() {
        return Ok((arch, weights));
    }
    let problem = format!(
        "{}; give a checkpoint of {arch}, or name its architecture with --arch",
        problems.join("; ")
    );
    Err(Error::invalid(format!("weights of {arch}"), problem))
}

/// Names in a sentence; a file of another network has hundreds.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// torchvision's name of a tensor: without the prefix of `DataParallel`, and with its words for what
/// CIFAR networks often call `shortcut` and `linear`.
fn own_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.replace(".shortcut.", ".downsample.");
    match name.strip_prefix("linear.") {
        Some(part) => format!("fc.{part}"),
        None => name,
    }
}

/// The architecture's name, and the names and shapes of its parameters.
fn wanted(
    arch: Option<&str>,
    tensors: &[(String, &[usize], &[f32])],
) -> Result<(String, Vec<(String, Shape)>)> {
    let shape = |name: &str| {
        let found = tensors.iter().find(|(found, _, _)| found == name);
        found.map(|(_, shape, _)| shape.to_vec())
    };
    let found = ResNet::recognise(shape);
    let named = arch.and_then(ResNet::named);
    match (arch, found) {
        (None, Some(net)) => Ok((net.name(), net.params())),
        // Another stem, width or number of classes is fine, other stages are another network.
        (Some(arch), Some(net)) if named.is_some_and(|named| named.has_blocks_of(&net)) => {
            Ok((arch.to_owned(), net.params()))
        }
        (Some(arch), _) => Ok((arch.to_owned(), param_shapes(arch)?)),
        (None, None) => {
            let has = |name: &str| tensors.iter().any(|(found, _, _)| found == name);
            if has("conv1.weight") && has("conv2.weight") && has("fc3.weight") {
                return Ok(("lenet5".to_owned(), param_shapes("lenet5")?));
            }
            let names: Vec<&str> = tensors.iter().take(5).map(|t| t.0.as_str()).collect();
            let problem = format!(
                "no known architecture has tensors named {} …; name it with --arch",
                names.join(", ")
            );
            Err(Error::invalid("weights", problem))
        }
    }
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
            error.contains("missing: `conv1.weight`") && error.contains("unexpected: `extra`"),
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
