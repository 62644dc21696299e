//! `wizen predict`

use std::path::PathBuf;

use clap::Args;
use comfy_table::CellAlignment;
use serde::Serialize;
use wizen::base::Tensor;
use wizen::compress::{self, eval_batch, probabilities};
use wizen::data::Data;
use wizen::graph::{Graph, check_finite, lower};
use wizen::io::{Dataset, read_class_names};
use wizen::{Error, Network, Result};

use super::context::{Context, percent, table};
use super::data;
use super::models::ModelArgs;
use super::pictures::PictureArgs;

/// Images of one run, at most.
const BATCH: usize = 32;

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Model file
    model: PathBuf,
    /// Picture files: JPEG, PNG, WebP, BMP, GIF, TIFF
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Classes to show for each image, the most probable first
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Names of the classes: one per line, a JSON array or dictionary, or a table with the columns class_index
    /// and class_name; without it, those that the model's file has, else numbers
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    file: ModelArgs,
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
    let mut model = args.file.open(&args.model)?;
    args.pictures
        .prepare(&mut model)?
        .say(context, &model, true);
    let known = compress::classes(&model.graph)?;
    let own = Some(&model.labels).filter(|labels| labels.len() == known);
    let labels = match (&args.labels, own) {
        (Some(path), _) => read_class_names(path, known)?,
        (None, Some(own)) => own.clone(),
        // One logit answers a question.
        (None, None) if columns(&model) == 1 => vec!["no".to_owned(), "yes".to_owned()],
        (None, None) => (0..known).map(|index| index.to_string()).collect(),
    };
    let preprocess = data::pictures_of(&model)?;
    let images = Dataset::from_files("images", args.images.clone(), Vec::new(), preprocess, known)?;
    let device = context.device().await?;
    let network = model.runnable()?;
    let batch = eval_batch(&network, BATCH).min(images.len());
    let batched = network.with_batch(batch)?;
    let mut executor = device.load(lower(&batched, &device.caps())?).await?;
    let bar = context.progress("predict", images.len());
    let mut predictions: Vec<Prediction> = Vec::with_capacity(images.len());
    for inputs in images.in_order(images.len(), batch) {
        let (inputs, count) = inputs?;
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let outputs = executor.run(&inputs).await?;
        check_finite(&device, &batched, &inputs, &outputs).await?;
        for logits in outputs[0].to_f64().chunks(columns(&model)).take(count) {
            let file = args.images[predictions.len()].clone();
            let classes = most_probable(&model.graph, logits, &labels, args.top);
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

/// Logits of one image.
fn columns(model: &Network) -> usize {
    let first = model.graph.outputs().first();
    let shape = first.map(|&id| &model.graph.value(id).shape);
    shape
        .and_then(|shape| shape.last())
        .copied()
        .unwrap_or(1)
        .max(1)
}

/// The `top` most probable classes; of equal ones, the lower index comes first.
fn most_probable(graph: &Graph, logits: &[f64], labels: &[String], top: usize) -> Vec<Class> {
    let shares = probabilities(graph, logits);
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // Logits that differ may have shares that do not: the order is that of the logits.
    let key = if logits.len() == shares.len() {
        logits
    } else {
        &shares
    };
    order.sort_by(|&a, &b| key[b].total_cmp(&key[a]));
    let class = |index: usize| Class {
        index,
        label: labels[index].clone(),
        probability: shares[index],
    };
    order.into_iter().take(top).map(class).collect()
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
    use wizen::base::DType;

    #[test]
    fn probabilities_are_the_softmax() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let mut graph = Graph::new();
        let x = graph.input("logits", DType::F32, &[1, 4]);
        graph.output(x);
        // exp(ln n) = n; a large common part must not overflow.
        let logits = [1.0f64, 4.0, 4.0, 7.0].map(|n| n.ln() + 1e4);
        let classes = most_probable(&graph, &logits, &labels, 3);
        let order: Vec<&str> = classes.iter().map(|c| c.label.as_str()).collect();
        assert_eq!(order, ["d", "b", "c"]);
        for (class, share) in classes.iter().zip([7.0, 4.0, 4.0]) {
            // The logits are rounded to 2⁻⁴⁰ at 10⁴ and below.
            assert!(
                (class.probability - share / 16.0).abs() < 2e-12,
                "{class:?}"
            );
        }
        assert_eq!(most_probable(&graph, &logits, &labels, 9).len(), 4);
        let all = most_probable(&graph, &[0.0; 4], &labels, 4);
        assert!(
            all.iter()
                .enumerate()
                .all(|(i, c)| c.index == i && c.probability == 0.25)
        );
        // One logit is a sigmoid: ln 3 stands for three in four.
        let yes = most_probable(&graph, &[3.0f64.ln()], &labels, 2);
        assert_eq!((yes[0].index, yes[1].index), (1, 0));
        assert!((yes[0].probability - 0.75).abs() < 1e-12, "{yes:?}");
    }
}
