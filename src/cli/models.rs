//! Model files that commands take.

use clap::Args;
use wizen::models::{self, Weights};
use wizen::{Error, Network, OpenOptions, Result};

/// What a model's file does not say of itself.
#[derive(Clone, Debug, Default, Args)]
pub struct ModelArgs {
    /// Architecture of weights alone, where their names and shapes do not tell
    #[arg(long)]
    pub arch: Option<String>,
    /// Shape of an input that an ONNX file leaves open, as the file orders its axes (x=1x3x224x224)
    #[arg(long = "input", value_name = "NAME=SIZES", value_parser = input_shape)]
    pub inputs: Vec<(String, Vec<usize>)>,
}

impl ModelArgs {
    /// Opens a file.
    pub fn open(&self, path: &std::path::Path) -> Result<Network> {
        let options = OpenOptions {
            arch: self.arch.clone(),
            inputs: self.inputs.clone(),
        };
        wizen::open_with(path, &options)
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
