//! The file of a network, and those beside it that hold its tensors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use prost::bytes::Bytes;

use super::array::Array;
use super::proto::{GraphProto, ModelProto, TensorProto};
use crate::error::{Error, Result};

/// A file in memory; tensors are decoded one at a time.
pub(super) struct Source {
    pub model: ModelProto,
    folder: PathBuf,
    empty: GraphProto,
}

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for what is no ONNX network.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse(bytes.into(), folder).map_err(|e| match e {
            Error::Io { .. } => e,
            other => Error::format(path, super::words(&other)),
        })
    }

    /// From the bytes of a file in `folder`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no ONNX network.
    pub fn parse(bytes: Bytes, folder: PathBuf) -> Result<Self> {
        let model = ModelProto::decode(bytes)
            .map_err(|e| Error::invalid("onnx", format!("it is no ONNX file, or damaged: {e}")))?;
        if model.graph.is_none() {
            let problem = "it is no ONNX network: it holds no graph";
            return Err(Error::invalid("onnx", problem));
        }
        Ok(Self {
            model,
            folder,
            empty: GraphProto::default(),
        })
    }

    pub fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().unwrap_or(&self.empty)
    }

    /// What the file's metadata say under this key.
    pub fn says(&self, key: &str) -> Option<&str> {
        let mut entries = self.model.metadata_props.iter();
        let entry = entries.find(|entry| entry.key.as_deref() == Some(key))?;
        entry.value.as_deref()
    }

    /// An initializer.
    pub fn tensor(&self, i: usize) -> Result<Array> {
        Array::read(&self.graph().initializer[i], &|tensor| {
            self.external(tensor)
        })
    }

    /// The bytes of a tensor that lie in another file, which must be beside this one or below it.
    fn external(&self, tensor: &TensorProto) -> Result<Bytes> {
        let field = |name: &str| {
            let mut all = tensor.external_data.iter();
            let entry = all.find(|entry| entry.key.as_deref() == Some(name))?;
            entry.value.as_deref()
        };
        let wrong = |problem: String| Error::invalid("onnx", problem);
        let number = |name: &str| -> Result<Option<u64>> {
            let text = field(name);
            let parsed = text.map(|text| text.trim().parse::<u64>());
            parsed
                .transpose()
                .map_err(|_| wrong(format!("`{name}` of its elements is no number")))
        };
        let location = field("location").unwrap_or("");
        let relative = Path::new(location);
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !inside {
            let problem = format!("its elements lie in `{location}`, which is not beside the file");
            return Err(wrong(problem));
        }
        let path = self.folder.join(relative);
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        let size = file.metadata().map_err(Error::io(&path))?.len();
        let offset = number("offset")?.unwrap_or(0);
        let rest = size.checked_sub(offset);
        let length = number("length")?.or(rest).unwrap_or(0);
        if rest.is_none_or(|rest| length > rest) {
            let problem = format!(
                "its elements are {length} bytes from {offset} on in {}, which has {size}",
                path.display()
            );
            return Err(wrong(problem));
        }
        file.seek(SeekFrom::Start(offset))
            .map_err(Error::io(&path))?;
        let mut bytes = Vec::new();
        file.take(length)
            .read_to_end(&mut bytes)
            .map_err(Error::io(&path))?;
        Ok(bytes.into())
    }
}
