//! Data sets that commands take.

use std::path::Path;

use wizen::base::Preprocess;
use wizen::data::Data;
use wizen::io::{Dataset, Splits, load_data, load_splits, synthetic_splits};
use wizen::{Error, Network, Result, compress};

use super::context::Context;

/// Seed of the synthetic digits: the same for everyone, whatever the training seed.
const SYNTHETIC_SEED: u64 = 1;

/// The data in `folder` as a network takes it; without a folder, synthetic digits.
pub fn splits(
    folder: Option<&Path>,
    network: &Network,
    synthetic: (usize, usize),
) -> Result<Splits> {
    let splits = match folder {
        Some(folder) => load_data(folder, &preprocess(network)?)?,
        None => digits(None, synthetic)?,
    };
    check_fits(network, &splits.train)?;
    check_fits(network, &splits.test)?;
    Ok(splits)
}

/// As [`splits`], for commands that learn from `train` and judge on `test`: says if these are the same.
pub fn splits_to_learn(
    context: &Context,
    folder: Option<&Path>,
    network: &Network,
    synthetic: (usize, usize),
) -> Result<Splits> {
    let splits = splits(folder, network, synthetic)?;
    if !splits.held_out {
        context.say(&format!(
            "{} is one set of images: the accuracy is that on the images it learns from; use `wizen eval` \
             on others",
            splits.train.name()
        ));
    }
    Ok(splits)
}

/// The MNIST or CIFAR-10 files in `folder`; without one, synthetic digits.
pub fn digits(folder: Option<&Path>, synthetic: (usize, usize)) -> Result<Splits> {
    match folder {
        Some(folder) => load_splits(folder),
        None => synthetic_splits(SYNTHETIC_SEED, synthetic.0, synthetic.1),
    }
}

/// What a network does to pictures: what its file says, or what its input suggests.
pub fn preprocess(network: &Network) -> Result<Preprocess> {
    match &network.preprocess {
        Some(preprocess) => Ok(preprocess.clone()),
        None => Preprocess::for_input(image_shape(network)?),
    }
}

/// `[height, width, channels]` of the images that a network takes.
pub fn image_shape(network: &Network) -> Result<[usize; 3]> {
    network.image_shape().ok_or_else(|| {
        let problem =
            "it takes no images: its inputs are not one image [n, height, width, channels]";
        Error::invalid("model", problem)
    })
}

/// Checks that a network takes these images, and knows their classes if it is a classifier.
pub fn check_fits(network: &Network, data: &Dataset) -> Result<()> {
    let input = image_shape(network)?;
    if input != data.image_shape() {
        let got = data.image_shape();
        return Err(Error::shape(
            data.name(),
            "images",
            format!("{input:?} (h, w, c of the model)"),
            &got,
        ));
    }
    if let Ok(classes) = compress::classes(&network.graph)
        && data.classes() > classes
    {
        let problem = format!(
            "its labels have {} classes, the model knows {classes}",
            data.classes()
        );
        return Err(Error::invalid(data.name(), problem));
    }
    Ok(())
}

/// The first inputs of `data` as one batch.
pub fn first(data: &dyn Data, count: usize) -> Result<Vec<wizen::base::Tensor>> {
    data.inputs(&(0..count.min(data.len())).collect::<Vec<_>>())
}
