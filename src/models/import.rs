//! Foreign weights: tensors with PyTorch's names and layouts become wizen's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{ResNet, Weights, param_shapes};
use crate::base::{Shape, Tensor};
use crate::error::{Error, Result};

/// A tensor of a foreign file: name, shape in the file's own order (OIHW, `[out, in]`), elements.
pub type Foreign<'a> = (&'a str, &'a [usize], Vec<f32>);

/// Foreign weights as wizen has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The architecture.
    pub arch: String,
    /// Weights by name, masks multiplied in.
    pub weights: Weights,
    /// Bit-packed masks (`u32 [⌈n / 32⌉]`) of weights that were pruned, by their names.
    pub masks: BTreeMap<String, Tensor>,
}

/// Tensor under the name that wizen gives it.
struct Named<'a> {
    name: String,
    shape: &'a [usize],
    data: Cow<'a, [f32]>,
}

/// Prefixes that training frameworks put before a network's own names.
const PREFIXES: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// Recognises the architecture (unless `arch` names it) and converts layouts: OIHW → OHWI, and the
/// columns of the first linear layer from CHW to HWC order. The widths of a ResNet are those of its tensors.
///
/// Names may start with `module.`, `model.` or `_orig_mod.`, be those of Hugging Face's transformers, or call
/// a replaced last layer `fc.1`. Weights pruned by `torch.nn.utils.prune`, of which a file has `weight_orig` and
/// `weight_mask`, are their product.
///
/// # Errors
/// [`Error::Invalid`] listing missing, unexpected and mis-shaped tensors, or if no architecture fits, two tensors
/// have the same name, or a mask does not fit.
pub fn import(arch: Option<&str>, tensors: &[Foreign<'_>]) -> Result<Imported> {
    let head = head_layer(tensors);
    let mut found: BTreeMap<String, Named<'_>> = BTreeMap::new();
    for (name, shape, data) in tensors {
        // Counters of a batch norm's training steps.
        if name.ends_with(".num_batches_tracked") {
            continue;
        }
        let own = own_name(name, head.as_deref());
        let data = Cow::Borrowed(data.as_slice());
        let named = Named {
            name: own.clone(),
            shape,
            data,
        };
        if found.insert(own.clone(), named).is_some() {
            let problem = format!("two tensors are called `{own}`, one of them `{name}`");
            return Err(Error::invalid("weights", problem));
        }
    }
    let masks = merge_masks(&mut found)?;
    let tensors: Vec<Named<'_>> = found.into_values().collect();
    let (arch, wanted) = wanted(arch, &tensors)?;
    let (mut missing, mut misshaped, mut unexpected) = (Vec::new(), Vec::new(), Vec::new());
    let mut weights = Weights::new();
    for (name, shape) in &wanted {
        let foreign_shape = foreign_shape(shape);
        match tensors.iter().find(|found| found.name == *name) {
            None => missing.push(format!("`{name}`")),
            Some(found) if *found.shape != foreign_shape[..] => {
                let (found, name) = (found.shape, &found.name);
                misshaped.push(format!("`{name}` {found:?}, expected {foreign_shape:?}"));
            }
            Some(found) => {
                weights.insert(name.clone(), convert(&arch, name, shape, &found.data)?);
            }
        }
    }
    for Named { name, .. } in &tensors {
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
        let mut packed = BTreeMap::new();
        for (name, mask) in masks {
            if let Some(weight) = weights.get(&name) {
                let mask = convert(&arch, &name, &weight.shape().to_vec(), &mask)?;
                packed.insert(name, pack(&mask.to_f32())?);
            }
        }
        return Ok(Imported {
            arch,
            weights,
            masks: packed,
        });
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

/// The layer that stands for `fc` where the last layer was replaced by several, of which one has weights: `fc.1`,
/// `classifier.1`.
fn head_layer(tensors: &[Foreign<'_>]) -> Option<String> {
    let layers = tensors.iter().filter_map(|(name, _, _)| {
        let layer = without_prefixes(name).strip_suffix(".weight")?;
        let (head, number) = layer.split_once('.')?;
        let numbered = ["fc", "linear", "classifier"].contains(&head)
            && number.bytes().all(|b| b.is_ascii_digit());
        numbered.then(|| layer.to_owned())
    });
    let layers: Vec<String> = layers.collect();
    match &layers[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

fn without_prefixes(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

/// torchvision's name of a tensor: without prefixes, and with its words for what CIFAR networks often call
/// `shortcut` and `linear` and transformers call everything.
fn own_name(name: &str, head: Option<&str>) -> String {
    let name = without_prefixes(name);
    let Some((layer, part)) = name.rsplit_once('.') else {
        return name.to_owned();
    };
    let layer = match layer {
        "linear" => "fc".to_owned(),
        layer if Some(layer) == head => "fc".to_owned(),
        layer => {
            from_transformers(layer).unwrap_or_else(|| layer.replace(".shortcut.", ".downsample."))
        }
    };
    format!("{layer}.{part}")
}

/// `encoder.stages.1.layers.0.layer.1.convolution` → `layer2.0.conv2`.
fn from_transformers(layer: &str) -> Option<String> {
    let layer = layer.strip_prefix("resnet.").unwrap_or(layer);
    let (place, what) = layer.rsplit_once('.')?;
    let is_norm = match what {
        "convolution" => false,
        "normalization" => true,
        _ => return None,
    };
    let word = if is_norm { "bn" } else { "conv" };
    if place == "embedder.embedder" {
        return Some(format!("{word}1"));
    }
    let parts: Vec<&str> = place.strip_prefix("encoder.stages.")?.split('.').collect();
    let after = |number: &str| number.parse::<u32>().ok()?.checked_add(1);
    match parts[..] {
        [stage, "layers", block, "layer", unit] => Some(format!(
            "layer{}.{block}.{word}{}",
            after(stage)?,
            after(unit)?
        )),
        [stage, "layers", block, "shortcut"] => Some(format!(
            "layer{}.{block}.downsample.{}",
            after(stage)?,
            u8::from(is_norm)
        )),
        _ => None,
    }
}

/// Puts `x = x_orig · x_mask` in the place of both; returns the masks by the names of their weights.
fn merge_masks(found: &mut BTreeMap<String, Named<'_>>) -> Result<BTreeMap<String, Vec<f32>>> {
    let pruned = found.keys().filter_map(|name| name.strip_suffix("_orig"));
    let pruned: Vec<String> = pruned.map(str::to_owned).collect();
    let mut masks = BTreeMap::new();
    for name in pruned {
        let wrong = |problem: &str| {
            let problem = format!(
                "`{name}_orig` {problem}; call `torch.nn.utils.prune.remove` before saving"
            );
            Err(Error::invalid("weights", problem))
        };
        let (Some(weight), Some(mask)) = (
            found.remove(&format!("{name}_orig")),
            found.remove(&format!("{name}_mask")),
        ) else {
            return wrong("has no mask beside it");
        };
        if weight.shape != mask.shape || mask.data.iter().any(|&m| m != 0.0 && m != 1.0) {
            return wrong("has a mask of another shape, or one that is not 0 and 1");
        }
        let product = weight.data.iter().zip(mask.data.iter());
        // A weight that is cut off is 0, not −0.
        let data = product
            .map(|(&w, &m)| if m == 0.0 { 0.0 } else { w })
            .collect();
        let merged = Named {
            name: name.clone(),
            shape: weight.shape,
            data,
        };
        if found.insert(name.clone(), merged).is_some() {
            return wrong("stands beside a tensor without `_orig`");
        }
        masks.insert(name, mask.data.into_owned());
    }
    Ok(masks)
}

/// Bits, the lowest first.
fn pack(mask: &[f32]) -> Result<Tensor> {
    let word = |bits: &[f32]| {
        let bits = bits.iter().enumerate();
        bits.fold(0u32, |word, (i, &m)| word | u32::from(m != 0.0) << i)
    };
    let words: Vec<u32> = mask.chunks(32).map(word).collect();
    Tensor::from_u32(&[words.len()], &words)
}

/// The architecture's name, and the names and shapes of its parameters.
fn wanted(arch: Option<&str>, tensors: &[Named<'_>]) -> Result<(String, Vec<(String, Shape)>)> {
    let shape = |name: &str| {
        let found = tensors.iter().find(|found| found.name == name);
        found.map(|found| found.shape.to_vec())
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
            let has = |name: &str| tensors.iter().any(|found| found.name == name);
            if has("conv1.weight") && has("conv2.weight") && has("fc3.weight") {
                return Ok(("lenet5".to_owned(), param_shapes("lenet5")?));
            }
            let names: Vec<&str> = tensors.iter().take(5).map(|t| t.name.as_str()).collect();
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
    fn other_words_for_the_same_layers() {
        let own = |name: &str| own_name(name, Some("fc.1"));
        for (theirs, ours) in [
            ("module.conv1.weight", "conv1.weight"),
            (
                "_orig_mod.module.model.layer1.0.bn2.bias",
                "layer1.0.bn2.bias",
            ),
            (
                "layer2.0.shortcut.1.running_var",
                "layer2.0.downsample.1.running_var",
            ),
            ("linear.bias", "fc.bias"),
            ("fc.1.weight", "fc.weight"),
            ("fc.2.weight", "fc.2.weight"),
            ("resnet.embedder.embedder.normalization.bias", "bn1.bias"),
            ("embedder.embedder.convolution.weight", "conv1.weight"),
            (
                "resnet.encoder.stages.2.layers.10.layer.1.convolution.weight",
                "layer3.10.conv2.weight",
            ),
            (
                "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
                "layer2.0.downsample.0.weight",
            ),
            (
                "resnet.encoder.stages.1.layers.0.shortcut.normalization.running_mean",
                "layer2.0.downsample.1.running_mean",
            ),
        ] {
            assert_eq!(own(theirs), ours);
        }
        let head = |names: &[&'static str]| {
            let shape: &[usize] = &[1];
            let tensors: Vec<Foreign<'_>> = names.iter().map(|n| (*n, shape, vec![0.0])).collect();
            head_layer(&tensors)
        };
        assert_eq!(
            head(&["model.classifier.1.weight", "classifier.1.bias"]).as_deref(),
            Some("classifier.1")
        );
        assert_eq!(head(&["fc.0.weight", "fc.3.weight"]), None, "two layers");
        assert_eq!(head(&["fc.weight", "fc.x.weight"]), None);
        // The same tensor twice, as an average beside the network.
        let shape: &[usize] = &[1];
        let twice = [
            ("module.a.b", shape, vec![0.0]),
            ("model.a.b", shape, vec![0.0]),
        ];
        let error = import(None, &twice).expect_err("twice").to_string();
        assert!(error.contains("two tensors are called `a.b`"), "{error}");
    }

    #[test]
    fn pruned_weights_are_products() {
        let shapes = param_shapes("lenet5").expect("known");
        let foreign: Vec<(String, Vec<usize>, Vec<f32>)> = shapes
            .iter()
            .map(|(name, shape)| {
                let n = shape.iter().product::<usize>();
                let values = (0..n).map(|i| i as f32 - 70.5).collect();
                (name.clone(), foreign_shape(shape), values)
            })
            .collect();
        let refs = |tensors: &[(String, Vec<usize>, Vec<f32>)]| {
            let tensors: Vec<Foreign<'_>> = tensors
                .iter()
                .map(|(name, shape, data)| (name.as_str(), shape.as_slice(), data.clone()))
                .collect();
            import(None, &tensors)
        };
        let whole = refs(&foreign).expect("complete");
        assert!(whole.masks.is_empty());
        let mut pruned = foreign.clone();
        let at = pruned
            .iter()
            .position(|t| t.0 == "conv2.weight")
            .expect("there");
        let (_, shape, data) = pruned[at].clone();
        let keep = |i: usize| i.is_multiple_of(3);
        let mask: Vec<f32> = (0..data.len())
            .map(|i| f32::from(u8::from(keep(i))))
            .collect();
        pruned[at].0 = "conv2.weight_orig".into();
        pruned.push(("conv2.weight_mask".into(), shape, mask));
        let got = refs(&pruned).expect("complete");
        // In OIHW of [16, 6, 5, 5], element i is kept; in wizen's OHWI it lies elsewhere.
        let (before, after) = (&whole.weights["conv2.weight"], &got.weights["conv2.weight"]);
        let words = got.masks["conv2.weight"].as_u32().expect("u32").to_vec();
        assert_eq!(
            (got.masks.len(), words.len()),
            (1, (16 * 150usize).div_ceil(32))
        );
        for (i, (b, a)) in before.to_f32().iter().zip(after.to_f32()).enumerate() {
            let (o, y, x, c) = (i / 150, i / 30 % 5, i / 6 % 5, i % 6);
            let kept = keep(((o * 6 + c) * 5 + y) * 5 + x);
            assert_eq!(a.to_bits(), if kept { b.to_bits() } else { 0 }, "{i}");
            assert_eq!(words[i / 32] >> (i % 32) & 1, u32::from(kept), "{i}");
        }
        let last = pruned.len() - 1;
        pruned[last].2[0] = 0.5;
        let error = refs(&pruned).expect_err("half").to_string();
        assert!(
            error.contains("conv2.weight_orig") && error.contains("prune.remove"),
            "{error}"
        );
        pruned.pop();
        let error = refs(&pruned).expect_err("no mask").to_string();
        assert!(error.contains("has no mask"), "{error}");
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
