//! Model files that commands take.

use std::path::Path;

use clap::Args;
use wizen::models::{self, Weights};
use wizen::{Error, Network, OpenOptions, Result};

/// What a model's file does not say of itself.
#[derive(Clone, Debug, Default, Args)]
pub struct ModelArgs {
    /// Architecture of weights alone, where their names and shapes do not tell
    #[arg(long)]
    pub arch: Option<String>,
    #[command(flatten)]
    pub inputs: InputArgs,
}

/// Sizes that an ONNX file leaves open.
#[derive(Clone, Debug, Default, Args)]
pub struct InputArgs {
    /// Shape of an input that an ONNX file leaves open, as the file orders its axes (x=1x3x224x224)
    #[arg(long = "input", value_name = "NAME=SIZES", value_parser = input_shape)]
    input: Vec<(String, Vec<usize>)>,
}

impl InputArgs {
    /// Opens a file; `arch` as in [`ModelArgs`].
    pub fn open(&self, path: &Path, arch: Option<&str>) -> Result<Network> {
        let options = OpenOptions {
            arch: arch.map(str::to_owned),
            inputs: self.input.clone(),
        };
        wizen::open_with(path, &options)
    }
}

impl ModelArgs {
    /// Opens a file.
    pub fn open(&self, path: &Path) -> Result<Network> {
        self.inputs.open(path, self.arch.as_deref())
    }
}

pub fn input_shape(text: &str) -> Result<(String, Vec<usize>)> {
    let parsed = text.rsplit_once('=').and_then(|(name, sizes)| {
        let sizes = sizes.split(['x', ',']).map(|size| size.trim().parse().ok());
        Some((name.to_owned(), sizes.collect::<Option<Vec<usize>>>()?))
    });
    parsed.ok_or_else(|| {
        let problem = format!("`{text}` is not NAME=SIZES, as in x=1x3x224x224");
        Error::invalid("--input", problem)
    })
}

/// An fp32 model of these weights, without history.
pub fn float_model(arch: &str, weights: &Weights) -> Result<Network> {
    Ok(Network::new(arch, models::build(arch, 1, weights)?))
}
