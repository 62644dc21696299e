//! `wizen demo`: the whole job on MNIST, or on synthetic digits where there is no MNIST.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::base::{Requant, Tensor};
use wizen::compress::{self, FitOptions, PruneOptions, QuantizeOptions};
use wizen::graph::{Device, Graph, measure_peaks};
use wizen::io::{Augment, Dataset, Splits, write_atomic};
use wizen::models::random_weights;
use wizen::quant::{LayerReport, Observer, Scheme};
use wizen::report::{HistogramPlot, Report, StageRow};
use wizen::{Error, Network, Result, prune};

use super::context::{Context, bytes, percent, table};
use super::explain::{self, Facts, Row};
use super::page::layer_error;
use super::speed::{self, Speed};
use super::{data, models, prune as prune_command, qat as qat_command, train as train_command};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder with the four MNIST files (gzipped or not); without it, wizen draws its own digits
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder for the models and the report
    #[arg(long, default_value = "wizen-demo")]
    out: PathBuf,
    /// Less training: a minute instead of several
    #[arg(long)]
    quick: bool,
    /// Seed of initial weights, order and augmentation
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Serialize)]
struct Stage {
    name: String,
    accuracy: f64,
    bytes: u64,
    sparsity: f64,
    images_per_second: f64,
    seconds: f64,
    model: PathBuf,
}

#[derive(Serialize)]
struct Output {
    data: &'static str,
    stages: Vec<Stage>,
    /// What the stages show, in sentences.
    explanation: Vec<String>,
    seconds: f64,
    report: PathBuf,
    /// Accuracy over file size, drawn.
    figure: PathBuf,
    device: String,
}

struct Demo<'a> {
    context: &'a Context,
    device: Device,
    splits: Splits,
    out: PathBuf,
    seed: u64,
    /// Images that pruning and QAT learn from.
    tuning: Dataset,
    /// Random shifts of training images, pixels.
    shift: usize,
    /// Peak learning rate of training from scratch.
    lr: f32,
    /// Epochs of training, pruning, QAT.
    epochs: [usize; 3],
    stages: Vec<Stage>,
    /// The network of each stage at its own precision.
    networks: Vec<Graph>,
}

pub async fn run(context: &Context, args: DemoArgs) -> Result<()> {
    let start = Instant::now();
    let device = context.device().await?;
    let mut splits = data::digits(args.data.as_deref(), (20_000, 4_000))?;
    let synthetic = splits.train.is_synthetic();
    if args.quick {
        splits.test = splits.test.take(2_000);
    }
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    context.say(&format!(
        "{} training and {} test images of {}; computing on {}",
        splits.train.len(),
        splits.test.len(),
        splits.train.name(),
        device.name()
    ));
    let epochs = if args.quick { [1, 1, 1] } else { [3, 2, 1] };
    let tuning = if args.quick {
        splits.train.take(8_000)
    } else {
        splits.train.clone()
    };
    // One pass has no time to learn shifts, and takes larger steps.
    let shift = usize::from(!args.quick);
    let lr = train_command::LR * if args.quick { 3.0 } else { 1.0 };
    let (out, seed) = (args.out.clone(), args.seed);
    let mut demo = Demo {
        context,
        device,
        splits,
        tuning,
        shift,
        lr,
        out,
        seed,
        epochs,
        stages: Vec::new(),
        networks: Vec::new(),
    };
    let results = demo.stages().await?;
    let explanation = demo.time_stages().await?;
    let page = demo.report(&results, &explanation, &args)?;
    let (report, figure) = (args.out.join("report.html"), args.out.join("stages.svg"));
    for (path, text) in [(&report, page.to_html()?), (&figure, page.stages_svg()?)] {
        write_atomic(path, |writer| {
            writer.write_all(text.as_bytes()).map_err(Error::io(path))
        })?;
    }
    let output = Output {
        data: if synthetic { "synthetic" } else { "mnist" },
        stages: demo.stages.clone(),
        explanation,
        seconds: start.elapsed().as_secs_f64(),
        report,
        figure,
        device: demo.device.name(),
    };
    context.finish(&output, || human(&output, demo.splits.test.name()))
}

/// What the report draws besides the table.
struct Results {
    float: Network,
    int8: Graph,
    pruned: Network,
    layers: Vec<LayerReport>,
}

impl Demo<'_> {
    fn fit(&self, epochs: usize, lr: f32) -> FitOptions {
        FitOptions {
            seed: self.seed,
            ..FitOptions::new(epochs, lr)
        }
    }

    fn quantize(&self, scheme: &str) -> Result<QuantizeOptions> {
        Ok(QuantizeOptions {
            schemes: scheme.parse::<Scheme>()?.into(),
            observer: Some(Observer::Auto),
            requant: Requant::Float,
            items: 512,
            ..QuantizeOptions::default()
        })
    }

    async fn stages(&mut self) -> Result<Results> {
        let shifted = |data: &Dataset| {
            let augment = Augment {
                shift: self.shift,
                ..data.augment()
            };
            data.clone().with_augment(augment)
        };
        let (train, tuning) = (shifted(&self.splits.train), shifted(&self.tuning));
        let (context, device) = (self.context, self.device.clone());
        let job = context.job(&device);
        let start = Instant::now();
        let fit = self.fit(self.epochs[0], self.lr);
        let untrained = models::float_model("lenet5", &random_weights("lenet5", self.seed)?)?;
        let (float, _) = compress::train(&job, &untrained, &train, &fit).await?;
        self.finish(explain::FP32, &float, start).await?;

        let start = Instant::now();
        let settings = self.quantize("fp16")?;
        let half = compress::quantize(&job, &float, &train, &settings).await?;
        self.finish(explain::FP16, &half.network, start).await?;

        let start = Instant::now();
        let settings = self.quantize("int8")?;
        let int8 = compress::quantize(&job, &float, &train, &settings).await?;
        self.finish(explain::INT8, &int8.network, start).await?;

        let start = Instant::now();
        let prune = PruneOptions {
            sparsity: 0.9,
            scope: prune::Scope::Global,
            cubic: true,
            multiple: 4,
            fit: Some(self.fit(self.epochs[1], prune_command::LR)),
        };
        let (pruned, _) = compress::prune(&job, &float, Some(&tuning), &prune).await?;
        self.finish(explain::PRUNED, &pruned, start).await?;

        let start = Instant::now();
        let sparse = compress::quantize(&job, &pruned, &train, &settings).await?;
        self.finish(explain::PRUNED_INT8, &sparse.network, start)
            .await?;

        for (name, scheme) in [(explain::W4A4, "w4a4"), (explain::W2A4, "w2a4")] {
            let start = Instant::now();
            let settings = self.quantize(scheme)?;
            let low = compress::quantize(&job, &float, &train, &settings).await?;
            self.finish(name, &low.network, start).await?;
        }

        let start = Instant::now();
        let (settings, fit) = (
            self.quantize("w2a4")?,
            self.fit(self.epochs[2], qat_command::LR),
        );
        // Learning with fake quantization is slow; two thirds of an epoch are enough here.
        let part = tuning.take(tuning.len() * 2 / 3);
        let (low, _) = compress::qat(&job, &float, &part, &settings, &fit).await?;
        self.finish(explain::W2A4_QAT, &low.network, start).await?;
        Ok(Results {
            float,
            int8: int8.network.graph,
            pruned,
            layers: int8.layers,
        })
    }

    /// Evaluates a stage's model at its own precision and writes it.
    async fn finish(&mut self, name: &str, model: &Network, start: Instant) -> Result<()> {
        let seconds = start.elapsed().as_secs_f64();
        let job = self.context.job(&self.device);
        let network = model.runnable()?;
        let result = compress::accuracy(&job, &network, &self.splits.test, None).await?;
        let file = name.replace(" %", "").replace(" + ", "-").replace(' ', "-");
        let path = self.out.join(format!("lenet5-{file}.safetensors"));
        let size = model.save(&path)?;
        self.context.say(&format!(
            "{name}: {} in {seconds:.1} s",
            percent(result.top1)
        ));
        self.stages.push(Stage {
            name: name.to_owned(),
            accuracy: result.top1,
            bytes: size.bytes,
            sparsity: model.sparsity(),
            // Until all stages are timed side by side.
            images_per_second: result.images_per_second,
            seconds,
            model: path,
        });
        self.networks.push(network);
        Ok(())
    }

    /// Times all stages side by side, and says what the table then shows.
    async fn time_stages(&mut self) -> Result<Vec<String>> {
        let (context, device) = (self.context, &self.device);
        let peaks = match device {
            Device::Gpu(gpu) => Some(measure_peaks(gpu).await?),
            Device::Cpu => None,
        };
        let speeds: Vec<Speed> =
            speed::measure(context, device, &self.networks, &self.splits.test).await?;
        for (stage, speed) in self.stages.iter_mut().zip(&speeds) {
            stage.images_per_second = speed.images_per_second();
        }
        let rows = self.stages.iter().zip(&speeds).map(|(stage, speed)| Row {
            name: &stage.name,
            accuracy: stage.accuracy,
            bytes: stage.bytes,
            seconds: stage.seconds,
            speed,
        });
        Ok(explain::explain(&Facts {
            rows: rows.collect(),
            images: self.splits.test.len(),
            device: &device.name(),
            peaks,
        }))
    }

    fn report(&self, results: &Results, explanation: &[String], args: &DemoArgs) -> Result<Report> {
        let synthetic = self.splits.train.is_synthetic();
        let layer = "fc1.weight";
        let before = stored(&results.float.graph, layer)?.to_f32();
        let pruned = stored(&results.pruned.graph, layer)?.to_f32();
        let mut notes = vec![format!(
            "{} training and {} test images of {}.",
            self.splits.train.len(),
            self.splits.test.len(),
            self.splits.test.name()
        )];
        if synthetic {
            notes.push(
                "Synthetic digits, drawn by wizen: not MNIST. Give --data to use the real one."
                    .into(),
            );
        }
        let quick = if args.quick { " --quick" } else { "" };
        let data = args
            .data
            .as_ref()
            .map_or(String::new(), |d| format!(" --data {}", d.display()));
        Ok(Report {
            title: "wizen demo: LeNet‑5, compressed".into(),
            subtitle: if synthetic {
                "synthetic digits".into()
            } else {
                "MNIST".into()
            },
            notes,
            stages: self
                .stages
                .iter()
                .map(|s| StageRow {
                    name: s.name.clone(),
                    accuracy: s.accuracy,
                    bytes: s.bytes,
                    sparsity: Some(s.sparsity),
                    images_per_second: s.images_per_second,
                    seconds: s.seconds,
                })
                .collect(),
            explanation: explanation.to_vec(),
            histograms: vec![
                HistogramPlot {
                    title: format!("{layer}: fp32 and int8"),
                    before: before.clone(),
                    after: int8_reals(results, layer)?,
                },
                HistogramPlot {
                    title: format!("{layer}: fp32 and 90 % pruned"),
                    before,
                    after: pruned,
                },
            ],
            layers: results.layers.iter().map(layer_error).collect(),
            device: self.device.name(),
            command: format!("wizen demo{data}{quick} --seed {}", args.seed),
        })
    }
}

/// A stored tensor of a network.
fn stored<'a>(graph: &'a Graph, name: &str) -> Result<&'a Tensor> {
    graph
        .tensor(graph.find(name)?)
        .map(|tensor| tensor.as_ref())
        .ok_or_else(|| Error::invalid(name, "it is computed, not stored"))
}

/// Integers of a layer's weights as the reals they stand for.
fn int8_reals(results: &Results, layer: &str) -> Result<Vec<f32>> {
    let float = &results.float.graph;
    let weights = wizen::quant::choose_weights(float, &Scheme::INT8.into(), None)?;
    let scales = weights
        .get(layer)
        .ok_or_else(|| Error::invalid(layer, "it has no scales"))?;
    let reals = wizen::quant::dequantize(stored(&results.int8, layer)?, scales)?;
    Ok(reals.to_f32())
}

fn human(output: &Output, data: &str) -> String {
    let mut rows = table(&[
        "stage",
        "accuracy",
        "bytes",
        "× smaller",
        "zeros",
        "images/s",
        "× fp32's speed",
        "s to make",
    ]);
    for stage in &output.stages {
        let base = &output.stages[0];
        rows.add_row(vec![
            stage.name.clone(),
            percent(stage.accuracy),
            bytes(stage.bytes),
            format!("{:.1}", base.bytes as f64 / stage.bytes.max(1) as f64),
            percent(stage.sparsity),
            bytes(stage.images_per_second.round() as u64),
            format!("{:.2}", stage.images_per_second / base.images_per_second),
            format!("{:.1}", stage.seconds),
        ]);
    }
    let label = if output.data == "synthetic" {
        " (drawn by wizen, not MNIST)"
    } else {
        ""
    };
    let paragraphs: Vec<String> = output.explanation.iter().map(|text| wrap(text)).collect();
    format!(
        "{rows}\n{}\n\naccuracy on {data}{label}; computed on {} in {:.0} s\nreport: {}\nfigure: {}",
        paragraphs.join("\n"),
        output.device,
        output.seconds,
        output.report.display(),
        output.figure.display()
    )
}

/// Breaks a paragraph into lines of at most 100 characters, words whole; all but the first are indented.
fn wrap(text: &str) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        let count = word.chars().count();
        if length + 1 + count > 100 {
            out.push_str("\n ");
            length = 1;
        }
        if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += count;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_break_between_words() {
        let text = "some words ".repeat(40);
        let lines = wrap(text.trim_end());
        assert!(lines.lines().all(|line| line.chars().count() <= 100));
        assert!(
            lines
                .lines()
                .skip(1)
                .all(|line| line.starts_with("  s") || line.starts_with("  w"))
        );
        assert_eq!(lines.split_whitespace().count(), 80);
        assert_eq!(wrap("short"), "short");
    }
}
