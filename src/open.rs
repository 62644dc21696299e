//! Network files, whoever wrote them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{Loaded, float_tensors};
use crate::models;
use crate::network::Network;

/// Opens a file that wizen wrote, or the weights of a known architecture as other programs write them
/// (safetensors; PyTorch checkpoints with the feature `pth`). `arch` names it where the tensors do not tell.
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
    let path = path.as_ref();
    let tensors = match Network::load(path)? {
        Loaded::Wizen(network) => return Ok(*network),
        Loaded::Foreign(tensors) => tensors,
    };
    let found = float_tensors(&tensors)
        .and_then(|floats| models::import(arch, &floats))
        .map_err(|e| Error::format(path, e.to_string()))?;
    let graph = models::build(&found.arch, 1, &found.weights)?;
    let mut network = Network::new(&found.arch, graph);
    for (name, mask) in found.masks {
        let id = network.graph.find(&name)?;
        network.graph.set_mask(id, Some(mask.into()))?;
    }
    Ok(network)
}
