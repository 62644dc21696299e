//! What the report measures, section by section.

use std::sync::Arc;
use std::time::Instant;

use pollster::block_on;
use wizen::base::{DType, Rng, Tensor};
use wizen::gpu::Gpu;
use wizen::graph::{Device, Executor, Graph, Limit, Peaks, Session, Share, lower, tune};
use wizen::kernels::Cost;
use wizen::prune::{Amount, MaskPlan, Scope, kept};

use crate::markdown::{Table, number, percent};
use crate::networks::{Training, resident};
use crate::shapes;
use crate::timing::checked;

/// What everything is measured with.
pub struct Measure {
    pub gpu: Gpu,
    pub device: Device,
    pub peaks: Peaks,
    /// Each thing once, and small.
    pub test: bool,
}

/// Median and extremes of several times, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self {
            median: seconds[seconds.len() / 2],
            min: seconds[0],
            max: seconds[seconds.len() - 1],
        }
    }
}

/// Times of a session: `samples` submissions.
pub fn spread(session: &Session, samples: usize) -> Spread {
    let runs = runs_for(session, 0.02);
    let sample = |_| pollster::block_on(session.time_runs(runs)).expect("the device answers");
    Spread::of((0..samples).map(sample).collect())
}

const PRECISIONS: [(&str, DType); 3] = [
    ("fp32", DType::F32),
    ("fp16", DType::F16),
    ("int8", DType::I8),
];

/// `37 %` of the arithmetic, or `37 % copy` of the bandwidth of a copy.
fn of_peak(share: Share) -> String {
    let what = match share.of {
        Limit::Arithmetic => "",
        Limit::Memory => " copy",
    };
    percent(share.share) + what
}

fn milliseconds(seconds: f64) -> String {
    number(seconds * 1e3)
}

impl Measure {
    fn samples(&self) -> usize {
        if self.test { 1 } else { 5 }
    }

    fn spread(&self, session: &Session) -> Spread {
        spread(session, self.samples())
    }

    /// Runs once, and again for half a second: a GPU that was idle takes that long to reach its clock.
    fn warm_up<T>(&self, mut once: impl FnMut() -> wizen::Result<T>) -> wizen::Result<()> {
        let start = Instant::now();
        once()?;
        while !self.test && start.elapsed().as_secs_f64() < 0.5 {
            once()?;
        }
        Ok(())
    }

    /// The probes.
    pub fn peaks(&self) -> String {
        let peaks = &self.peaks;
        let mut table = Table::new(
            &["f32 GOP/s", "f16", "int8", "copy GB/s (read + written)"],
            0,
        );
        let all = [
            peaks.f32_gops,
            peaks.f16_gops,
            peaks.i8_gops,
            peaks.copy_gbs,
        ];
        table.row(&all.map(number));
        table.finish()
    }

    /// Square products in every variant, beside the naive kernel.
    pub fn products(&self) -> String {
        let header = [
            "N",
            "precision",
            "variant",
            "ms",
            "GOP/s",
            "× naive",
            "of peak",
        ];
        let mut table = Table::new(&header, 3);
        let sizes = if self.test {
            vec![256]
        } else {
            shapes::square_sizes(&self.peaks, 1.0)
        };
        // Large ones only in the variant that the device would take, and not by the naive kernel.
        let quick = shapes::square_sizes(&self.peaks, 0.1);
        for n in sizes {
            let quick = self.test || quick.contains(&n);
            let naive = quick.then(|| shapes::naive_products(n));
            for (i, case) in shapes::products([n; 3]).iter().enumerate() {
                let cost = case.kernel.cost();
                let (precision, dtype) = PRECISIONS[i];
                let mut row = |variant: &str, time: Spread, base: Option<Spread>| {
                    let times = base.map(|base| number(base.median / time.median));
                    table.row(&[
                        n.to_string(),
                        precision.to_owned(),
                        variant.to_owned(),
                        milliseconds(time.median),
                        number(cost.operations / time.median * 1e-9),
                        times.unwrap_or_default(),
                        of_peak(self.peaks.share(cost, dtype, time.median)),
                    ]);
                };
                let base = naive.as_ref().map(|naive| {
                    let plain = wizen::kernels::Variant::Plain;
                    self.spread(&checked(&self.gpu, &naive[i], plain))
                });
                if let Some(base) = base {
                    row("naive", base, None);
                }
                let mut variants = case.kernel.variants(self.gpu.caps());
                if !quick {
                    variants.truncate(1);
                }
                for variant in variants {
                    let time = self.spread(&checked(&self.gpu, case, variant));
                    row(variant.name(), time, base);
                }
            }
        }
        table.finish()
    }

    /// Kernels that should run at the speed of a copy.
    pub fn memory(&self) -> String {
        let mut table = Table::new(&["kernel", "MB", "ms", "GB/s", "of the copy"], 1);
        let mut copy = None;
        for case in shapes::memory(if self.test { 1 } else { 8 }) {
            let variant = case.kernel.variants(self.gpu.caps())[0];
            let time = self.spread(&checked(&self.gpu, &case, variant)).median;
            let bytes = case.kernel.cost().bytes;
            let speed = bytes / time * 1e-9;
            let copy = *copy.get_or_insert(speed);
            table.row(&[
                format!("`{}`", case.name),
                number(bytes * 1e-6),
                milliseconds(time),
                number(speed),
                percent(speed / copy),
            ]);
        }
        table.finish()
    }

    /// Exact top-k masks of as many weights as ResNet18 has.
    pub fn masks(&self) -> wizen::Result<String> {
        let len = if self.test { 100_000 } else { 11_689_512 };
        let mut rng = Rng::new(1);
        let weights: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
        let weights = Tensor::from_f32(&[len], &weights)?;
        let mut plan = block_on(MaskPlan::new(&self.device, &[vec![len]], Scope::Global))?;
        let mut once = || {
            let start = Instant::now();
            let masks = block_on(plan.prune(&[&weights], &[None], Amount::Fraction(0.5)))?;
            let seconds = start.elapsed().as_secs_f64();
            assert_eq!(kept(&masks[0]), len / 2, "exactly half is kept");
            Ok(seconds)
        };
        self.warm_up(&mut once)?;
        let times = (0..self.samples()).map(|_| once());
        let whole = Spread::of(times.collect::<wizen::Result<_>>()?);
        let mut table = Table::new(&["what", "ms", "min", "max", "weights GB/s"], 1);
        let mut row = |what: &str, time: Spread| {
            table.row(&[
                what.to_owned(),
                milliseconds(time.median),
                milliseconds(time.min),
                milliseconds(time.max),
                number(4.0 * len as f64 / time.median * 1e-9),
            ]);
        };
        row(
            &format!("{len} weights up, half masked, mask read back"),
            whole,
        );
        if let Executor::Gpu(session) = plan.executor() {
            row("the same without up and back", self.spread(session));
        }
        Ok(table.finish())
    }

    /// Times the variants of every kernel of these networks, within so many seconds.
    pub fn tune(
        &self,
        networks: &[(&str, Graph)],
        batch: usize,
        seconds: u64,
    ) -> wizen::Result<()> {
        let start = Instant::now();
        let budget = std::time::Duration::from_secs(seconds);
        for (_, graph) in networks {
            let plan = lower(&graph.with_batch(batch)?, self.gpu.caps())?;
            block_on(tune(
                &self.gpu,
                &plan,
                budget.saturating_sub(start.elapsed()),
            ))?;
        }
        Ok(())
    }

    /// Every step of a network in one run: where its time goes.
    pub fn steps(&self, graph: &Graph, batch: usize) -> wizen::Result<String> {
        if !self.gpu.caps().timestamps {
            return Ok("The device has no timestamps.\n".to_owned());
        }
        let (mut executor, images) = block_on(resident(&self.device, graph, batch))?;
        self.warm_up(|| block_on(executor.run(&[&images])).map(drop))?;
        let profiles = (0..self.samples()).map(|_| block_on(executor.profile(&[&images])));
        let profiles = profiles.collect::<wizen::Result<Vec<_>>>()?;
        let median =
            |step: usize| Spread::of(profiles.iter().map(|run| run[step].seconds).collect()).median;
        let plan = Arc::clone(executor.plan());
        let times: Vec<f64> = (0..plan.steps.len()).map(median).collect();
        let total: f64 = times.iter().sum();
        let ran: Vec<String> = match &executor {
            Executor::Gpu(session) => session.variants().iter().map(|v| v.to_string()).collect(),
            Executor::Cpu(_) => Vec::new(),
        };
        let header = [
            "step",
            "kernel",
            "variant",
            "ms",
            "of the run",
            "GOP/s",
            "GB/s",
            "of peak",
        ];
        let mut table = Table::new(&header, 3);
        for ((step, &seconds), variant) in plan.steps.iter().zip(&times).zip(ran) {
            let cost = step.kernel.cost();
            let seconds = seconds.max(1e-9);
            table.row(&[
                step.name.clone(),
                format!("`{}`", step.kernel.name()),
                variant,
                milliseconds(seconds),
                percent(seconds / total),
                number(cost.operations / seconds * 1e-9),
                number(cost.bytes / seconds * 1e-9),
                of_peak(self.peaks.share(cost, operand(step), seconds)),
            ]);
        }
        Ok(format!(
            "{} ms in {} steps.\n\n{}",
            milliseconds(total),
            times.len(),
            table.finish()
        ))
    }

    /// A table for [`Self::network`] and [`Self::training`].
    pub fn network_table() -> Table {
        let header = [
            "network",
            "batch",
            "precision",
            "ms",
            "min",
            "max",
            "images/s",
            "of peak",
        ];
        Table::new(&header, 3)
    }

    /// Batches of ResNet18 (3.6 GOP an image) that take no longer than two seconds at the f32 peak.
    pub fn batches(&self) -> Vec<usize> {
        let short = |batch: &usize| 3.6 * *batch as f64 / self.peaks.f32_gops < 2.0;
        [1, 8, 64].into_iter().filter(short).collect()
    }

    /// A network at every precision, in turns: upload, run, result.
    pub fn network(
        &self,
        table: &mut Table,
        arch: &str,
        networks: &[(&str, Graph)],
        batch: usize,
    ) -> wizen::Result<()> {
        let loaded = networks
            .iter()
            .map(|(_, graph)| block_on(resident(&self.device, graph, batch)));
        let mut loaded: Vec<_> = loaded.collect::<wizen::Result<_>>()?;
        let once = |(executor, images): &mut (Executor, Tensor)| {
            let start = Instant::now();
            block_on(executor.run(&[&*images]))?;
            Ok(start.elapsed().as_secs_f64())
        };
        for network in &mut loaded {
            // Not the first: it waits for the upload of the weights.
            self.warm_up(|| once(network))?;
        }
        // In turns: a machine that is faster for a while is so for all of them.
        let mut times = vec![Vec::new(); loaded.len()];
        for _ in 0..self.samples() {
            for (times, network) in times.iter_mut().zip(&mut loaded) {
                times.push(once(network)?);
            }
        }
        for (((precision, _), (executor, _)), times) in networks.iter().zip(&loaded).zip(times) {
            let time = Spread::of(times);
            let steps = executor.plan().steps.iter();
            let at_best = |cost: Cost, dtype| self.peaks.share(cost, dtype, time.median).share;
            let share: f64 = steps.map(|s| at_best(s.kernel.cost(), operand(s))).sum();
            row(table, [arch, precision], batch, time, percent(share));
        }
        Ok(())
    }

    /// A step of training, of several that are waited for together.
    pub fn training(&self, table: &mut Table, batch: usize) -> wizen::Result<()> {
        let steps = if self.test { 1 } else { 16 };
        let mut training = block_on(Training::new(&self.device, batch))?;
        let mut several = || {
            let start = Instant::now();
            block_on(training.steps(steps))?;
            Ok(start.elapsed().as_secs_f64() / steps as f64)
        };
        self.warm_up(&mut several)?;
        let times = (0..self.samples()).map(|_| several());
        let time = Spread::of(times.collect::<wizen::Result<_>>()?);
        row(
            table,
            ["lenet5, training", "fp32"],
            batch,
            time,
            String::new(),
        );
        Ok(())
    }
}

/// The type that a step multiplies.
fn operand(step: &wizen::graph::Step) -> DType {
    let first = step.kernel.bindings().first().map(|operand| operand.dtype);
    first.unwrap_or(DType::F32)
}

fn row(table: &mut Table, [what, precision]: [&str; 2], batch: usize, time: Spread, share: String) {
    table.row(&[
        what.to_owned(),
        batch.to_string(),
        precision.to_owned(),
        milliseconds(time.median),
        milliseconds(time.min),
        milliseconds(time.max),
        number(batch as f64 / time.median),
        share,
    ]);
}

/// Runs in one submission that take long enough for the clock, after one that warms up.
fn runs_for(session: &Session, seconds: f64) -> usize {
    let once = || block_on(session.time_runs(1)).expect("the device answers");
    once();
    (seconds / once().max(1e-6)).ceil().clamp(1.0, 256.0) as usize
}
