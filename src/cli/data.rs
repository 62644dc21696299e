//! Data sets that commands take.

use std::path::{Path, PathBuf};

use clap::Args;
use wizen::base::{Preprocess, Rng, Tensor};
use wizen::compress;
use wizen::data::{Batches, Data};
use wizen::io::{
    Arrays, Augment, Dataset, Splits, is_array_file, load_arrays, load_data, load_splits,
    read_class_names, synthetic_splits,
};
use wizen::{Error, Network, Result};

use super::context::Context;
use super::pictures::PictureArgs;

/// Seed of the synthetic digits: the same for everyone, whatever the training seed.
const SYNTHETIC_SEED: u64 = 1;

/// Where inputs come from, and how pictures become what the network takes.
#[derive(Clone, Debug, Args)]
pub struct DataArgs {
    /// Folder with MNIST-style IDX files, CIFAR-10's binary batches or pictures (in one folder per class, or with a
    /// table DIR.csv beside it), or a file of arrays (.npy, .npz, .safetensors); without it, synthetic digits
    /// (`prune` then removes at once and learns nothing)
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub pictures: PictureArgs,
    /// Names of the model's classes, to which folders are matched: one per line, a JSON array or dictionary, or a
    /// table with the columns class_index and class_name; they are kept in the model
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

/// Inputs of a network, whatever they are.
#[derive(Clone, Debug)]
pub enum Source {
    Pictures(Dataset),
    Arrays(Arrays),
}

/// What a command learns from or calibrates on, and what it judges by.
#[derive(Clone, Debug)]
pub struct Sets {
    pub learn: Source,
    pub judge: Source,
    /// False if both are the same.
    pub held_out: bool,
}

impl DataArgs {
    /// Writes into a network what its pictures and classes are, by the options or by what it says itself, and
    /// says what is done to pictures.
    pub fn prepare(&self, context: &Context, network: &mut Network) -> Result<()> {
        self.prepare_pictures(context, network)?;
        if let Some(path) = &self.labels {
            network.labels = read_class_names(path, compress::classes(&network.graph)?)?;
        }
        Ok(())
    }

    /// As [`Self::prepare`], for a network whose classes are those of the data.
    pub fn prepare_pictures(&self, context: &Context, network: &mut Network) -> Result<()> {
        let arrays = self.data.as_deref().is_some_and(is_array_file);
        let known = self.pictures.prepare(network)?;
        known.say(context, network, !arrays);
        Ok(())
    }

    /// The data, as the prepared network takes it; `synthetic` numbers of digits without `--data`. `eval` is the
    /// value of `--eval-data`: another set to judge by.
    pub fn sets(
        &self,
        context: &Context,
        network: &Network,
        eval: Option<&Path>,
        synthetic: (usize, usize),
    ) -> Result<Sets> {
        let sets = self.raw(network, eval, synthetic)?;
        sets.numbered(context, network)
    }

    /// As [`Self::sets`], with the class numbers that the data itself has.
    pub fn raw(
        &self,
        network: &Network,
        eval: Option<&Path>,
        synthetic: (usize, usize),
    ) -> Result<Sets> {
        let mut sets = match &self.data {
            Some(path) => load(path, network)?,
            None => Sets::from(digits(None, synthetic)?.with_preprocess(&pictures_of(network)?)?),
        };
        if let Some(path) = eval {
            sets.judge = load(path, network)?.judge;
            sets.held_out = true;
        }
        Ok(sets)
    }
}

impl Sets {
    /// With the class numbers of the network; says what people should know about the data.
    pub fn numbered(self, context: &Context, network: &Network) -> Result<Self> {
        let number = |source: Source| match (source, compress::classes(&network.graph)) {
            (Source::Pictures(data), Ok(classes)) => data
                .numbered_for(&network.labels, classes)
                .map(Source::Pictures),
            (source, _) => Ok(source),
        };
        let sets = Self {
            learn: number(self.learn)?,
            judge: number(self.judge)?,
            held_out: self.held_out,
        };
        sets.say_notes(context);
        Ok(sets)
    }

    /// Says what people should know about the data: what was skipped, how classes were numbered.
    pub fn say_notes(&self, context: &Context) {
        let notes = [&self.learn, &self.judge].map(Source::notes);
        let mut said: Vec<&String> = Vec::new();
        for note in notes.into_iter().flatten() {
            if !said.contains(&note) {
                context.say(note);
                said.push(note);
            }
        }
    }

    /// Says if what is learned from is what is judged by.
    pub fn warn(&self, context: &Context) {
        if !self.held_out && self.judge.labels().is_some() {
            context.say(&format!(
                "{} is one set of images: the accuracy is that on the images it learns from; give others with \
                 --eval-data",
                self.learn.name()
            ));
        }
    }
}

impl From<Splits> for Sets {
    fn from(splits: Splits) -> Self {
        Self {
            learn: Source::Pictures(splits.train),
            judge: Source::Pictures(splits.test),
            held_out: splits.held_out,
        }
    }
}

fn load(path: &Path, network: &Network) -> Result<Sets> {
    if is_array_file(path) {
        let arrays = Source::Arrays(load_arrays(path, &network.graph)?);
        return Ok(Sets {
            learn: arrays.clone(),
            judge: arrays,
            held_out: false,
        });
    }
    load_data(path, &pictures_of(network)?).map(Sets::from)
}

/// What a prepared network does to pictures.
pub fn pictures_of(network: &Network) -> Result<Preprocess> {
    network.preprocess.clone().ok_or_else(|| {
        let problem = "it takes no pictures: its inputs are not one image [n, height, width, 1 or 3 channels]; give \
                       it a file of arrays (.npy, .npz, .safetensors)";
        Error::invalid("model", problem)
    })
}

/// The MNIST or CIFAR-10 files in `folder`; without one, synthetic digits.
pub fn digits(folder: Option<&Path>, synthetic: (usize, usize)) -> Result<Splits> {
    match folder {
        Some(folder) => load_splits(folder),
        None => synthetic_splits(SYNTHETIC_SEED, synthetic.0, synthetic.1),
    }
}

/// The first inputs of `data` as one batch.
pub fn first(data: &dyn Data, count: usize) -> Result<Vec<Tensor>> {
    data.inputs(&(0..count.min(data.len())).collect::<Vec<_>>())
}

/// What `--limit` says.
pub fn limited(source: Source, limit: Option<usize>) -> Result<Source> {
    match (source, limit) {
        (_, Some(0)) => Err(Error::invalid("--limit", "it must be at least 1")),
        (source, None) => Ok(source),
        (Source::Pictures(data), Some(n)) => Ok(Source::Pictures(data.take(n))),
        (Source::Arrays(data), Some(n)) => Ok(Source::Arrays(data.take(n)?)),
    }
}

impl Source {
    fn notes(&self) -> &[String] {
        match self {
            Self::Pictures(data) => data.notes(),
            Self::Arrays(_) => &[],
        }
    }

    /// What is done to pictures, if these are pictures.
    pub fn preprocess(&self) -> Option<&Preprocess> {
        match self {
            Self::Pictures(data) => Some(data.preprocess()),
            Self::Arrays(_) => None,
        }
    }

    /// How pictures are changed at random, if these are pictures.
    pub fn augment(&self) -> Option<Augment> {
        match self {
            Self::Pictures(data) => Some(data.augment()),
            Self::Arrays(_) => None,
        }
    }

    /// The same, changed at random by `change` of what suits it.
    pub fn with_augment(self, change: impl Fn(Augment) -> Augment) -> Self {
        match self {
            Self::Pictures(data) => {
                let augment = change(data.augment());
                Self::Pictures(data.with_augment(augment))
            }
            arrays => arrays,
        }
    }

    fn data(&self) -> &dyn Data {
        match self {
            Self::Pictures(data) => data,
            Self::Arrays(data) => data,
        }
    }
}

impl Data for Source {
    fn name(&self) -> &str {
        self.data().name()
    }

    fn len(&self) -> usize {
        self.data().len()
    }

    fn inputs(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        self.data().inputs(items)
    }

    fn targets(&self, items: &[usize]) -> Result<Vec<Tensor>> {
        self.data().targets(items)
    }

    fn labels(&self) -> Option<&[u32]> {
        self.data().labels()
    }

    fn augmented(&self, items: &[usize], rng: &mut Rng) -> Result<Vec<Tensor>> {
        self.data().augmented(items, rng)
    }

    fn batches(&self, items: Vec<usize>, batch: usize) -> Batches<'_> {
        self.data().batches(items, batch)
    }
}
