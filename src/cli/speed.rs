//! How fast several networks run on one device, measured in turns.

use std::time::Instant;

use wizen::Result;
use wizen::base::Tensor;
use wizen::compress;
use wizen::data::Data;
use wizen::graph::{Device, Executor, Graph, lower};
use wizen::io::Dataset;

use super::context::Context;

/// Images per run, at most.
const BATCH: usize = 250;
/// Rounds on a GPU, of which the median counts.
const ROUNDS: usize = 25;
/// Rounds on the CPU reference, which is slow and steady.
const CPU_ROUNDS: usize = 3;

/// How fast a network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// Images of a run.
    pub batch: usize,
    /// Seconds of a run in each round, images copied in and results copied out.
    pub rounds: Vec<f64>,
    /// Seconds that the network's programs take in a run; the device may have no clock for it.
    pub programs: Option<f64>,
    /// Operations on one image, two to a multiply-add.
    pub operations: f64,
    /// The programs of a run, in order.
    pub kernels: Vec<&'static str>,
}

impl Speed {
    /// Median of the rounds.
    pub fn seconds(&self) -> f64 {
        median(self.rounds.clone())
    }

    pub fn images_per_second(&self) -> f64 {
        self.batch as f64 / self.seconds().max(1e-9)
    }

    /// How many times as fast as `other`.
    pub fn over(&self, other: &Self) -> f64 {
        other.seconds() / self.seconds().max(1e-9)
    }

    /// Whether it is clearly faster than `other`, clearly slower, or neither: clear is a tenth in the
    /// median and the same sign in three of four rounds.
    pub fn against(&self, other: &Self) -> Verdict {
        let won = self.rounds.iter().zip(&other.rounds).filter(|(a, b)| a < b);
        let (won, rounds) = (won.count(), self.rounds.len());
        match self.over(other) {
            ratio if ratio > 1.1 && 4 * won >= 3 * rounds => Verdict::Faster,
            ratio if ratio < 1.0 / 1.1 && 4 * won <= rounds => Verdict::Slower,
            _ => Verdict::Same,
        }
    }

    /// Both run the same programs with as many operations.
    pub fn same_programs(&self, other: &Self) -> bool {
        self.kernels == other.kernels && self.operations == other.operations
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Faster,
    Same,
    Slower,
}

/// Runs every network on the same images, in turns, so that whatever else the machine does meets all of them.
pub async fn measure(
    context: &Context,
    device: &Device,
    networks: &[Graph],
    data: &Dataset,
) -> Result<Vec<Speed>> {
    let Some(first) = networks.first() else {
        return Ok(Vec::new());
    };
    let batch = compress::eval_batch(first, BATCH).min(data.len());
    let inputs = data.inputs(&(0..batch).collect::<Vec<_>>())?;
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let gpu = matches!(device, Device::Gpu(_));
    let rounds = if gpu { ROUNDS } else { CPU_ROUNDS };
    let bar = context.progress("measure speed", rounds);
    let mut running: Vec<(Executor, Speed)> = Vec::with_capacity(networks.len());
    for network in networks {
        let plan = lower(&network.with_batch(batch)?, &device.caps())?;
        let operations: f64 = plan.steps.iter().map(|s| s.kernel.cost().operations).sum();
        let speed = Speed {
            batch,
            rounds: Vec::with_capacity(rounds),
            programs: None,
            operations: operations / batch as f64,
            kernels: plan.steps.iter().map(|step| step.kernel.name()).collect(),
        };
        let mut executor = device.load(plan).await?;
        if gpu {
            // Drivers compile at the first run.
            executor.run(&inputs).await?;
        }
        running.push((executor, speed));
    }
    for _ in 0..rounds {
        for (executor, speed) in &mut running {
            let start = Instant::now();
            executor.run(&inputs).await?;
            speed.rounds.push(start.elapsed().as_secs_f64());
        }
        bar.inc(1);
    }
    if !matches!(device, Device::Gpu(gpu) if !gpu.caps().timestamps) {
        for (executor, speed) in &mut running {
            let mut times = Vec::new();
            for _ in 0..rounds.div_ceil(3) {
                let steps = executor.profile(&inputs).await?;
                times.push(steps.iter().map(|step| step.seconds).sum());
            }
            speed.programs = Some(median(times));
        }
    }
    bar.finish_and_clear();
    Ok(running.into_iter().map(|(_, speed)| speed).collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(rounds: &[f64]) -> Speed {
        Speed {
            batch: 250,
            rounds: rounds.to_vec(),
            programs: None,
            operations: 1e6,
            kernels: vec!["conv"],
        }
    }

    #[test]
    fn only_what_is_clear_is_a_difference() {
        let base = speed(&[1.0, 1.1, 1.0, 1.2]);
        assert_eq!(base.against(&base), Verdict::Same);
        assert_eq!(speed(&[0.7; 4]).against(&base), Verdict::Faster);
        assert_eq!(speed(&[1.5; 4]).against(&base), Verdict::Slower);
        // Less than a tenth.
        assert_eq!(speed(&[1.15; 4]).against(&base), Verdict::Same);
        // Faster in two rounds, slower in two.
        assert_eq!(speed(&[0.5, 0.5, 3.0, 3.0]).against(&base), Verdict::Same);
        assert!((speed(&[0.5; 4]).images_per_second() - 500.0).abs() < 1e-9);
    }
}
