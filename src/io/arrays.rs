//! Inputs of networks in arrays: NumPy's files and safetensors.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::container::read_safetensors;
use super::stored::{StoredTensor, StoredType};
use crate::base::{DType, Tensor};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// Names of an array that holds the classes.
const LABELS: [&str; 5] = ["labels", "label", "targets", "target", "y"];
/// Bytes of an array, at most.
const MAX_BYTES: u64 = 16 << 30;

/// Inputs of a network from arrays, and the class of every item if they are known.
#[derive(Clone, Debug)]
pub struct Arrays {
    name: String,
    /// One `[n, …]` for every input of the network.
    inputs: Vec<Tensor>,
    labels: Option<Vec<u32>>,
}

/// True for a file of arrays, by its ending: `.npy`, `.npz`, `.safetensors`.
pub fn is_array_file(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    path.is_file()
        && ["npy", "npz", "safetensors"]
            .iter()
            .any(|known| ending == *known)
}

/// Loads arrays for the inputs of `graph`: a `.npy` file with one array, or a `.npz` or `.safetensors` file with
/// arrays called like the inputs (any name, if there is but one); an array called `labels`, `targets` or `y`
/// holds class numbers. Arrays are `[n, …]` in the order of the graph's axes, `[n, height, width, channels]` for
/// images, or as PyTorch has them, `[n, channels, height, width]`; where both fit, the first is meant. Elements are
/// numbers of any type and are taken as they are.
///
/// # Errors
/// [`Error::Io`] for what cannot be read; [`Error::Format`] for a damaged file, arrays that are missing or do not
/// fit the network, or are not numbers.
pub fn load_arrays(path: impl AsRef<Path>, graph: &Graph) -> Result<Arrays> {
    let path = path.as_ref();
    let wrong = |problem: String| Error::format(path, problem);
    let mut found = read(path)?;
    let labels = found
        .iter()
        .position(|(name, _)| LABELS.contains(&name.to_lowercase().as_str()));
    let labels = match labels {
        Some(at) => Some(classes(&found.remove(at)).map_err(wrong)?),
        None => None,
    };
    let ids = graph.inputs();
    let mut inputs = Vec::with_capacity(ids.len());
    for &id in &ids {
        let value = graph.value(id);
        let own = found.iter().position(|(name, _)| *name == value.name);
        let at = own.or_else(|| (ids.len() == 1 && found.len() == 1).then_some(0));
        let Some(at) = at else {
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            return Err(wrong(format!(
                "it has no array `{}` for that input of the model; it has {}",
                value.name,
                names.join(", ")
            )));
        };
        let (name, stored) = &found[at];
        let input = fit(stored, value.dtype, &value.shape);
        inputs.push(input.map_err(|problem| wrong(format!("its array `{name}` {problem}")))?);
    }
    let lengths: Vec<usize> = inputs.iter().map(|x| x.shape()[0]).collect();
    let lengths = lengths.into_iter().chain(labels.as_ref().map(Vec::len));
    let lengths: Vec<usize> = lengths.collect();
    match lengths[..] {
        [] | [0, ..] => Err(wrong("there are no items in it".to_owned())),
        [first, ..] if lengths.iter().any(|n| *n != first) => Err(wrong(format!(
            "its arrays have {lengths:?} items along the first axis, expected as many in each"
        ))),
        _ => Ok(Arrays {
            name: format!("arrays ({})", path.display()),
            inputs,
            labels,
        }),
    }
}

type Stored = Vec<(String, StoredTensor)>;

fn read(path: &Path) -> Result<Stored> {
    let wrong = |problem: String| Error::format(path, problem);
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    if ending == "safetensors" {
        return Ok(read_safetensors(path)?.1);
    }
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    if ending == "npy" {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(vec![(name.into_owned(), npy(file).map_err(wrong)?)]);
    }
    let damaged = |e: zip::result::ZipError| wrong(format!("it is no npz file, or damaged: {e}"));
    let mut archive = zip::ZipArchive::new(file).map_err(damaged)?;
    let mut found = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            continue;
        };
        let array = npy(entry).map_err(|e| wrong(format!("its array `{name}`: {e}")))?;
        found.push((name, array));
    }
    Ok(found)
}

/// `Err` is the rest of a sentence about the array.
fn npy(reader: impl Read) -> std::result::Result<StoredTensor, String> {
    let file =
        npyz::NpyFile::new(reader).map_err(|e| format!("it is no npy file, or damaged: {e}"))?;
    if file.order() == npyz::Order::Fortran && file.shape().len() > 1 {
        return Err(
            "its elements are in Fortran's order; save numpy.ascontiguousarray(x)".to_owned(),
        );
    }
    let kind = file.dtype().descr();
    let dtype = match kind.trim_matches('\'') {
        "<f8" => StoredType::F64,
        "<f4" => StoredType::F32,
        "<f2" => StoredType::F16,
        "<i8" => StoredType::I64,
        "<i4" => StoredType::I32,
        "<i2" => StoredType::I16,
        "|i1" => StoredType::I8,
        "<u8" => StoredType::U64,
        "<u4" => StoredType::U32,
        "<u2" => StoredType::U16,
        "|u1" => StoredType::U8,
        "|b1" => StoredType::Bool,
        other => {
            return Err(format!(
                "its elements are {other}, expected numbers of at most 64 bits, little endian"
            ));
        }
    };
    let shape: Vec<usize> = file.shape().iter().map(|&n| n as usize).collect();
    let mut bytes = Vec::new();
    // No more is read than is there, whatever the header claims.
    let mut rest = file.into_inner().take(MAX_BYTES);
    rest.read_to_end(&mut bytes)
        .map_err(|e| format!("it is damaged: {e}"))?;
    StoredTensor::new(dtype, &shape, bytes)
        .map_err(|_| "it is cut short, or has more bytes than its shape says".to_owned())
}

/// `Err` is the rest of a sentence about the file.
fn classes((name, stored): &(String, StoredTensor)) -> std::result::Result<Vec<u32>, String> {
    let class =
        |x: f64| (x >= 0.0 && x <= f64::from(u32::MAX) && x.fract() == 0.0).then_some(x as u32);
    let found: Option<Vec<u32>> = stored.to_f64().into_iter().map(class).collect();
    let one_each = stored.shape.iter().skip(1).all(|&n| n == 1);
    match found.filter(|_| one_each && !stored.shape.is_empty()) {
        Some(labels) => Ok(labels),
        None => Err(format!(
            "its array `{name}` {:?} is no class numbers, one whole number from 0 for each item",
            stored.shape
        )),
    }
}

/// An array as the network takes it: its own axes, or NCHW. `Err` is the rest of a sentence about it.
fn fit(
    stored: &StoredTensor,
    dtype: DType,
    wanted: &[usize],
) -> std::result::Result<Tensor, String> {
    if dtype != DType::F32 {
        return Err(format!(
            "is for an input that takes {dtype}; only f32 can be given"
        ));
    }
    let items = stored.shape.first().copied().unwrap_or(0);
    let values: Vec<f32> = stored.to_f64().into_iter().map(|x| x as f32).collect();
    let tensor = |shape: &[usize], values: &[f32]| {
        Tensor::from_f32(shape, values).map_err(|e| e.to_string())
    };
    if stored.shape.len() == wanted.len() && stored.shape[1..] == wanted[1..] {
        return tensor(&stored.shape, &values);
    }
    if let (&[_, height, width, channels], &[_, c, h, w]) = (wanted, &stored.shape[..])
        && [height, width, channels] == [h, w, c]
    {
        let mut turned = Vec::with_capacity(values.len());
        for image in values.chunks_exact((c * h * w).max(1)) {
            for at in 0..h * w {
                turned.extend((0..c).map(|channel| image[channel * h * w + at]));
            }
        }
        return tensor(&[items, height, width, channels], &turned);
    }
    let mut expected = vec!["n".to_owned()];
    expected.extend(wanted.iter().skip(1).map(usize::to_string));
    let torch = match *wanted {
        [_, h, w, c] => format!(" or [n, {c}, {h}, {w}]"),
        _ => String::new(),
    };
    Err(format!(
        "has shape {:?}, the model takes [{}]{torch}",
        stored.shape,
        expected.join(", ")
    ))
}

impl Arrays {
    /// The arrays, one `[n, …]` for every input of the network.
    pub fn all(&self) -> &[Tensor] {
        &self.inputs
    }

    /// The first `n` items (all of them if there are fewer; at least one).
    ///
    /// # Errors
    /// Never for arrays that were loaded: sizes only shrink.
    pub fn take(&self, n: usize) -> Result<Self> {
        let n = n.clamp(1, self.len());
        let items: Vec<usize> = (0..n).collect();
        Ok(Self {
            name: self.name.clone(),
            inputs: self.inputs(&items)?,
            labels: self.labels.as_ref().map(|labels| labels[..n].to_vec()),
        })
    }
}

impl Data for Arrays {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.inputs.first().map_or(0, |x| x.shape()[0])
    }

    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        let gather = |x: &Tensor| {
            let values = x.as_f32()?;
            let size = x.len() / x.shape()[0].max(1);
            let mut shape = x.shape().to_vec();
            shape[0] = items.len();
            let mut out = Vec::with_capacity(items.len() * size);
            for &item in items {
                let part = values.get(item * size..(item + 1) * size).ok_or_else(|| {
                    Error::invalid(&self.name, format!("there is no item {item}"))
                })?;
                out.extend_from_slice(part);
            }
            Tensor::from_f32(&shape, &out)
        };
        self.inputs.iter().map(gather).collect()
    }

    fn targets(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        let Some(labels) = &self.labels else {
            return Ok(Vec::new());
        };
        let some: Vec<u32> = items
            .iter()
            .filter_map(|&i| labels.get(i))
            .copied()
            .collect();
        Ok(vec![Tensor::from_u32(&[some.len()], &some)?])
    }

    fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }
}
