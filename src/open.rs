//! Network files, whoever wrote them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{self, FileSize, Form, Loaded, float_tensors};
use crate::models;
use crate::network::Network;

/// What a file does not say of itself.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The architecture of weights alone, where their names and shapes do not tell.
    pub arch: Option<String>,
    /// Sizes of inputs that an ONNX file leaves open, by name, as the file orders them (`[n, c, h, w]`).
    pub inputs: Vec<(String, Vec<usize>)>,
}

/// Opens a file that wizen wrote, an ONNX network (feature `onnx`), or the weights of a known architecture as
/// other programs write them (safetensors; PyTorch checkpoints with the feature `pth`). `arch` names the
/// architecture where the tensors do not tell.
///
/// ```no_run
/// let network = wizen::open("resnet18.safetensors", None)?;
/// println!("{} {}", network.arch, network.precision());
/// # Ok::<(), wizen::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] or [`Error::Format`] for a file that cannot be read, is damaged or is something else.
pub fn open(path: impl AsRef<Path>, arch: Option<&str>) -> Result<Network> {
    let options = OpenOptions {
        arch: arch.map(str::to_owned),
        inputs: Vec::new(),
    };
    open_with(path, &options)
}

/// [`open`], with everything that a file may leave open.
///
/// # Errors
/// As [`open`]; also if an input is named that the network does not have.
pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Network> {
    let path = path.as_ref();
    if io::file_form(path)? == Form::Onnx {
        return read_onnx(path, options);
    }
    let tensors = match Network::load(path)? {
        Loaded::Wizen(network) => return Ok(*network),
        Loaded::Foreign(tensors) => tensors,
    };
    let found = float_tensors(&tensors)
        .and_then(|floats| models::import(options.arch.as_deref(), &floats))
        .map_err(|e| Error::format(path, e.to_string()))?;
    let graph = models::build(&found.arch, 1, &found.weights)?;
    let mut network = Network::new(&found.arch, graph);
    for (name, mask) in found.masks {
        let id = network.graph.find(&name)?;
        network.graph.set_mask(id, Some(mask.into()))?;
    }
    Ok(network)
}

#[cfg(feature = "onnx")]
fn read_onnx(path: &Path, options: &OpenOptions) -> Result<Network> {
    crate::onnx::read(path, &options.inputs)
}

#[cfg(not(feature = "onnx"))]
fn read_onnx(path: &Path, _options: &OpenOptions) -> Result<Network> {
    let problem = "this is an ONNX network; build wizen with the feature `onnx`";
    Err(Error::format(path, problem))
}

/// Writes a network as its file's ending says: `.onnx` (feature `onnx`), anything else in our own form
/// ([`Network::save`]).
///
/// # Errors
/// As [`Network::save`]; [`Error::Invalid`] for a network that ONNX has no words for.
pub fn save(network: &Network, path: impl AsRef<Path>) -> Result<FileSize> {
    let path = path.as_ref();
    #[cfg(feature = "onnx")]
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
    {
        return crate::onnx::write(network, path);
    }
    network.save(path)
}
