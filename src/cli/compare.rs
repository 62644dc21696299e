//! `wizen compare`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use wizen::base::{Quantization, Tensor};
use wizen::compress::{batch_for, eval_batch, predicted};
use wizen::data::Data;
use wizen::graph::{
    Device, Executor, Graph, LowerOptions, SessionOptions, StepComparison, check_finite,
    compare_steps, lower, lower_with, sqnr_db,
};
use wizen::{Error, Result};

use super::context::{Context, percent, table};
use super::data::{self, DataArgs};
use super::models::ModelArgs;

/// Images whose every value is compared, at most.
const TRACED: usize = 16;
/// Images of one run when only results are compared.
const BATCH: usize = 100;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Model file
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// What to compare with: cpu (the references, step by step), a device as `--device` takes it, or
    /// another model file
    #[arg(long, default_value = "cpu")]
    against: String,
    /// Images to run; every value is compared on the first 16 (fewer where they are large), results on all
    #[arg(long, default_value_t = 16)]
    limit: usize,
    #[command(flatten)]
    file: ModelArgs,
}

#[derive(Serialize)]
struct Output {
    steps: Vec<StepComparison>,
    equal: bool,
    /// Share of rows of the first result (inputs of a classifier) with the same arg-max.
    agreement: f64,
    /// `None` if the outputs are equal.
    output_sqnr_db: Option<f64>,
    device: String,
    against: String,
    images: usize,
    /// Steps were held against what is promised, not just against another model or device.
    #[serde(skip)]
    judged: bool,
}

/// All values of a run by name, the results, and the trace in plan order.
struct Run {
    executor: Executor,
    /// Shape of each value, and its elements as the reals that they stand for.
    values: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    trace: Vec<Option<Tensor>>,
    results: Vec<Tensor>,
}

/// With `every_value` there are those between a layer and the function behind it as well: other networks may have them.
async fn run_traced(
    device: &Device,
    graph: &Graph,
    inputs: &[Tensor],
    every_value: bool,
) -> Result<Run> {
    let lowered = LowerOptions {
        every_value,
        ..LowerOptions::default()
    };
    let options = SessionOptions {
        trace: true,
        ..SessionOptions::default()
    };
    let mut executor = device
        .load_with(lower_with(graph, &device.caps(), lowered)?, options)
        .await?;
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let results = executor.run(&inputs).await?;
    let trace = executor.trace(&inputs).await?;
    let quants: BTreeMap<&str, &Quantization> = graph
        .values()
        .filter_map(|(_, value)| Some((value.name.as_str(), value.quant.as_ref()?)))
        .collect();
    let mut values = BTreeMap::new();
    for (value, tensor) in executor.plan().values.iter().zip(&trace) {
        let Some(tensor) = tensor else { continue };
        let reals = match quants.get(value.name.as_str()) {
            Some(quant) => quant.reals(tensor),
            None => tensor.to_f64(),
        };
        values.insert(value.name.clone(), (tensor.shape().to_vec(), reals));
    }
    Ok(Run {
        executor,
        values,
        trace,
        results,
    })
}

pub async fn run(context: &Context, args: CompareArgs) -> Result<()> {
    let mut model = args.file.open(&args.model)?;
    args.data.prepare(context, &mut model)?;
    let network = model.runnable()?;
    let sets = args.data.sets(context, &model, None, (1, 500))?;
    let test = data::limited(sets.judge, Some(args.limit))?;
    let traced = batch_for(&network, TRACED).min(test.len());
    let inputs = data::first(&test, traced)?;
    let device = context.device().await?;
    let graph = network.with_batch(traced)?;
    // Against the references, the steps are those that run.
    let judged = args.against == "cpu";
    let ours = run_traced(&device, &graph, &inputs, !judged).await?;
    let other_file = Path::new(&args.against);
    let (steps, theirs, other, other_graph, against) = if other_file.is_file() {
        let mut other = args.file.open(other_file)?;
        args.data.pictures.prepare(&mut other)?;
        if other.preprocess != model.preprocess {
            context.say(&format!(
                "{} takes pictures otherwise; both get those of {}",
                other_file.display(),
                args.model.display()
            ));
        }
        let other_network = other.runnable()?;
        let theirs = run_traced(&device, &other_network.with_batch(traced)?, &inputs, true).await?;
        let steps = by_name(&ours, &theirs);
        let name = format!("{} {}", other.arch, other.precision());
        (steps, theirs, device.clone(), other_network, name)
    } else {
        let other = context.open(&args.against).await?;
        let theirs = run_traced(&other, &graph, &inputs, !judged).await?;
        let steps = match other {
            // Each step on the device's own inputs: a bad step shows where it is.
            Device::Cpu => compare_steps(ours.executor.plan(), &ours.trace)?,
            Device::Gpu(_) => by_name(&ours, &theirs),
        };
        let name = other.name();
        (steps, theirs, other, network.clone(), name)
    };
    let results =
        compare_results(context, &test, (&device, &network), (&other, &other_graph)).await?;
    let output = Output {
        equal: steps.iter().all(|step| step.differing == 0) && ours.results == theirs.results,
        steps,
        agreement: results.agreement,
        output_sqnr_db: sqnr_db(&results.theirs, &results.ours),
        device: device.name(),
        against,
        images: test.len(),
        judged,
    };
    context.finish(&output, || human(&output))
}

/// Logits of all images on both sides, and the share of arg-maxes that are the same.
struct Results {
    ours: Vec<f64>,
    theirs: Vec<f64>,
    agreement: f64,
}

async fn compare_results(
    context: &Context,
    test: &dyn Data,
    ours: (&Device, &Graph),
    theirs: (&Device, &Graph),
) -> Result<Results> {
    let batch = eval_batch(ours.1, BATCH).min(test.len());
    let mut sides = Vec::new();
    for (device, graph) in [ours, theirs] {
        let graph = graph.with_batch(batch)?;
        let mut executor = device.load(lower(&graph, &device.caps())?).await?;
        let bar = context.progress(&format!("on {}", device.name()), test.len());
        let (mut logits, mut classes) = (Vec::new(), Vec::new());
        for inputs in test.in_order(test.len(), batch) {
            let (inputs, count) = inputs?;
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            let outputs = executor.run(&inputs).await?;
            for output in &outputs {
                let values = output.to_f64();
                logits.extend_from_slice(&values[..values.len() / batch * count]);
            }
            check_finite(device, &graph, &inputs, &outputs).await?;
            let rows = predicted(&graph, &outputs[0]);
            let real = rows.len() / batch * count;
            classes.extend(rows.into_iter().take(real));
            bar.inc(count as u64);
        }
        bar.finish_and_clear();
        sides.push((logits, classes));
    }
    let [(ours, our_classes), (theirs, their_classes)] =
        <[(Vec<f64>, Vec<usize>); 2]>::try_from(sides)
            .map_err(|_| Error::invalid("compare", "two sides were run"))?;
    let same = our_classes
        .iter()
        .zip(&their_classes)
        .filter(|(a, b)| a == b)
        .count();
    let agreement = same as f64 / our_classes.len().max(1) as f64;
    Ok(Results {
        ours,
        theirs,
        agreement,
    })
}

/// Values of both runs that have the same name and shape, integers as the reals they stand for.
fn by_name(ours: &Run, theirs: &Run) -> Vec<StepComparison> {
    let mut out = Vec::new();
    for step in &ours.executor.plan().steps {
        let both = (ours.values.get(&step.name), theirs.values.get(&step.name));
        let (Some((shape, a)), Some((other, b))) = both else {
            continue;
        };
        if shape != other {
            continue;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect();
        let differing = differences
            .iter()
            .filter(|d| **d > 0.0 || d.is_nan())
            .count();
        let ulps = differences
            .iter()
            .zip(b)
            .map(|(d, b)| d / wizen::kernels::ulp_f32(*b));
        out.push(StepComparison {
            name: step.name.clone(),
            kernel: step.kernel.name().to_owned(),
            max_abs: differences.iter().fold(0.0, |m, d| m.max(*d)),
            max_ulp: ulps.fold(0.0, f64::max),
            sqnr_db: sqnr_db(b, a),
            mismatches: differing,
            differing,
            elements: a.len(),
        });
    }
    out
}

fn human(output: &Output) -> String {
    let mut rows = table(&[
        "step", "kernel", "max |Δ|", "max ULP", "SQNR dB", "differ", "violate",
    ]);
    for step in &output.steps {
        rows.add_row(vec![
            step.name.clone(),
            step.kernel.clone(),
            format!("{:.3e}", step.max_abs),
            format!("{:.1}", step.max_ulp),
            step.sqnr_db.map_or("exact".into(), |s| format!("{s:.1}")),
            format!("{} of {}", step.differing, step.elements),
            step.mismatches.to_string(),
        ]);
    }
    let first_bad = output.steps.iter().find(|step| step.mismatches > 0);
    let verdict = match (first_bad, output.equal) {
        (_, true) => "every value is equal".to_owned(),
        (None, false) => "every step agrees as promised".to_owned(),
        (Some(_), false) if !output.judged => {
            let measured = output
                .steps
                .iter()
                .filter_map(|s| Some((s.sqnr_db?, &s.name)));
            match measured.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((db, name)) => format!("furthest apart in {name}, {db:.1} dB"),
                None => "some values differ".to_owned(),
            }
        }
        (Some(step), false) => format!(
            "first step that does not agree: {} ({})",
            step.name, step.kernel
        ),
    };
    format!(
        "{rows}\n{} against {} on {} images: {verdict}; same class for {}; outputs {}",
        output.device,
        output.against,
        output.images,
        percent(output.agreement),
        output
            .output_sqnr_db
            .map_or("equal".into(), |s| format!("at {s:.1} dB")),
    )
}
