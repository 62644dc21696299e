//! Options of every command that learns, and runs that go on where they were stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use wizen::compress::{Checkpoint, FitOptions, LrGroup};
use wizen::data::Data;
use wizen::graph::optimize;
use wizen::io::{Augment, RunOptions, load_state, save_state};
use wizen::train::{Distillation, Loss, Optimizer};
use wizen::{Error, Network, Result};

use super::context::{Context, may_write};
use super::data::Source;
use super::models::InputArgs;

/// Update rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    Sgd,
    Adam,
    Adamw,
}

/// Options of every training loop.
#[derive(Clone, Debug, Args)]
pub struct FitArgs {
    /// Images per step
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Peak learning rate [default: depends on the command and the optimizer]
    #[arg(long)]
    pub lr: Option<f32>,
    /// Another learning rate for parameters whose names begin so: the run's times this, 0 = they stay; may be
    /// repeated, the last that fits counts
    #[arg(long, value_name = "PREFIX=FACTOR")]
    pub lr_of: Vec<String>,
    /// Seed of initial weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Update rule
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerName,
    /// Decay of weights, per step and unit of learning rate
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f32,
    /// Shift training images at random by up to this many pixels; 0 = off [default: what suits the data: 4 for
    /// CIFAR, else 2]
    #[arg(long)]
    pub shift: Option<usize>,
    /// Mirror half of the training images left to right [default: as suits the data: for CIFAR]
    #[arg(long)]
    pub flip: bool,
    /// Keep the statistics of batch norms as they are: for few images, small batches, or a model whose statistics
    /// were folded into its weights
    #[arg(long)]
    pub freeze_norms: bool,
    /// Float model to agree with instead of learning the labels (distillation)
    #[arg(long, value_name = "MODEL")]
    pub teacher: Option<PathBuf>,
    /// What logits are divided by before they are compared with the teacher's
    #[arg(long, default_value_t = 4.0, requires = "teacher")]
    pub temperature: f32,
    /// Weight of the teacher, 0 to 1; the labels get the rest
    #[arg(long, default_value_t = 1.0, requires = "teacher")]
    pub teacher_weight: f32,
    /// Keep the state of the run in this file, and go on from it if it is there; it goes when the job is done
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Steps from one state kept to the next
    #[arg(long, default_value_t = 200, requires = "checkpoint")]
    pub checkpoint_every: usize,
    /// Write over a model that is read
    #[arg(long)]
    pub force: bool,
}

impl FitArgs {
    /// Options with defaults filled in; `adam_lr` is the command's learning rate for Adam, `inputs` what a
    /// teacher's file may leave open.
    pub fn options(
        &self,
        epochs: usize,
        adam_lr: f32,
        data: &Source,
        inputs: &InputArgs,
    ) -> Result<FitOptions> {
        let (optimizer, lr) = match self.optimizer {
            OptimizerName::Sgd => (Optimizer::SGD, 20.0 * adam_lr),
            OptimizerName::Adam => (Optimizer::ADAM, adam_lr),
            OptimizerName::Adamw => (Optimizer::ADAMW, adam_lr),
        };
        Ok(FitOptions {
            batch: self.batch,
            seed: self.seed,
            optimizer,
            weight_decay: self.weight_decay,
            groups: self.groups()?,
            batch_statistics: !self.freeze_norms,
            loss: self.loss(data, inputs)?,
            ..FitOptions::new(epochs, self.lr.unwrap_or(lr))
        })
    }

    /// True if something is asked for that only a run with data has.
    pub fn needs_data(&self) -> bool {
        self.checkpoint.is_some() || self.teacher.is_some() || !self.lr_of.is_empty()
    }

    fn groups(&self) -> Result<Vec<LrGroup>> {
        let group = |text: &String| {
            let (prefix, factor) = text.split_once('=')?;
            let lr_factor: f32 = factor.parse().ok()?;
            let prefix = prefix.to_owned();
            (lr_factor.is_finite() && lr_factor >= 0.0).then_some(LrGroup { prefix, lr_factor })
        };
        let groups = self.lr_of.iter().map(|text| {
            group(text).ok_or_else(|| {
                let problem = format!(
                    "`{text}` is not PREFIX=FACTOR with a factor of 0 or more, as conv1=0.1"
                );
                Error::invalid("--lr-of", problem)
            })
        });
        groups.collect()
    }

    /// The labels, a teacher, or both.
    fn loss(&self, data: &Source, inputs: &InputArgs) -> Result<Loss> {
        let unlabelled = data.labels().is_none();
        let Some(path) = &self.teacher else {
            if unlabelled {
                let problem = "it has no labels to learn; --teacher FLOAT_MODEL learns that model's answers instead";
                return Err(Error::invalid(data.name(), problem));
            }
            return Ok(Loss::CrossEntropy);
        };
        let weight = self.teacher_weight;
        if unlabelled && weight != 1.0 {
            let problem = format!("{} has no labels for the rest of the weight", data.name());
            return Err(Error::invalid("--teacher-weight", problem));
        }
        if !(0.0..=1.0).contains(&weight) {
            let problem = format!("{weight} is not in 0 to 1");
            return Err(Error::invalid("--teacher-weight", problem));
        }
        let teacher = inputs.open(path, None)?;
        let own = teacher.preprocess.as_ref();
        if own.is_some() && data.preprocess().is_some() && own != data.preprocess() {
            let problem = "it takes pictures otherwise (size, mean, deviation or colours) than the model that learns";
            return Err(Error::invalid("--teacher", problem));
        }
        let taught = Loss::Distill(Distillation {
            teacher: optimize(&teacher.float_graph("--teacher")?)?,
            temperature: self.temperature,
            values: Vec::new(),
        });
        Ok(match weight == 1.0 {
            true => taught,
            false => Loss::Sum(vec![(weight, taught), (1.0 - weight, Loss::CrossEntropy)]),
        })
    }

    /// The data as it is changed at random.
    pub fn augmented(&self, data: Source) -> Source {
        data.with_augment(|own| Augment {
            shift: self.shift.unwrap_or(own.shift),
            flip: self.flip || own.flip,
        })
    }

    /// Checks that `out` is no model that is read.
    pub fn may_write(&self, out: &Path, model: Option<&Path>) -> Result<()> {
        may_write(out, &[model, self.teacher.as_deref()], self.force)
    }

    /// What decides how a run goes; `more` is what the command adds.
    fn run(
        &self,
        options: &FitOptions,
        data: &Source,
        more: &[(&str, String)],
    ) -> Result<RunOptions> {
        let mut run: RunOptions = [
            ("data", format!("{}, {} images", data.name(), data.len())),
            (
                "pictures",
                format!("{:?} {:?}", data.preprocess(), data.augment()),
            ),
            ("--epochs", options.epochs.to_string()),
            ("--batch", options.batch.to_string()),
            ("--lr", options.lr.to_string()),
            ("--lr-of", self.lr_of.join(" ")),
            ("--seed", options.seed.to_string()),
            ("--optimizer", format!("{:?}", options.optimizer)),
            ("--weight-decay", options.weight_decay.to_string()),
            ("--freeze-norms", self.freeze_norms.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(path) = &self.teacher {
            let teacher = format!(
                "{} at {} × {}",
                digest(path)?,
                self.temperature,
                self.teacher_weight
            );
            run.insert("--teacher".into(), teacher);
        }
        run.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        Ok(run)
    }

    /// The same options, stopped by Ctrl-C, going on where the file of `--checkpoint` ends and keeping the state there.
    pub fn kept(
        &self,
        context: &Context,
        options: FitOptions,
        data: &Source,
        out: &Path,
        more: &[(&str, String)],
    ) -> Result<FitOptions> {
        context.listen()?;
        let Some(path) = self.checkpoint.clone() else {
            return Ok(options);
        };
        if self.checkpoint_every == 0 {
            return Err(Error::invalid(
                "--checkpoint-every",
                "0 steps; 1 is the least",
            ));
        }
        if path == out {
            let problem = "it is the file that --out names; give another one";
            return Err(Error::invalid("--checkpoint", problem));
        }
        let run = self.run(&options, data, more)?;
        let resume = match path.exists() {
            false => None,
            true => {
                let (state, kept) = load_state(&path)?;
                fits(&path, &kept, &run)?;
                context.say(&format!(
                    "going on after step {} of the run in {}",
                    state.step,
                    path.display()
                ));
                Some(state)
            }
        };
        let save = move |state: &wizen::TrainState| save_state(&path, state, &run);
        Ok(FitOptions {
            resume,
            checkpoint: Some(Checkpoint {
                every: self.checkpoint_every,
                save: Arc::new(save),
            }),
            ..options
        })
    }

    /// The result of a job; says where one that was stopped goes on.
    pub fn ended<T>(&self, context: &Context, result: Result<T>) -> Result<T> {
        if let (Err(Error::Stopped(_)), Some(path)) = (&result, &self.checkpoint)
            && path.exists()
        {
            context.say(&format!(
                "the run is kept in {}; the same command goes on there",
                path.display()
            ));
        }
        result
    }

    /// The job is done and written: nothing is left to go on with.
    pub fn done(&self) -> Result<()> {
        match &self.checkpoint {
            Some(path) if path.exists() => std::fs::remove_file(path).map_err(Error::io(path)),
            _ => Ok(()),
        }
    }
}

/// Refuses a state that was kept by a run with other options.
fn fits(path: &Path, kept: &RunOptions, run: &RunOptions) -> Result<()> {
    for name in kept.keys().chain(run.keys()) {
        let [was, is] = [kept, run].map(|options| options.get(name).map_or("none", String::as_str));
        if was != is {
            let problem = format!(
                "it was kept by a run with another `{name}`: {was}, now {is}; give the same options, another \
                 --checkpoint, or remove it"
            );
            return Err(Error::format(path, problem));
        }
    }
    Ok(())
}

/// A number that tells the contents of files apart (FNV-1a).
pub fn digest(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    Ok(format!("{} ({hash:016x})", path.display()))
}

/// A student without ideas of its own about pictures takes those of its teacher.
pub fn adopt(student: &mut Network, teacher: Option<&Path>, inputs: &InputArgs) -> Result<()> {
    if let (None, Some(path)) = (&student.preprocess, teacher) {
        student.preprocess = inputs.open(path, None)?.preprocess;
    }
    Ok(())
}
