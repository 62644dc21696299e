//! `wizen predict`

use std::path::PathBuf;

use clap::Args;
use comfy_table::CellAlignment;
use serde::Serialize;
use wizen::compress::{self, eval_batch};
use wizen::data::Data;
use wizen::graph::lower;
use wizen::io::{Dataset, read_class_names};
use wizen::{Error, Result};

use super::context::{Context, percent, table};
use super::data;

/// Images of one run, at most.
const BATCH: usize = 32;

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Model file
    model: PathBuf,
    /// JPEG or PNG files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Classes to show for each image, the most probable first
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Names of the classes: one per line, a JSON array, or a CSV table with the columns class_index and
    /// class_name; without it, classes are numbers
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Architecture of a foreign file, where its names do not tell
    #[arg(long)]
    arch: Option<String>,
}

#[derive(Serialize)]
struct Output {
    predictions: Vec<Prediction>,
    precision: String,
    device: String,
}

#[derive(Serialize)]
struct Prediction {
    file: PathBuf,
    /// The most probable first.
    classes: Vec<Class>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Class {
    index: usize,
    label: String,
    probability: f64,
}

pub async fn run(context: &Context, args: PredictArgs) -> Result<()> {
    if args.top == 0 {
        return Err(Error::invalid("--top", "it must be at least 1"));
    }
    let model = wizen::open(&args.model, args.arch.as_deref())?;
    let known = compress::classes(&model.graph)?;
    let labels = match &args.labels {
        Some(path) => read_class_names(path, known)?,
        None => (0..known).map(|index| index.to_string()).collect(),
    };
    let preprocess = data::preprocess(&model)?;
    // What the images show is the question: their labels are not looked at.
    let unknown = vec![0; args.images.len()];
    let images = Dataset::from_files("images", args.images.clone(), unknown, preprocess, 1)?;
    let device = context.device().await?;
    let network = model.runnable()?;
    let batch = eval_batch(&network, BATCH).min(images.len());
    let plan = lower(&network.with_batch(batch)?, &device.caps())?;
    let mut executor = device.load(plan).await?;
    let bar = context.progress("predict", images.len());
    let mut predictions: Vec<Prediction> = Vec::with_capacity(images.len());
    for inputs in images.in_order(images.len(), batch) {
        let (inputs, count) = inputs?;
        let outputs = executor.run(&inputs.iter().collect::<Vec<_>>()).await?;
        for logits in outputs[0].to_f64().chunks(known).take(count) {
            let file = args.images[predictions.len()].clone();
            let classes = most_probable(logits, &labels, args.top)
                .map_err(|problem| Error::invalid(file.display().to_string(), problem))?;
            predictions.push(Prediction { file, classes });
        }
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    let output = Output {
        predictions,
        precision: model.precision(),
        device: device.name(),
    };
    context.finish(&output, || human(&output))
}

/// The `top` classes with the largest `softmax(logits)`; of equal ones, the lower index comes first.
fn most_probable(logits: &[f64], labels: &[String], top: usize) -> Result<Vec<Class>, String> {
    if let Some(bad) = logits.iter().find(|x| !x.is_finite()) {
        return Err(format!(
            "the model answers {bad}; its weights are damaged, or too large for its precision"
        ));
    }
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let class = |index: usize| Class {
        index,
        label: labels[index].clone(),
        probability: (logits[index] - max).exp() / sum,
    };
    Ok(order.into_iter().take(top).map(class).collect())
}

fn human(output: &Output) -> String {
    let mut rows = table(&["image", "class", "index", "probability"]);
    if let Some(names) = rows.column_mut(1) {
        names.set_cell_alignment(CellAlignment::Left);
    }
    for prediction in &output.predictions {
        for (rank, class) in prediction.classes.iter().enumerate() {
            let file = prediction.file.display().to_string();
            rows.add_row(vec![
                if rank == 0 { file } else { String::new() },
                class.label.clone(),
                class.index.to_string(),
                percent(class.probability),
            ]);
        }
    }
    format!("{rows}\n{} on {}", output.precision, output.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_the_softmax() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        // exp(ln n) = n; a large common part must not overflow.
        let logits = [1.0f64, 4.0, 4.0, 7.0].map(|n| n.ln() + 1e4);
        let classes = most_probable(&logits, &labels, 3).expect("finite");
        let order: Vec<&str> = classes.iter().map(|c| c.label.as_str()).collect();
        assert_eq!(order, ["d", "b", "c"]);
        for (class, share) in classes.iter().zip([7.0, 4.0, 4.0]) {
            // The logits are rounded to 2⁻⁴⁰ at 10⁴ and below.
            assert!(
                (class.probability - share / 16.0).abs() < 2e-12,
                "{class:?}"
            );
        }
        assert_eq!(most_probable(&logits, &labels, 9).map(|c| c.len()), Ok(4));
        let all = most_probable(&[0.0; 4], &labels, 4).expect("finite");
        assert!(
            all.iter()
                .enumerate()
                .all(|(i, c)| c.index == i && c.probability == 0.25)
        );
        let error = most_probable(&[0.0, f64::NAN], &labels, 1).expect_err("NaN");
        assert!(error.contains("answers NaN"), "{error}");
    }
}
