//! PyTorch checkpoints, through the crate `pytorch-reader`, which interprets a pickle and executes nothing.

use std::io::ErrorKind;
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};

use super::stored::{StoredTensor, StoredType};
use crate::error::{Error, Result};

/// Under which of these a training program keeps the weights; the first that is there counts.
const KEYS: [&str; 6] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "params",
    "weights",
];
/// Those that nobody calls a layer.
const CERTAIN: usize = 2;
/// Bytes of tensors over those of the file, at most. Tensors share storages, and zip archives may be
/// compressed; a damaged or hostile file claims anything.
const EXPANSION: u64 = 8;

/// The tensors of a checkpoint, sorted by name.
pub(super) fn read_checkpoint(path: &Path) -> Result<Vec<(String, StoredTensor)>> {
    let wrong = |error: PytorchError| Error::format(path, sentence(&error));
    let root = PytorchReader::read_pickle_data(path, None).map_err(wrong)?;
    let reader = match weights_key(&root) {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let mut found: Vec<(String, Tensor)> =
        reader.map_err(wrong)?.into_tensors().into_iter().collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    if found.is_empty() {
        return Err(Error::format(
            path,
            "this PyTorch checkpoint holds no tensors",
        ));
    }
    let in_file = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let sizes = found.iter().map(|(_, tensor)| size(tensor));
    let claimed = sizes.fold(0u64, u64::saturating_add);
    let most = in_file.saturating_mul(EXPANSION);
    if claimed > most {
        let problem = format!(
            "its tensors have {claimed} bytes, more than a file of {in_file} bytes can hold; it is damaged"
        );
        return Err(Error::format(path, problem));
    }
    let read = |(name, tensor): (String, Tensor)| -> Result<(String, StoredTensor)> {
        let bytes = tensor.read().map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                Error::format(path, format!("it is damaged or cut short: {e}"))
            }
            _ => Error::io(path)(e),
        })?;
        let stored = StoredTensor::new(stored_type(tensor.dtype()), tensor.shape(), bytes);
        Ok((
            name,
            stored.map_err(|e| Error::format(path, e.to_string()))?,
        ))
    };
    found.into_iter().map(read).collect()
}

fn size(tensor: &Tensor) -> u64 {
    let elements = tensor
        .shape()
        .iter()
        .try_fold(1u64, |n, &dim| n.checked_mul(dim as u64));
    elements.map_or(u64::MAX, |n| n.saturating_mul(tensor.dtype().size() as u64))
}

/// The dictionary that holds the weights, if they are not at the root. A network that was saved whole may have
/// a layer called `model`, but neither numbers nor an optimizer beside it.
fn weights_key(root: &PickleValue) -> Option<&'static str> {
    let PickleValue::Dict(root) = root else {
        return None;
    };
    let is_dict =
        |key: &&str| matches!(root.get(*key), Some(PickleValue::Dict(d)) if !d.is_empty());
    let training = root.iter().any(|(name, value)| {
        name.contains("optim")
            || !matches!(value, PickleValue::Dict(_) | PickleValue::Unsupported(_))
    });
    let keys = if training {
        &KEYS[..]
    } else {
        &KEYS[..CERTAIN]
    };
    keys.iter().copied().find(is_dict)
}

fn sentence(error: &PytorchError) -> String {
    format!(
        "it cannot be read as a PyTorch checkpoint ({error}); if it is whole, convert it in Python: \
         `safetensors.torch.save_file(torch.load(file)[\"state_dict\"], name)`"
    )
}

fn stored_type(dtype: DType) -> StoredType {
    match dtype {
        DType::F64 => StoredType::F64,
        DType::F32 => StoredType::F32,
        DType::F16 => StoredType::F16,
        DType::BF16 => StoredType::BF16,
        DType::I64 => StoredType::I64,
        DType::I32 => StoredType::I32,
        DType::I16 => StoredType::I16,
        DType::I8 => StoredType::I8,
        DType::U64 => StoredType::U64,
        DType::U32 => StoredType::U32,
        DType::U16 => StoredType::U16,
        DType::U8 => StoredType::U8,
        DType::Bool => StoredType::Bool,
    }
}
