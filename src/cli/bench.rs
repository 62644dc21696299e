//! `wizen bench`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use wizen::base::{DType, Requant, Tensor};
use wizen::compress::{self, QuantizeOptions};
use wizen::data::{Data, FromFn};
use wizen::gpu::Gpu;
use wizen::graph::measure_peaks;
use wizen::graph::{Device, Executor, Graph, Limit, Peaks, Share, Step, StepTime, lower};
use wizen::kernels::Cost;
use wizen::quant::{Observer, Scheme};
use wizen::{Network, Result, models as nets};

use super::context::{Context, table};
use super::models::{self, ModelArgs};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// fp32 model file (all precisions are made from it) or a model of any precision (only that one is
    /// timed); without it, LeNet-5 with random weights
    model: Option<PathBuf>,
    /// Images per run
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Runs to time; the median counts
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Seconds for finding the fastest variant of each kernel; what was found is kept in the cache folder
    #[arg(long, default_value_t = 30)]
    tune_seconds: u64,
    /// Time the variants that the device takes without having timed them
    #[arg(long)]
    no_tune: bool,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Clone, Serialize)]
struct Row {
    precision: String,
    batch: usize,
    ms: f64,
    ms_min: f64,
    ms_max: f64,
    images_per_second: f64,
    /// Time that the steps need at the device's peaks, by time taken.
    share: Option<f64>,
}

#[derive(Serialize)]
struct Layer {
    precision: String,
    name: String,
    kernel: String,
    /// Which of the kernel's programs ran.
    variant: String,
    ms: f64,
    gops: f64,
    gbs: f64,
    /// Of the peak of its precision, or of the bandwidth of a copy, whichever holds it back.
    peak: Option<Share>,
}

#[derive(Serialize)]
struct Output {
    device: String,
    /// What the device can do; nothing is measured of the CPU reference.
    peaks: Option<Peaks>,
    rows: Vec<Row>,
    layers: Vec<Layer>,
    advice: String,
}

pub async fn run(context: &Context, args: BenchArgs) -> Result<()> {
    if args.batch == 0 || args.runs == 0 {
        return Err(wizen::Error::invalid(
            "bench",
            "--batch and --runs must be at least 1",
        ));
    }
    let device = context.device().await?;
    let model = match &args.model {
        Some(path) => args.file.open(path)?,
        None => models::float_model("lenet5", &nets::random_weights("lenet5", 1)?)?,
    };
    let variants = variants(context, &device, model).await?;
    if let (Device::Gpu(gpu), false) = (&device, args.no_tune) {
        tune(context, gpu, &variants, &args).await?;
    }
    let peaks = match &device {
        Device::Gpu(gpu) => Some(measure_peaks(gpu).await?),
        Device::Cpu => None,
    };
    let (mut rows, mut layers) = (Vec::new(), Vec::new());
    for (precision, graph) in &variants {
        let network = (precision.as_str(), graph);
        let (row, times) = measure(context, &device, peaks.as_ref(), network, &args).await?;
        rows.push(row);
        layers.extend(times);
    }
    let output = Output {
        device: device.name(),
        peaks,
        advice: advice(&rows, &layers),
        rows,
        layers,
    };
    context.finish(&output, || human(&output))
}

/// Finds the fastest variant of every kernel at this batch size, within the time that is allowed.
async fn tune(
    context: &Context,
    gpu: &Gpu,
    networks: &[(String, Graph)],
    args: &BenchArgs,
) -> Result<()> {
    let bar = context.progress("tune", networks.len());
    let start = Instant::now();
    let allowed = Duration::from_secs(args.tune_seconds);
    for (_, graph) in networks {
        let plan = lower(&graph.with_batch(args.batch)?, gpu.caps())?;
        wizen::graph::tune(gpu, &plan, allowed.saturating_sub(start.elapsed())).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The network at every precision that can be made from it.
async fn variants(
    context: &Context,
    device: &Device,
    model: Network,
) -> Result<Vec<(String, Graph)>> {
    let precision = model.precision();
    if precision != "fp32" {
        return Ok(vec![(precision, model.runnable()?)]);
    }
    // Speed does not depend on what the inputs hold: random numbers give ranges good enough.
    let data = random_inputs(&model.graph);
    let float = model.float_graph("bench")?;
    let mut out = vec![("fp32".to_owned(), wizen::graph::optimize(&float)?)];
    for scheme in [Scheme::Fp16, Scheme::INT8] {
        let options = QuantizeOptions {
            schemes: scheme.into(),
            observer: Some(Observer::MinMax),
            requant: Requant::Float,
            items: CALIBRATION,
            ..QuantizeOptions::default()
        };
        let float = wizen::quant::prepare(&float, scheme)?;
        let params = compress::calibrate(&context.job(device), &float, &data, &options).await?;
        let frozen = compress::freeze(&float, &params, &options, &model, "bench")?;
        out.push((scheme.to_string(), frozen.graph));
    }
    Ok(out)
}

/// Inputs that int8 networks are calibrated on.
const CALIBRATION: usize = 4;

fn random_inputs(graph: &Graph) -> impl Data {
    let shapes: Vec<Vec<usize>> = graph
        .inputs()
        .iter()
        .map(|&id| graph.value(id).shape.clone())
        .collect();
    FromFn::new("random", CALIBRATION, move |item| {
        let mut rng = wizen::base::Rng::new(1).fork(item as u64);
        let tensor = |shape: &Vec<usize>| {
            let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform()).collect();
            Tensor::from_f32(shape, &numbers)
        };
        shapes.iter().map(tensor).collect()
    })
}

async fn measure(
    context: &Context,
    device: &Device,
    peaks: Option<&Peaks>,
    (precision, graph): (&str, &Graph),
    args: &BenchArgs,
) -> Result<(Row, Vec<Layer>)> {
    let graph = graph.with_batch(args.batch)?;
    let plan = lower(&graph, &device.caps())?;
    let costs: Vec<(Cost, DType)> = plan.steps.iter().map(cost).collect();
    let mut executor = device.load(plan).await?;
    let inputs = random_inputs(&graph).inputs(&[0])?;
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let warm_up = if matches!(device, Device::Gpu(_)) {
        2
    } else {
        0
    };
    for _ in 0..warm_up {
        executor.run(&inputs).await?;
    }
    let bar = context.progress(&format!("bench {precision}"), args.runs);
    let mut times = Vec::with_capacity(args.runs);
    for _ in 0..args.runs {
        let start = Instant::now();
        executor.run(&inputs).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        bar.inc(1);
    }
    bar.finish_and_clear();
    times.sort_by(f64::total_cmp);
    let ms = times[times.len() / 2];
    let row = Row {
        precision: precision.to_owned(),
        batch: args.batch,
        ms,
        ms_min: times[0],
        ms_max: times[times.len() - 1],
        images_per_second: args.batch as f64 / ms * 1e3,
        share: peaks.map(|peaks| {
            let steps = costs
                .iter()
                .map(|&(cost, dtype)| peaks.share(cost, dtype, ms * 1e-3));
            steps.map(|step| step.share).sum()
        }),
    };
    let profiled = match device {
        Device::Gpu(gpu) if !gpu.caps().timestamps => Vec::new(),
        _ => executor.profile(&inputs).await?,
    };
    let ran: Vec<String> = match &executor {
        Executor::Gpu(session) => session.variants().iter().map(|v| v.to_string()).collect(),
        Executor::Cpu(_) => vec!["reference".to_owned(); costs.len()],
    };
    let layer = |((time, (cost, dtype)), variant): ((StepTime, (Cost, DType)), String)| Layer {
        variant,
        precision: precision.to_owned(),
        gops: cost.operations / time.seconds.max(1e-12) * 1e-9,
        gbs: cost.bytes / time.seconds.max(1e-12) * 1e-9,
        peak: peaks.map(|peaks| peaks.share(cost, dtype, time.seconds.max(1e-12))),
        ms: time.seconds * 1e3,
        name: time.name,
        kernel: time.kernel,
    };
    Ok((
        row,
        profiled
            .into_iter()
            .zip(costs)
            .zip(ran)
            .map(layer)
            .collect(),
    ))
}

/// What a step costs, and the type of its first operand.
fn cost(step: &Step) -> (Cost, DType) {
    let first = step.kernel.bindings().first().map(|operand| operand.dtype);
    (step.kernel.cost(), first.unwrap_or(DType::F32))
}

/// One sentence: what is fastest, and by how much; where a faster precision loses on a layer, which.
fn advice(rows: &[Row], layers: &[Layer]) -> String {
    let Some(base) = rows.iter().find(|row| row.precision == "fp32") else {
        return "give an fp32 model to compare precisions".to_owned();
    };
    let others = rows
        .iter()
        .filter(|row| row.precision != "fp32")
        .map(|row| {
            let ratio = base.ms / row.ms;
            // Within the spread of the runs there is nothing to tell apart.
            if row.ms_min <= base.ms_max && base.ms_min <= row.ms_max && (0.9..1.1).contains(&ratio)
            {
                format!("{} is as fast as fp32 here", row.precision)
            } else if ratio > 1.0 {
                let slower = slower_layers(&row.precision, layers);
                let but = if slower.is_empty() {
                    String::new()
                } else {
                    format!(" (but slower in {})", slower.join(", "))
                };
                format!(
                    "{} is {ratio:.2}× faster than fp32 here{but}",
                    row.precision
                )
            } else {
                format!(
                    "{} is {:.2}× slower than fp32 here: use it for size only",
                    row.precision,
                    1.0 / ratio
                )
            }
        });
    others.collect::<Vec<_>>().join("; ")
}

/// Layers of fp32 that took clearly longer (a tenth) at this precision, with all their steps.
fn slower_layers(precision: &str, layers: &[Layer]) -> Vec<String> {
    let time = |precision: &str, layer: &str| -> Option<f64> {
        let steps = layers.iter().filter(|step| {
            // A layer's further steps are called `layer:what`.
            let name = step.name.split(':').next();
            step.precision == precision && name == Some(layer)
        });
        steps.map(|step| step.ms).reduce(|a, b| a + b)
    };
    let base = layers.iter().filter(|step| step.precision == "fp32");
    base.filter(|step| {
        let both = time(precision, &step.name).zip(time("fp32", &step.name));
        both.is_some_and(|(ours, base)| ours > 1.1 * base)
    })
    .map(|step| step.name.clone())
    .collect()
}

fn human(output: &Output) -> String {
    let mut rows = table(&[
        "precision",
        "batch",
        "ms (median)",
        "min",
        "max",
        "images/s",
        "of peak",
    ]);
    for row in &output.rows {
        rows.add_row(vec![
            row.precision.clone(),
            row.batch.to_string(),
            format!("{:.3}", row.ms),
            format!("{:.3}", row.ms_min),
            format!("{:.3}", row.ms_max),
            format!("{:.0}", row.images_per_second),
            row.share.map(whole_percent).unwrap_or_default(),
        ]);
    }
    let mut layers = table(&[
        "precision",
        "step",
        "kernel",
        "variant",
        "ms",
        "GOP/s",
        "GB/s",
        "of peak",
    ]);
    for layer in &output.layers {
        layers.add_row(vec![
            layer.precision.clone(),
            layer.name.clone(),
            layer.kernel.clone(),
            layer.variant.clone(),
            format!("{:.4}", layer.ms),
            format!("{:.2}", layer.gops),
            format!("{:.2}", layer.gbs),
            layer.peak.map(of_peak).unwrap_or_default(),
        ]);
    }
    let note = if output.layers.is_empty() {
        "this device has no timestamps: no times per layer\n"
    } else {
        ""
    };
    let peaks = output.peaks.as_ref().map(|peaks| {
        format!(
            "at best f32 {:.1}, f16 {:.1}, int8 {:.1} GOP/s; a copy reads and writes {:.1} GB/s\n",
            peaks.f32_gops, peaks.f16_gops, peaks.i8_gops, peaks.copy_gbs
        )
    });
    format!(
        "{}\n{}{rows}\n{layers}\n{note}{}",
        output.device,
        peaks.unwrap_or_default(),
        output.advice
    )
}

fn whole_percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// `37 %` of the arithmetic, or `37 % copy` of the bandwidth of a copy.
fn of_peak(share: Share) -> String {
    let what = match share.of {
        Limit::Arithmetic => "",
        Limit::Memory => " copy",
    };
    whole_percent(share.share) + what
}
