//! The training loop behind every workflow that learns.

use std::fmt;
use std::sync::Arc;

use super::{Job, float_params};
use crate::base::{Instant, Rng, Tensor};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId, bake_masks};
use crate::network::{Network, TrainState};
use crate::prune::{self, Masked};
use crate::train::{Loss, LrSchedule, MOMENTUM, Optimizer, ParamGroup, Trainer, train_batch_norms};

/// Options of a training loop.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Passes over the data.
    pub epochs: usize,
    /// Items of a step.
    pub batch: usize,
    /// Peak learning rate; it warms up over a twentieth of the run and falls as a cosine.
    pub lr: f32,
    /// Of the order and of augmentation.
    pub seed: u64,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Of weights with two axes or more; biases and batch norms do not decay.
    pub weight_decay: f32,
    /// Parameters that learn faster or slower than the others.
    pub groups: Vec<LrGroup>,
    /// What becomes small.
    pub loss: Loss,
    /// Whether batch norms normalise by the statistics of the batch and move the running ones; else they are
    /// as in inference.
    pub batch_statistics: bool,
    /// Goes on where another run of the same options ended: every value is as if it had not.
    pub resume: Option<TrainState>,
    /// Keeps the state while it runs, at its end, and when whoever watches ends it.
    pub checkpoint: Option<Checkpoint>,
}

/// Who keeps the state of a run, and how often.
#[derive(Clone)]
pub struct Checkpoint {
    /// Steps from one to the next.
    pub every: usize,
    /// Keeps it.
    pub save: Arc<Save>,
}

/// Keeps a state.
pub type Save = dyn Fn(&TrainState) -> Result<()> + Send + Sync;

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {} steps", self.every)
    }
}

impl FitOptions {
    /// Adam on the cross-entropy, batches of 64.
    pub fn new(epochs: usize, lr: f32) -> Self {
        Self {
            epochs,
            batch: 64,
            lr,
            seed: 1,
            optimizer: Optimizer::ADAM,
            weight_decay: 0.0,
            groups: Vec::new(),
            loss: Loss::CrossEntropy,
            batch_statistics: true,
            resume: None,
            checkpoint: None,
        }
    }
}

/// Parameters with a learning rate of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct LrGroup {
    /// How their names begin; of groups that fit a parameter, the last counts.
    pub prefix: String,
    /// Their learning rate is the run's times this; 0 keeps them as they are. Running statistics have none:
    /// they move with [`FitOptions::batch_statistics`].
    pub lr_factor: f32,
}

/// What a training loop did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// Mean loss of the last steps.
    pub loss: f32,
    /// Items of a second.
    pub images_per_second: f64,
}

/// Trains all parameters of a float network, from what they are. Masks stay: what they removed stays removed.
///
/// # Errors
/// [`Error::Invalid`] for a network that is not float, data without what the loss compares with, or a loss
/// that is not finite; from reading `data`; what the device reports; [`Error::Stopped`].
pub async fn train(
    job: &Job<'_>,
    network: &Network,
    data: &dyn Data,
    options: &FitOptions,
) -> Result<(Network, Fit)> {
    let float = network.float_graph("train")?;
    let learning = Learning::new(&float, options)?;
    let mut run = learning.start(job, options).await?;
    let fit = run
        .fit(job, "train", data, options, async |_, _, _| Ok(()))
        .await?;
    let graph = run.into_graph(&float).await?;
    let trained = Network {
        graph,
        ..network.clone()
    };
    let with = format!(
        "{} epochs on {}, {}, seed {}",
        options.epochs,
        data.name(),
        options.loss,
        options.seed
    );
    Ok((trained.after("train", with), fit))
}

/// A graph about to learn.
pub(super) struct Learning {
    /// Forward and, once started, all the rest.
    pub graph: Graph,
    /// Parameters under masks, and the masks.
    pub masks: Vec<(ValueId, ValueId)>,
}

/// A graph that learns, and the names of what it changes.
pub(super) struct Run {
    pub trainer: Trainer,
    /// Names of parameters under masks, and of the masks.
    pub masks: Vec<(String, String)>,
    /// Names of what is learned, and of running statistics.
    learned: Vec<String>,
    /// Tensors that the loss compares with.
    targets: usize,
}

impl Learning {
    /// The network in training form, its own masks in it.
    pub fn new(float: &Graph, options: &FitOptions) -> Result<Self> {
        let ids = float.values().map(|(id, _)| id);
        let masked: Vec<ValueId> = ids.filter(|&id| float.mask(id).is_some()).collect();
        Self::masked(float, &masked, options)
    }

    /// The network in training form, with masks on these parameters.
    pub fn masked(float: &Graph, params: &[ValueId], options: &FitOptions) -> Result<Self> {
        let names: Vec<&str> = params
            .iter()
            .map(|&id| float.value(id).name.as_str())
            .collect();
        let mut graph = float.with_batch(options.batch)?;
        if options.batch_statistics {
            graph = train_batch_norms(&graph, MOMENTUM)?;
        }
        let params: Vec<ValueId> = names
            .iter()
            .map(|name| graph.find(name))
            .collect::<Result<_>>()?;
        let Masked { graph, masks } = prune::insert_masks(&graph, &params)?;
        Ok(Self { graph, masks })
    }

    /// Makes it resident, with what its options say.
    pub async fn start(self, job: &Job<'_>, options: &FitOptions) -> Result<Run> {
        let params = float_params(&self.graph);
        self.start_with(job, options, params, Vec::new()).await
    }

    /// The same for these parameters, and more groups of others.
    pub async fn start_with(
        mut self,
        job: &Job<'_>,
        options: &FitOptions,
        params: Vec<ValueId>,
        more: Vec<ParamGroup>,
    ) -> Result<Run> {
        let name = |id: ValueId| self.graph.value(id).name.clone();
        let masks = self.masks.iter().map(|&(w, mask)| (name(w), name(mask)));
        let masks: Vec<(String, String)> = masks.collect();
        let updated: Vec<ValueId> = self
            .graph
            .nodes()
            .iter()
            .flat_map(|n| n.updates())
            .collect();
        let mut groups = self.groups(options, params)?;
        let learned = groups.iter().flat_map(|group| &group.params);
        let learned = learned.chain(&updated).map(|&id| name(id)).collect();
        groups.extend(more);
        let inputs = self.graph.inputs().len();
        let loss = options.loss.append(&mut self.graph)?;
        let targets = self.graph.inputs().len() - inputs;
        let device = job.device();
        let trainer = Trainer::new(device, self.graph, loss, options.optimizer, &groups).await?;
        Ok(Run {
            trainer,
            masks,
            learned,
            targets,
        })
    }

    /// Parameters by learning rate and decay; those that stay as they are are in none.
    fn groups(&self, options: &FitOptions, params: Vec<ValueId>) -> Result<Vec<ParamGroup>> {
        for LrGroup { prefix, lr_factor } in &options.groups {
            let named = |&id: &ValueId| self.graph.value(id).name.starts_with(prefix);
            if !params.iter().any(named) {
                let problem = format!("no parameter has a name that begins with `{prefix}`");
                return Err(Error::invalid("learning rates", problem));
            }
            if !(lr_factor.is_finite() && *lr_factor >= 0.0) {
                let problem =
                    format!("the factor of `{prefix}` is {lr_factor}, expected 0 or more");
                return Err(Error::invalid("learning rates", problem));
            }
        }
        let mut groups: Vec<ParamGroup> = Vec::new();
        for id in params {
            let value = self.graph.value(id);
            let own = options.groups.iter().rev();
            let own = own.filter(|group| value.name.starts_with(&group.prefix));
            let lr_factor = own.map(|group| group.lr_factor).next().unwrap_or(1.0);
            if lr_factor == 0.0 {
                continue;
            }
            let weight_decay = match value.shape.len() {
                0 | 1 => 0.0,
                _ => options.weight_decay,
            };
            let same =
                |g: &&mut ParamGroup| g.lr_factor == lr_factor && g.weight_decay == weight_decay;
            match groups.iter_mut().find(same) {
                Some(group) => group.params.push(id),
                None => groups.push(ParamGroup {
                    params: vec![id],
                    lr_factor,
                    weight_decay,
                    min: None,
                }),
            }
        }
        Ok(groups)
    }
}

impl Run {
    /// Runs the loop; `hook` is called before every step with its number and the total.
    pub async fn fit(
        &mut self,
        job: &Job<'_>,
        what: &str,
        data: &dyn Data,
        options: &FitOptions,
        mut hook: impl AsyncFnMut(&mut Self, usize, usize) -> Result<()>,
    ) -> Result<Fit> {
        let mut order = Order::new(data, options)?;
        let steps = options.epochs * order.per_epoch();
        let first = match &options.resume {
            Some(state) => self.resume(state, steps)?,
            None => 0,
        };
        let schedule = LrSchedule::WarmupCosine { warmup: 0.05 };
        let mut stage = job.stage(what, steps);
        let start = Instant::now();
        let mut fit = Fit {
            loss: f32::NAN,
            ..Fit::default()
        };
        for step in 0..steps {
            let items = order.next();
            if step < first {
                stage.step(1)?;
                continue;
            }
            hook(self, step, steps).await?;
            // Augmentation depends on the step alone: a resumed run sees what it would have seen.
            let mut rng = Rng::new(options.seed).fork(step as u64 + 1);
            let inputs = data.augmented(&items, &mut rng)?;
            // What the loss does not compare with need not be known.
            let targets = match self.targets {
                0 => Vec::new(),
                _ => data.targets(&items)?,
            };
            if targets.len() != self.targets {
                let problem = format!(
                    "it has {} tensors to compare with, the loss takes {}",
                    targets.len(),
                    self.targets
                );
                return Err(Error::invalid(data.name(), problem));
            }
            let tensors: Vec<&Tensor> = inputs.iter().chain(&targets).collect();
            let lr = options.lr * schedule.factor(step, steps);
            self.trainer.step(&tensors, lr).await?;
            let done = step + 1;
            let keep = options.checkpoint.as_ref();
            let due = keep.filter(|keep| done == steps || done % keep.every.max(1) == 0);
            if let Some(keep) = due {
                (keep.save)(&self.state(done).await?)?;
            }
            if done % 50 == 0 || done == steps {
                fit.loss = self.trainer.mean_loss().await?;
                stage.loss = Some(fit.loss);
            }
            if let Err(stopped) = stage.step(1) {
                if let Some(keep) = keep.filter(|_| due.is_none()) {
                    (keep.save)(&self.state(done).await?)?;
                }
                return Err(stopped);
            }
        }
        if first == steps && self.trainer.unread() > 0 {
            fit.loss = self.trainer.mean_loss().await?;
        }
        let done = steps.saturating_sub(first) * options.batch;
        fit.images_per_second = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
        Ok(fit)
    }

    /// Everything that the next step depends on.
    async fn state(&self, step: usize) -> Result<TrainState> {
        let mut tensors = self.trainer.state().await?;
        // No step changes masks, but pruning does between them.
        for (_, mask) in &self.masks {
            tensors.push((mask.clone(), self.trainer.read(mask).await?));
        }
        Ok(TrainState {
            step,
            unread: self.trainer.unread(),
            tensors,
        })
    }

    /// Goes on from a state of this run; returns the steps that are done.
    fn resume(&mut self, state: &TrainState, steps: usize) -> Result<usize> {
        let TrainState {
            step,
            unread,
            tensors,
        } = state;
        let wrong = |problem: String| Err(Error::invalid("resume", problem));
        if *step > steps {
            return wrong(format!(
                "the state is that after {step} steps, the run has {steps}"
            ));
        }
        let missing = |(_, mask): &&(String, String)| !tensors.iter().any(|(name, _)| name == mask);
        if let Some((_, mask)) = self.masks.iter().find(missing) {
            return wrong(format!(
                "`{mask}` is missing: this is the state of another run"
            ));
        }
        self.trainer.restore(*step as u32, *unread, tensors)?;
        Ok(*step)
    }

    /// The network with what was learned, masks multiplied in.
    pub async fn into_graph(self, float: &Graph) -> Result<Graph> {
        let mut graph = float.clone();
        for name in &self.learned {
            let tensor = self.trainer.read(name).await?;
            // Masks and learned scales are not the network's own.
            if let Ok(id) = graph.find(name)
                && graph.tensor(id).is_some()
            {
                graph.set_tensor(id, tensor)?;
            }
        }
        for (name, mask) in &self.masks {
            let mask = Arc::new(self.trainer.read(mask).await?);
            graph.set_mask(graph.find(name)?, Some(mask))?;
        }
        bake_masks(&graph)
    }
}

/// Endless batches, in a new random order every epoch.
struct Order {
    items: Vec<usize>,
    batch: usize,
    at: usize,
    rng: Rng,
}

impl Order {
    fn new(data: &dyn Data, options: &FitOptions) -> Result<Self> {
        let (len, batch) = (data.len(), options.batch);
        if batch == 0 || len < batch {
            let problem = format!("it has {len} items, a batch takes {batch}");
            return Err(Error::invalid(data.name(), problem));
        }
        Ok(Self {
            items: (0..len).collect(),
            batch,
            at: usize::MAX,
            rng: Rng::new(options.seed).fork(77),
        })
    }

    fn per_epoch(&self) -> usize {
        self.items.len() / self.batch
    }

    fn next(&mut self) -> Vec<usize> {
        if self.at.saturating_add(self.batch) > self.items.len() {
            self.rng.shuffle(&mut self.items);
            self.at = 0;
        }
        let items = self.items[self.at..self.at + self.batch].to_vec();
        self.at += self.batch;
        items
    }
}
