//! Training runs in the middle, as safetensors: tensors as they are, and in the metadata `wizen.state` (version
//! of this layout) and `wizen.run` (JSON: steps, and what the run was asked to do).

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::container::{read_safetensors, write_safetensors};
use super::stored::{StoredTensor, StoredType};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::network::TrainState;

const FORMAT_KEY: &str = "wizen.state";
const RUN_KEY: &str = "wizen.run";
const FORMAT: &str = "1";

/// What a run was asked to do, by option: two runs that agree in it go the same way.
pub type RunOptions = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
struct Run {
    step: usize,
    unread: u32,
    options: RunOptions,
}

/// Writes the state of a run and what it was asked to do; atomic.
///
/// # Errors
/// [`Error::Io`] for the file; [`Error::DType`] for tensors that are not f32, i32 or u32.
pub fn save_state(path: impl AsRef<Path>, state: &TrainState, options: &RunOptions) -> Result<()> {
    let run = Run {
        step: state.step,
        unread: state.unread,
        options: options.clone(),
    };
    let json = serde_json::to_string(&run)
        .map_err(|e| Error::invalid("save", format!("the run cannot be written: {e}")))?;
    let metadata = BTreeMap::from([(FORMAT_KEY.into(), FORMAT.into()), (RUN_KEY.into(), json)]);
    let mut tensors = Vec::with_capacity(state.tensors.len());
    for (name, tensor) in &state.tensors {
        let dtype = match tensor.dtype() {
            DType::F32 => StoredType::F32,
            DType::I32 => StoredType::I32,
            DType::U32 => StoredType::U32,
            other @ (DType::F16 | DType::I8) => {
                return Err(Error::DType {
                    op: "save".into(),
                    operand: name.clone(),
                    expected: "f32, i32 or u32".into(),
                    got: other.to_string(),
                });
            }
        };
        let bytes = tensor.words().iter().flat_map(|w| w.to_le_bytes());
        let stored = StoredTensor::new(dtype, tensor.shape(), bytes.collect())?;
        tensors.push((name.clone(), stored));
    }
    write_safetensors(path, metadata, &tensors)
}

/// Reads what [`save_state`] wrote.
///
/// # Errors
/// [`Error::Io`] or [`Error::Format`] for a file that cannot be read, is damaged or is something else.
pub fn load_state(path: impl AsRef<Path>) -> Result<(TrainState, RunOptions)> {
    let path = path.as_ref();
    let (metadata, stored) = read_safetensors(path)?;
    let (Some(format), Some(json)) = (metadata.get(FORMAT_KEY), metadata.get(RUN_KEY)) else {
        let problem = "it does not hold the state of a training run";
        return Err(Error::format(path, problem));
    };
    if format != FORMAT {
        let problem = format!("it has format {format}, this version reads format {FORMAT}");
        return Err(Error::format(path, problem));
    }
    let run: Run = serde_json::from_str(json)
        .map_err(|e| Error::format(path, format!("its description is damaged: {e}")))?;
    let mut tensors = Vec::with_capacity(stored.len());
    for (name, tensor) in stored {
        let dtype = match tensor.dtype {
            StoredType::F32 => DType::F32,
            StoredType::I32 => DType::I32,
            StoredType::U32 => DType::U32,
            other => {
                let problem = format!("`{name}` has element type {other:?}, no run has that");
                return Err(Error::format(path, problem));
            }
        };
        let words = tensor.bytes.chunks_exact(4);
        let words = words.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let tensor = Tensor::from_words(&tensor.shape, dtype, words.collect())
            .map_err(|e| Error::format(path, e.to_string()))?;
        tensors.push((name, tensor));
    }
    let state = TrainState {
        step: run.step,
        unread: run.unread,
        tensors,
    };
    Ok((state, run.options))
}
