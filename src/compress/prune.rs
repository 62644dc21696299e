//! Pruning: single weights by magnitude, or whole channels.

use super::fit::{Fit, FitOptions, Learning, train};
use super::{Job, layer_weights};
use crate::base::Tensor;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::graph::bake_masks;
use crate::network::Network;
use crate::prune::{self, MaskPlan, Schedule, Scope};

/// What to prune, and how.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Share of the weights, or of the channels of every layer, that goes.
    pub sparsity: f64,
    /// Which weights compete with each other.
    pub scope: Scope,
    /// Along Zhu and Gupta's cubic schedule over the first half of the fine-tuning; else all at once.
    pub cubic: bool,
    /// Channels that are left of a layer are a multiple of this.
    pub multiple: usize,
    /// Fine-tuning, if there is data for it.
    pub fit: Option<FitOptions>,
}

/// Updates of the masks along a schedule, at most.
const UPDATES: usize = 30;

/// Magnitude pruning; with data, along a schedule while fine-tuning.
///
/// # Errors
/// [`Error::Invalid`] for a sparsity that is no share of 1, a network that is not float; as
/// [`train`](super::train).
pub async fn prune(
    job: &Job<'_>,
    network: &Network,
    data: Option<&dyn Data>,
    options: &PruneOptions,
) -> Result<(Network, Option<Fit>)> {
    check(options)?;
    let float = network.float_graph("prune")?;
    let weights = layer_weights(&float);
    let (graph, fit) = match (data, &options.fit) {
        // A run without steps has no time for a schedule.
        (Some(data), Some(fit_options)) if fit_options.epochs > 0 => {
            let learning = Learning::masked(&float, &weights, fit_options)?;
            let shapes: Vec<_> = weights
                .iter()
                .map(|&id| float.value(id).shape.clone())
                .collect();
            let mut masker = MaskPlan::new(job.device(), &shapes, options.scope).await?;
            let mut run = learning.start(job, fit_options).await?;
            let target = options.sparsity;
            let initial = network.sparsity().min(target);
            let fit = run
                .fit(job, "prune", data, fit_options, async |run, step, steps| {
                    // The schedule takes half of the run; the rest heals, while the learning rate is still
                    // high enough.
                    let updates = UPDATES.min(steps / 2);
                    let frequency = (steps / 2 / updates.max(1)).max(1);
                    let schedule = match options.cubic && updates > 0 {
                        false => Schedule::OneShot { target },
                        true => Schedule::Cubic {
                            initial,
                            target,
                            begin: 0,
                            steps: updates,
                            frequency,
                        },
                    };
                    let due = match options.cubic && updates > 0 {
                        false => step == 0,
                        true => step % frequency == 0 && step / frequency <= updates,
                    };
                    if !due {
                        return Ok(());
                    }
                    let (mut tensors, mut old) = (Vec::new(), Vec::new());
                    for (weight, mask) in &run.masks {
                        tensors.push(run.trainer.read(weight).await?);
                        old.push(run.trainer.read(mask).await?);
                    }
                    let tensors: Vec<&Tensor> = tensors.iter().collect();
                    let old: Vec<Option<&Tensor>> = old.iter().map(Some).collect();
                    let sparsity = schedule.sparsity_at(step);
                    let masks = masker.prune_to_sparsity(&tensors, &old, sparsity).await?;
                    for ((_, name), mask) in run.masks.iter().zip(&masks) {
                        run.trainer.write(name, mask)?;
                    }
                    Ok(())
                })
                .await?;
            (run.into_graph(&float).await?, Some(fit))
        }
        _ => {
            let tensors: Vec<&Tensor> = weights
                .iter()
                .filter_map(|&id| float.tensor(id))
                .map(AsRef::as_ref)
                .collect();
            let old: Vec<Option<&Tensor>> = weights
                .iter()
                .map(|&id| float.mask(id).map(AsRef::as_ref))
                .collect();
            let (scope, sparsity) = (options.scope, options.sparsity);
            let device = job.device();
            let masks =
                prune::magnitude_masks_to_sparsity(device, &tensors, &old, scope, sparsity).await?;
            let mut graph = float.clone();
            for (&id, mask) in weights.iter().zip(masks) {
                graph.set_mask(id, Some(mask.into()))?;
            }
            (bake_masks(&graph)?, None)
        }
    };
    let pruned = Network {
        graph,
        ..network.clone()
    };
    let scope = match options.scope {
        Scope::Global => "over all layers",
        Scope::PerTensor => "in each layer",
    };
    let with = format!(
        "by magnitude {scope}: {:.4} of the weights are zero",
        pruned.sparsity()
    );
    Ok((pruned.after("prune", with), fit))
}

/// Structured pruning: the channels of least importance leave each hidden layer for good, with all that is
/// tied to them; the network shrinks, and what is left is fine-tuned if there is data.
///
/// # Errors
/// As [`prune()`]; [`Error::Invalid`] for a network without a channel that could leave.
pub async fn prune_channels(
    job: &Job<'_>,
    network: &Network,
    data: Option<&dyn Data>,
    options: &PruneOptions,
) -> Result<(Network, Option<Fit>)> {
    check(options)?;
    let float = network.float_graph("prune")?;
    let families = prune::families(&float)?;
    if families.is_empty() {
        let problem = "no channel of it can leave: all are tied to its inputs or results";
        return Err(Error::invalid("prune", problem));
    }
    let gone = families
        .iter()
        .flat_map(|family| family.weakest(options.sparsity, options.multiple));
    let thinned = Network {
        graph: prune::thin(&float, gone)?,
        ..network.clone()
    };
    let channels: usize = families.iter().map(|family| family.groups.len()).sum();
    let with = format!(
        "{:.4} of the channels of {} families with {channels} in all, to multiples of {}; {} of {} \
         multiply-accumulates are left",
        options.sparsity,
        families.len(),
        options.multiple,
        thinned.macs(),
        network.macs()
    );
    let thinned = thinned.after("prune channels", with);
    match (data, &options.fit) {
        (Some(data), Some(fit)) => {
            let (healed, fit) = train(job, &thinned, data, fit).await?;
            Ok((healed, Some(fit)))
        }
        _ => Ok((thinned, None)),
    }
}

fn check(options: &PruneOptions) -> Result<()> {
    if (0.0..1.0).contains(&options.sparsity) {
        return Ok(());
    }
    let problem = format!("{} is not in 0 ≤ sparsity < 1", options.sparsity);
    Err(Error::invalid("sparsity", problem))
}
